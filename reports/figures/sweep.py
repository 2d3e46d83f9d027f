"""Pictures of a sweep: the effect of each setting, and all settings at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from reports.figures import style
from reports.results.sweep import Sweep

_MOST_TICKS = 8
_WIDE_RANGE = 20  # a positive setting that spans more is drawn by its logarithm


def draw_effects(sweep: Sweep, *, ylabel: str) -> Figure:
    """A panel a setting: every choice as a ring, the mean of each value as a line with its interval."""
    figure, every = style.panels(len(sweep.keys), size=(2.6, 2.3))
    look = style.looks(["effect"])["effect"]
    for place, (axes, key) in enumerate(zip(every, sweep.keys, strict=True)):
        effects = sweep.effects[key]
        places = _places(list(effects))
        for each in sweep.settings:
            axes.plot(
                places[each.values[key]],
                each.overall.value,
                marker="o",
                markersize=3.5,
                markerfacecolor="none",
                markeredgecolor=style.GREY,
                linestyle="",
            )
        x = [places[value] for value in effects]
        for at, found in zip(x, effects.values(), strict=True):
            if found.is_known:
                axes.plot([at, at], [found.low, found.high], color=look.colour, linewidth=1.6)
        means = [found.value for found in effects.values()]
        axes.plot(
            x,
            means,
            color=look.colour,
            marker="o",
            markersize=5,
            linewidth=1.2,
            markeredgecolor="white",
        )
        shown = list(effects)[:: max(1, -(-len(effects) // _MOST_TICKS))]
        axes.set_xticks([places[value] for value in shown], shown)
        if max(map(len, shown)) > 6 and len(shown) > 2:
            axes.tick_params(axis="x", rotation=30)
        axes.set_title(key, loc="left", fontweight="bold")
        axes.margins(x=0.12, y=0.1)
        style.number_axis(axes.yaxis)
        if place % style.MOST_COLUMNS == 0:
            axes.set_ylabel(ylabel)
    return figure


def draw_parallel(sweep: Sweep, *, ylabel: str) -> Figure:
    """An axis a setting and one of scores; a line is a choice, dark and thick the better it is."""
    names = [*sweep.keys, ylabel]
    figure, [axes] = style.panels(1, size=(max(4.6, 1.15 * len(names)), 3.0))
    scores = np.array([each.overall.value for each in sweep.settings])
    low, high = float(scores.min()), float(scores.max())
    rank = (scores - low) / ((high - low) or 1.0)
    heights = [_heights(list(sweep.effects[key])) for key in sweep.keys]
    lines = []
    for share, each in zip(rank, sweep.settings, strict=True):
        at = [height[each.values[key]] for key, height in zip(sweep.keys, heights, strict=True)]
        lines.append(np.column_stack([np.arange(len(names)), [*at, share]]))
    worst_first = np.argsort(rank, kind="stable")
    axes.add_collection(
        LineCollection(
            [lines[i] for i in worst_first],
            colors=colormaps["cividis_r"](0.1 + 0.9 * rank[worst_first]),
            linewidths=0.7 + 1.8 * rank[worst_first] ** 3,
            alpha=0.9,
        ),
    )
    for place, height in enumerate(heights):
        shown = list(height.items())[:: max(1, -(-len(height) // _MOST_TICKS))]
        for value, level in shown:
            _tick(axes, place, level, value)
    for share in np.linspace(0, 1, 5):
        _tick(axes, len(names) - 1, share, style.short(low + share * (high - low)))
    for place in range(len(names)):
        axes.axvline(place, color=style.INK, linewidth=0.8, zorder=1)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks([])
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlim(-0.25, len(names) - 0.55)
    axes.set_ylim(-0.06, 1.06)
    return figure


def _tick(axes: Any, place: float, at: float, text: str) -> None:
    axes.annotate(
        text,
        (place, at),
        xytext=(3, 0),
        textcoords="offset points",
        va="center",
        fontsize=7,
        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.8},
        zorder=5,
    )


def _places(values: Sequence[str]) -> dict[str, float]:
    """Where values stand on an axis: numbers by size or its logarithm, words in their order."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return {value: float(i) for i, value in enumerate(values)}
    if min(numbers) > 0 and max(numbers) / min(numbers) >= _WIDE_RANGE:
        numbers = [float(np.log10(each)) for each in numbers]
    return dict(zip(values, numbers, strict=True))


def _heights(values: Sequence[str]) -> dict[str, float]:
    """Places from 0 to 1."""
    places = _places(values)
    low, high = min(places.values()), max(places.values())
    return {value: (at - low) / (high - low) if high > low else 0.5 for value, at in places.items()}
