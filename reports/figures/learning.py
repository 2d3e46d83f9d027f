"""Learning curves: a panel a task, a line a group, a band for what is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures import style
from reports.figures.style import Look
from reports.results.curves import Axis, Curve, unit_of
from reports.results.references import Scale


def draw_curves(
    curves: Mapping[str, Sequence[Curve]],
    looks: Mapping[str, Look],
    *,
    axis: Axis,
    ylabel: str,
    scales: Mapping[str, Scale],
    columns: int = style.MOST_COLUMNS,
    size: tuple[float, float] = style.PANEL,
) -> Figure:
    """The curves of each task.

    Args:
        curves: by task.
        looks: by group; a curve without one lies grey behind the others.
        axis: what they are against.
        ylabel: what the lines are.
        scales: references by task, lines across where the axis reaches them.
        columns: panels beside one another, at most.
        size: of a panel, in inches.
    """
    shown = {label: None for each in curves.values() for curve in each for label in [curve.label]}
    labels = [label for label in looks if label in shown]
    columns = min(len(curves), columns)
    extra = style.legend_height(labels, columns * size[0]) if len(labels) > 1 else 0.0
    figure, every = style.panels(len(curves), columns=columns, size=size, extra=extra)
    for place, (axes, (task, of_task)) in enumerate(zip(every, curves.items(), strict=True)):
        unit, name = unit_of(of_task, axis)
        for curve in sorted(of_task, key=lambda each: each.label in looks):
            _draw(axes, curve, looks.get(curve.label), unit)
        if task in scales:
            _draw_reference(axes, scales[task])
        axes.set_title(task, loc="left", fontweight="bold")
        axes.set_xlabel(name)
        if place % columns == 0:
            axes.set_ylabel(ylabel)
        style.number_axis(axes.xaxis)
        style.number_axis(axes.yaxis)
        axes.set_xlim(left=0)
        axes.margins(y=0.06)
    handles = [handle_of(looks[label]) for label in labels]
    if len(labels) > 1:
        style.legend_below(figure, handles, labels)
    return figure


def handle_of(look: Look) -> Line2D:
    """The entry of a legend."""
    return Line2D(
        [],
        [],
        color=look.colour,
        linestyle=look.dashes,
        marker=look.marker,
        markersize=4,
        linewidth=1.5,
    )


def _draw(axes: Axes, curve: Curve, look: Look | None, unit: float) -> None:
    x = curve.x / unit
    if look is None:
        axes.plot(x, curve.value, color=style.GREY, linewidth=0.8, alpha=0.6, zorder=1.6)
        return
    axes.fill_between(
        x,
        curve.low,
        curve.high,
        color=look.colour,
        alpha=0.18,
        linewidth=0,
        zorder=2,
    )
    whole = curve.seeds == curve.most
    after = np.concatenate([whole[:-1] & ~whole[1:], [False]]) | ~whole
    line: dict[str, Any] = {"color": look.colour, "linestyle": look.dashes, "zorder": 3}
    axes.plot(
        x,
        np.where(whole, curve.value, np.nan),
        linewidth=1.5,
        marker=look.marker,
        markersize=3.6,
        markeredgecolor="white",
        markeredgewidth=0.4,
        markevery=_marked(len(x)),
        **line,
    )
    if not whole.all():  # fewer seeds: thinner, without markers
        axes.plot(x, np.where(after, curve.value, np.nan), linewidth=0.7, **line)


def _marked(points: int) -> int | slice:
    """Which points have a marker: seven or so."""
    every = max(1, points // 7)
    return slice(every // 2, None, every)


def _draw_reference(axes: Axes, scale: Scale) -> None:
    for value, name in ((scale.target, "reference"), (scale.random, "random")):
        low, high = axes.get_ylim()
        span = high - low
        if low - 0.25 * span <= value <= high + 0.25 * span:
            axes.axhline(value, color=style.INK, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1.5)
            axes.annotate(
                name,
                (1, value),
                xycoords=("axes fraction", "data"),
                xytext=(-1, 1.5),
                textcoords="offset points",
                ha="right",
                fontsize=6.5,
                color=style.INK,
            )
