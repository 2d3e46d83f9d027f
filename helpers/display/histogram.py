"""The returns of demonstrations as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers.display.learning_curve import DOTS_PER_INCH, EVALUATION, FAINT, INK, TRAINING
from helpers.errors import StorageError

_INCHES = (6.4, 3.6)
_MOST_BINS = 30


def draw_returns(returns: Sequence[float], path: Path, *, title: str) -> Path:
    """Write a histogram of returns as PNG, a tick below it for each episode, a line at their mean.

    Raises:
        StorageError: it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=_INCHES, dpi=DOTS_PER_INCH, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.hist(
        returns,
        bins=edges(returns).tolist(),
        color=EVALUATION,
        alpha=0.85,
        edgecolor="white",
    )
    axes.plot(returns, np.zeros(len(returns)), "|", color=INK, markersize=9, clip_on=False)
    mean = float(np.mean(returns))
    axes.axvline(mean, color=INK, linewidth=1.2, linestyle="--")
    axes.annotate(
        f"mean {mean:,.1f}",
        (mean, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(4, -11),
        textcoords="offset points",
        color=INK,
        fontsize=9,
    )
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK, wrap=True)
    axes.set_xlabel("return of an episode", color=INK)
    axes.set_ylabel("episodes", color=INK)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.grid(axis="y", color=FAINT, linewidth=1.0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(TRAINING)
    axes.tick_params(colors=INK, length=0, labelsize=9)
    beside = path.with_name(f".{path.name}.new")
    try:
        figure.savefig(beside, format="png", metadata={"Software": None})
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Free space there, or copy the demonstrations to a writable folder.",
        ) from error
    return path


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
