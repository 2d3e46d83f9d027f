"""The learning curve of a run as a picture, drawn from its metrics.jsonl."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.config.yaml_files import read_yaml
from helpers.display.figure import EVALUATION, INK, TRAINING, make_figure, save_figure, style_axes
from helpers.display.numbers import count
from helpers.run_folder.references import EXPERT, RANDOM, Reference, read_references
from helpers.trackers.jsonl import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES = (8.0, 4.5)
# Of a reference: colour, dashes, and where its words stand: at the line's left end above it, or right and below.
LINES: Mapping[str, tuple[str, Any, dict[str, Any]]] = {
    EXPERT: (INK, (0, (6, 3)), {"x": 0.01, "ha": "left", "va": "bottom"}),
    RANDOM: ("#5c656e", (0, (1, 2)), {"x": 0.99, "ha": "right", "va": "top"}),
}
LEAST_SHARE = (
    0.1  # of the height, that curves take; a line across that would leave them less is only named
)
MARKED_ROWS = 10  # as many points of training or fewer have markers
ENVIRONMENT_STEPS = "environment steps"
NAME_WIDTH = 68  # characters of a title before it takes a second line
SMOOTHED_ROWS = 60  # a training curve of more rows is averaged down to this number


def draw_curve(run_folder: Path, *, unit: str = ENVIRONMENT_STEPS) -> Path:
    """Write learning_curve.png into a run folder: returns against global environment steps.

    Evaluations: their mean as a line, one standard deviation around it as a band (at most from
    their minimum to their maximum). Training returns, of the exploring policy, lie behind it. The
    expert of an imitation and a random policy are horizontal lines, where the folder has their returns.

    Args:
        run_folder: with `metrics.jsonl`, and `references.json` if there are any.
        unit: of the steps.

    Returns:
        The picture's path.

    Raises:
        StorageError: there are no metrics, a file is damaged, or the picture cannot be written.
    """
    rows = read_metrics(run_folder / "metrics.jsonl")
    figure, axes = make_figure(*INCHES)
    _draw_training(axes, rows)
    _draw_evaluations(axes, rows)
    if not axes.lines:
        axes.text(0.5, 0.5, "no episode has ended yet", ha="center", transform=axes.transAxes)
    steps = float(rows[-1]["step"]) if rows else 0.0
    _style(axes, run_folder.resolve().name, steps=steps, unit=_unit(run_folder, steps, unit))
    _draw_references(axes, read_references(run_folder))
    return save_figure(figure, run_folder / "learning_curve.png")


def series(rows: Sequence[Mapping[str, Any]], name: str) -> tuple[list[float], list[float]]:
    """Steps and values of a metric, where it is there and finite."""
    points = [
        (float(row["step"]), float(row[name]))
        for row in rows
        if isinstance(row.get(name), int | float) and math.isfinite(row[name])
    ]
    return [step for step, _ in points], [value for _, value in points]


def average_groups(steps: list[float], values: list[float]) -> tuple[list[float], list[float]]:
    """Means of consecutive groups, so that at most `SMOOTHED_ROWS` points are left."""
    size = max(1, math.ceil(len(values) / SMOOTHED_ROWS))
    starts = range(0, len(values), size)

    def means(numbers: list[float]) -> list[float]:
        groups = [numbers[start : start + size] for start in starts]
        return [sum(group) / len(group) for group in groups]

    return means(steps), means(values)


def _draw_training(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    steps, values = series(rows, "rollout/return_mean")
    if not steps:
        return
    if len(steps) > SMOOTHED_ROWS:
        axes.plot(steps, values, color=TRAINING, linewidth=0.7, alpha=0.35)
    marker = "o" if len(steps) <= MARKED_ROWS else ""
    axes.plot(
        *average_groups(steps, values),
        color=TRAINING,
        linewidth=1.6,
        marker=marker,
        markersize=4,
        label="training (exploring)",
    )


def _draw_evaluations(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    steps, means = series(rows, "eval/return_mean")
    if not steps:
        return
    evaluated = [row for row in rows if row.get("eval/return_mean") is not None]
    band = [
        (row["step"], *_spread(row)) for row in evaluated if math.isfinite(row["eval/return_mean"])
    ]
    positions, lows, highs = zip(*band, strict=True)
    axes.fill_between(positions, lows, highs, color=EVALUATION, alpha=0.15, linewidth=0)
    marker = "o" if len(steps) <= 40 else ""
    axes.plot(
        steps,
        means,
        color=EVALUATION,
        linewidth=2.2,
        marker=marker,
        markersize=4,
        label="evaluation (deterministic), ± 1 sd",
    )
    axes.annotate(
        _figure(means[-1]),
        (steps[-1], means[-1]),
        xytext=(7, 0),
        textcoords="offset points",
        color=EVALUATION,
        fontweight="bold",
        va="center",
        annotation_clip=False,
        bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1.0},
    )


def _draw_references(axes: Axes, references: Mapping[str, Reference]) -> None:
    """Lines across with their words beside them; only the words, at the edge, where a line would flatten the curves."""
    low, high = axes.get_ylim()
    has_curves = bool(axes.lines)
    for name, reference in references.items():
        colour, dashes, place = LINES[name]
        value = reference["return_mean"]
        words = f"{name}: {_figure(value)} ({reference['source']})"
        style: dict[str, Any] = {"color": colour, "fontsize": 9, "zorder": 3}
        style |= {"bbox": {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1.0}}
        if has_curves and high - low < LEAST_SHARE * (max(high, value) - min(low, value)):
            is_above = value > high
            arrow, style["va"] = ("↑", "top") if is_above else ("↓", "bottom")
            style |= {"ha": place["ha"], "transform": axes.transAxes}
            axes.text(place["x"], 0.99 if is_above else 0.01, f"{arrow} {words}", **style)
            continue
        axes.axhline(value, color=colour, linestyle=dashes, linewidth=1.4, zorder=1.5)
        style |= place | {"xytext": (0, 4 if place["va"] == "bottom" else -4)}
        style |= {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
        axes.annotate(words, (style.pop("x"), value), **style)
        room = 0.1 * (max(high, value) - min(low, value))  # for the words
        low, high = min(low, value - room), max(high, value + room)
        axes.set_ylim(low, high)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _spread(row: Mapping[str, Any]) -> tuple[float, float]:
    """Where an evaluation's band ends: one standard deviation off, no further than its extremes."""
    mean, deviation = row["eval/return_mean"], row.get("eval/return_sd") or 0.0
    low = max(mean - deviation, row.get("eval/return_min", -math.inf))
    high = min(mean + deviation, row.get("eval/return_max", math.inf))
    return low, high


