"""The pictures of a search: returns, the settings' schedules, and which setting mattered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers.display.figure import (
    EVALUATION,
    FAINT,
    INK,
    TRAINING,
    make_figure,
    save_figure,
)
from helpers.display.learning_curve import average_groups
from swarm.tune.results import TrialResults
from swarm.tune.space import Space

_TAKE_OVER = "#c2571a"


def draw_returns(
    path: Path,
    trials: Sequence[TrialResults],
    best: TrialResults | None,
    metric: str,
) -> None:
    """The metric of all trials against their steps; a triangle where one takes over another's checkpoint."""
    figure, axes = make_figure(8.0, 4.5)
    for trial in [*(each for each in trials if each is not best), *([best] if best else [])]:
        points = [
            (float(each.get("timesteps_total") or 0), float(each[metric]))
            for each in trial.reports
            if isinstance(each.get(metric), int | float)
        ]
        if not points:
            continue
        is_best = trial is best
        steps, values = (list(column) for column in zip(*points, strict=True))
        colour, width = (EVALUATION, 2.0) if is_best else (TRAINING, 1.0)
        label = f"best (trial {trial.number:03d})" if is_best else None
        axes.plot(
            *average_groups(steps, values),
            color=colour,
            linewidth=width,
            label=label,
            zorder=3 if is_best else 2,
        )
        for before, after in zip(trial.reports, trial.reports[1:], strict=False):
            value = after.get(metric)
            if after.get("generation", 0) > before.get("generation", 0) and value is not None:
                axes.plot(
                    after["timesteps_total"],
                    value,
                    marker="^",
                    color=_TAKE_OVER,
                    markersize=5,
                    zorder=4,
                )
    if any(trial.taken for trial in trials):
        axes.plot(
            [],
            [],
            marker="^",
            linestyle="",
            color=_TAKE_OVER,
            label="takes over a checkpoint",
        )
    axes.plot([], [], color=TRAINING, label="other trials")
    axes.set_xlabel("environment steps")
    axes.set_ylabel(metric)
    _style(axes)
    axes.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def draw_schedules(
    path: Path,
    trials: Sequence[TrialResults],
    best: TrialResults | None,
    space: Space,
) -> None:
    """Each setting over the course of each trial, as it was in effect."""
    count = len(space.dimensions)
    figure, every = make_figure(8.0, 1.9 * count, rows=count)
    panels: list[Any] = [every] if count == 1 else list(every)
    for axes, dimension in zip(panels, space.dimensions, strict=True):
        key = f"setting/{dimension.name}"
        for trial in [*(each for each in trials if each is not best), *([best] if best else [])]:
            points = [(each["timesteps_total"], each[key]) for each in trial.reports if key in each]
            if not points:
                continue
            steps, values = zip(*points, strict=True)
            is_best = trial is best
            colour, width = (EVALUATION, 1.8) if is_best else (TRAINING, 0.9)
            texts = [str(value) if isinstance(value, str | bool) else value for value in values]
            axes.plot(
                steps,
                texts,
                color=colour,
                linewidth=width,
                drawstyle="steps-pre",
                zorder=3 if is_best else 2,
            )
        if dimension.kind == "loguniform" or _spans(dimension.values):
            axes.set_yscale("log")
        axes.set_ylabel(dimension.name, fontsize=8)
        _style(axes)
    panels[-1].set_xlabel("environment steps")
    save_figure(figure, path)


def draw_importances(path: Path, importances: Sequence[tuple[str, float]]) -> None:
    """Bars, the most important setting first."""
    figure, axes = make_figure(8.0, 0.6 + 0.4 * len(importances))
    names = [name for name, _ in reversed(importances)]
    axes.barh(names, [value for _, value in reversed(importances)], color=EVALUATION, height=0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the variance of the result")
    _style(axes)
    save_figure(figure, path)


def _spans(values: Sequence[Any]) -> bool:
    """Whether choices are best distinguished by their logarithms."""
    numbers = [
        each for each in values if isinstance(each, int | float) and not isinstance(each, bool)
    ]
    return (
        len(numbers) == len(values) > 0 and min(numbers) > 0 and max(numbers) / min(numbers) >= 30
    )


def _style(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=8)
