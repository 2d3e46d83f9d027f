"""The returns of episodes as a picture: of demonstrations, of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.display.figure import EVALUATION, INK, make_figure, save_figure, style_axes
from helpers.run_folder.references import Reference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES = (6.4, 3.6)
_FAR = 4.0  # spreads of the returns: a line further off would make them one bar
_MOST_BINS = 30


def draw_returns(
    returns: Sequence[float],
    path: Path,
    *,
    title: str,
    references: Mapping[str, Reference] | None = None,
) -> Path:
    """Write a histogram of returns as PNG, a tick below it for each episode, a line at their mean.

    Args:
        returns: of the episodes.
        path: of the picture.
        title: above it.
        references: what they are compared with: lines, too, or words at the edge where a line would be far off.

    Raises:
        StorageError: it cannot be written.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = make_figure(*_INCHES)
    bins = edges(returns).tolist()
    axes.hist(returns, bins=bins, color=EVALUATION, alpha=0.85, edgecolor="white")
    axes.plot(returns, np.zeros(len(returns)), "|", color=INK, markersize=9, clip_on=False)
    axes.margins(y=0.3)  # for the words
    spread = f" ± {np.std(returns, ddof=1):,.1f} (sd)" if len(returns) > 1 else ""
    mean = float(np.mean(returns))
    lines = {f"mean {mean:,.1f}{spread}, {len(returns)} episodes": mean}
    for name, each in (references or {}).items():
        lines[f"{name} {each['return_mean']:,.1f}"] = each["return_mean"]
    _draw_lines(axes, lines, bins[0], bins[-1])
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK, wrap=True)
    axes.set_xlabel("return of an episode", color=INK)
    axes.set_ylabel("episodes", color=INK)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    if min(returns) == max(returns):
        axes.set_xticks([returns[0]], [f"{returns[0]:,.6g}"])  # not 1e-6 around it
    style_axes(axes)
    return save_figure(figure, path)


def _draw_lines(axes: Axes, lines: Mapping[str, float], low: float, high: float) -> None:
    """Lines upright and their words, one below the other; those far off are words at the edge."""
    reach = _FAR * (high - low)
    near = [value for value in lines.values() if low - reach <= value <= high + reach]
    left, right = min(low, *near), max(high, *near)
    axes.set_xlim(left - 0.04 * (right - left), right + 0.04 * (right - left))
    for row, (words, value) in enumerate(lines.items()):
        style: dict[str, Any] = {"fontsize": 9, "color": INK, "va": "top"}
        style |= {"textcoords": "offset points", "xycoords": axes.get_xaxis_transform()}
        style |= {"bbox": {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1.0}}
        if value in near:
            axes.axvline(value, color=INK, linewidth=1.2, linestyle="--" if not row else ":")
        else:
            words = f"{words} →" if value > high else f"← {words}"
        place = min(max(value, left), right)
        is_left = place > (left + right) / 2
        style |= {"ha": "right" if is_left else "left", "xytext": (-4 if is_left else 4, -14 * row)}
        axes.annotate(words, (place, 0.99), **style)


def edges(returns: Sequence[float]) -> np.ndarray:
    """Where bins begin and end: as many as the square root of the episodes asks for, at least five.

    Returns that are all the same, or nearly, get bins around them: numpy would refuse ranges that floats cannot cut.
    """
    low, high = float(np.min(returns)), float(np.max(returns))
    least = 1e-6 * max(1.0, abs(low), abs(high))
    if high - low < least:
        low, high = low - least / 2, high + least / 2
    count = min(_MOST_BINS, max(5, round(len(returns) ** 0.5)))
    return np.linspace(low, high, count + 1)