def _unit(run_folder: Path, steps: float, unit: str) -> str:
    """The words below the axis, with how far a run came that did not reach its end."""
    words = f"{unit}, all workers" if unit == ENVIRONMENT_STEPS else unit
    config = run_folder / "config.yaml"
    total = float(read_yaml(config).values.get("num_timesteps") or 0) if config.exists() else 0.0
    return f"{words} ({count(steps)} of {count(total)})" if steps < total else words


def _style(axes: Axes, name: str, *, steps: float, unit: str) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_title(_wrap_name(name), loc="left", fontsize=11, fontweight="bold", color=INK, pad=12)
    axes.set_xlabel(unit, color=INK)
    axes.set_ylabel("return of an episode", color=INK)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axes.margins(x=0.0, y=0.06)
    axes.set_xlim(0, 1.02 * steps or 1)  # the last point is whole
    style_axes(axes)
    if axes.lines:
        _legend(axes)
        axes.autoscale(enable=False)
    else:
        axes.set_yticks([])


def _legend(axes: Axes) -> None:
    """Evaluation, training; references are named where their lines are."""
    handles, labels = axes.get_legend_handles_labels()
    legend = axes.legend(handles[::-1], labels[::-1], loc="best", frameon=False, fontsize=9)
    for text in legend.get_texts():
        text.set_color(INK)


def _short(value: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _wrap_name(name: str) -> str:
    """A long run name over several lines, broken at dots and underscores if possible."""
    lines = [""]
    for piece in name.replace(".", ".\0").replace("_", "_\0").split("\0"):
        if lines[-1] and len(lines[-1]) + len(piece) > NAME_WIDTH:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)
