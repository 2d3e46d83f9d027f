"""Learning curves: a panel a task, a line a group, a band for what is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.figures import style
from reports.figures.style import Look
from reports.results.curves import Axis, Curve, unit_of
from reports.results.references import Scale

_MINUTES, _HOURS = 60.0, 3600.0
_MARKERS = ("*", "h", "d", "p", "8")  # of published results: none is a group's


@dataclass(frozen=True)
class Mark:
    """A published result, drawn beside the curves.

    Attributes:
        name: whose.
        x: steps after which it was reached.
        value, deviation: mean and standard deviation over its seeds.
        label: of the group that it is compared with, whose colour it has where there are several.
    """

    name: str
    x: float
    value: float
    deviation: float
    label: str


def draw_curves(
    curves: Mapping[str, Sequence[Curve]],
    looks: Mapping[str, Look],
    *,
    axis: Axis,
    ylabel: str,
    scales: Mapping[str, Scale],
    columns: int = style.MOST_COLUMNS,
    marks: Mapping[str, Sequence[Mark]] | None = None,
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
        marks: published results by task; none against time.
        size: of a panel, in inches.
    """
    marks = marks or {}
    named = _named(marks)
    shown = {label: None for each in curves.values() for curve in each for label in [curve.label]}
    labels = [label for label in looks if label in shown]
    columns = min(len(curves), columns)
    entries = [*(labels if len(labels) > 1 or named else ()), *named]
    extra = style.legend_height(entries, columns * size[0]) if entries else 0.0
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
        _draw_marks(axes, marks.get(task, ()), looks, named)
        axes.set_xlim(left=0)
        axes.margins(y=0.06)
    if entries:
        handles = [handle_of(looks[label]) for label in labels]
        style.legend_below(figure, [*handles, *named.values()], entries)
    return figure


def _named(marks: Mapping[str, Sequence[Mark]]) -> dict[str, Line2D]:
    """An entry of the legend for each name of the published results."""
    names = dict.fromkeys(mark.name for each in marks.values() for mark in each)
    shared: dict[str, Any] = {"color": style.INK, "markerfacecolor": "white", "linestyle": ""}
    return {
        name: Line2D([], [], marker=_MARKERS[i % len(_MARKERS)], markersize=6, **shared)
        for i, name in enumerate(names)
    }


def _draw_marks(
    axes: Axes,
    marks: Sequence[Mark],
    looks: Mapping[str, Look],
    named: Mapping[str, Line2D],
) -> None:
    """Each beside the end of its steps, one right of the other."""
    width = max((mark.x for mark in marks), default=0.0)
    beside: dict[float, int] = {}
    for mark in marks:
        place = beside[mark.x] = beside.get(mark.x, 0) + 1
        axes.errorbar(
            mark.x + 0.035 * place * width,
            mark.value,
            yerr=mark.deviation,
            color=looks[mark.label].colour if len(looks) > 1 else style.INK,
            marker=named[mark.name].get_marker(),
            markersize=6,
            markerfacecolor="white",
            markeredgewidth=1.0,
            elinewidth=1.0,
            capsize=2,
            zorder=4,
        )


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
