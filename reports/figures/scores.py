"""Scores: of each seed, aggregates over tasks, performance profiles, and how probably one is better than another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from reports.figures import style
from reports.figures.learning import handle_of
from reports.figures.style import Look
from reports.results.scores import ESTIMATES, Aggregates, TaskScores
from reports.statistics.intervals import Interval

_ROW = 0.24  # inches a group


def draw_scores(
    scores: Mapping[str, Sequence[TaskScores]],
    looks: Mapping[str, Look],
    *,
    center: str,
    xlabel: str,
) -> Figure:
    """A panel a task: each seed as an open marker, the center with its interval as a filled one.

    Args:
        scores: by task.
        looks: by group.
        center: of the seeds.
        xlabel: what is shown.
    """
    rows = max(map(len, scores.values()))
    figure, every = _rows_of_panels(
        len(scores),
        rows,
        [each for of in scores.values() for each in of],
    )
    for axes, (task, of_task) in zip(every, scores.items(), strict=True):
        for row, each in enumerate(reversed(of_task)):
            look = looks[each.label]
            n = len(each.values)  # 0 while a swarm's runs have no evaluation yet
            spread = np.linspace(-0.16, 0.16, n) if n > 1 else np.zeros(n)
            axes.plot(
                each.values,
                row + spread,
                linestyle="",
                marker=look.marker,
                markersize=3,
                markerfacecolor="none",
                markeredgecolor=look.colour,
                markeredgewidth=0.7,
                alpha=0.8,
            )
            found = each.centre(center)
            if found is not None:
                _point(axes, found, row, look)
        _name_rows(axes, [f"{each.label} (n={len(each.values)})" for each in reversed(of_task)])
        axes.set_title(task, loc="left", fontweight="bold")
        axes.set_xlabel(xlabel)
    return figure


def draw_aggregates(aggregates: Aggregates, looks: Mapping[str, Look]) -> Figure:
    """A panel an estimate, a row a group."""
    labels = list(aggregates.table)
    figure, every = _rows_of_panels(len(ESTIMATES), len(labels), labels, columns=len(ESTIMATES))
    for place, (axes, name) in enumerate(zip(every, ESTIMATES, strict=True)):
        for row, label in enumerate(reversed(labels)):
            _point(axes, aggregates.table[label][name], row, looks[label])
        _name_rows(axes, list(reversed(labels)) if place == 0 else [""] * len(labels))
        axes.set_title(name, loc="left", fontweight="bold")
        axes.set_xlabel("normalised score" if name != "optimality gap" else "less is better")
    return figure


def draw_profiles(aggregates: Aggregates, looks: Mapping[str, Look]) -> Figure:
    """The share of runs above each normalised score."""
    labels = list(aggregates.profiles)
    size = (4.6, 2.9)
    figure, [axes] = style.panels(1, size=size, extra=style.legend_height(labels, size[0]))
    for label, (value, low, high) in aggregates.profiles.items():
        look = looks[label]
        axes.fill_between(aggregates.levels, low, high, color=look.colour, alpha=0.15, linewidth=0)
        axes.plot(
            aggregates.levels,
            value,
            color=look.colour,
            linestyle=look.dashes,
            marker=look.marker,
            markersize=3.6,
            markeredgecolor="white",
            markeredgewidth=0.4,
            markevery=14,
            linewidth=1.5,
        )
    axes.set_xlabel("normalised score")
    axes.set_ylabel("share of runs above it")
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(aggregates.levels[0], aggregates.levels[-1])
    style.legend_below(figure, [handle_of(looks[label]) for label in labels], labels)
    return figure


def draw_improvements(improvement: Mapping[tuple[str, str], Interval]) -> Figure:
    """How probably a run of one group is better than a run of another."""
    return draw_probabilities(
        {f"{one} > {other}": each for (one, other), each in improvement.items()},
    )


def draw_probabilities(found: Mapping[str, Interval]) -> Figure:
    """A row a probability, with a line where neither is better."""
    names = list(found)
    figure, [axes] = _rows_of_panels(1, len(names), names)
    axes.axvline(0.5, color=style.INK, linewidth=0.8, linestyle=(0, (1, 2)))
    look = Look(style.INK, "-", "o")
    for row, each in enumerate(reversed(list(found.values()))):
        _point(axes, each, row, look)
    _name_rows(axes, list(reversed(names)))
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("probability of improvement")
    return figure


def _rows_of_panels(
    count: int,
    rows: int,
    named: Sequence[Any],
    *,
    columns: int = 2,
) -> tuple[Figure, list[Any]]:
    names = [getattr(each, "label", each) for each in named]
    widest = 0.062 * max(map(len, names), default=1)
    narrow = count > 2 and columns > 2
    size = (1.75 + widest / columns if narrow else 2.4 + widest, 0.95 + _ROW * rows)
    return style.panels(count, columns=columns, size=size)


def _name_rows(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    style.number_axis(axes.xaxis, bins=4)
    axes.margins(x=0.06)


def _point(axes: Any, found: Interval, row: int, look: Look) -> None:
    if found.is_known:
        axes.plot([found.low, found.high], [row, row], color=look.colour, linewidth=1.6, zorder=3)
        for end in (found.low, found.high):
            axes.plot(
                [end, end],
                [row - 0.14, row + 0.14],
                color=look.colour,
                linewidth=1.0,
                zorder=3,
            )
    axes.plot(
        [found.value],
        [row],
        linestyle="",
        marker=look.marker,
        markersize=5.5,
        color=look.colour,
        markeredgecolor="white",
        markeredgewidth=0.6,
        zorder=4,
    )
