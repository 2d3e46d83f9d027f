"""Figures of one look: made, styled and saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import StorageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 150
EVALUATION, TRAINING, INK, FAINT = "#2563a8", "#9aa3ad", "#22262b", "#e4e7eb"


def make_figure(width: float, height: float, *, rows: int = 1) -> tuple[Figure, Any]:
    """A white figure of this size in inches and its axes; several rows share their x-axis."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), DOTS_PER_INCH, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, sharex=rows > 1)


def style_axes(axes: Axes) -> None:
    """A line below, faint lines across, no ticks."""
    axes.grid(axis="y", color=FAINT, linewidth=1.0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(TRAINING)
    axes.tick_params(colors=INK, length=0, labelsize=9)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a PNG, complete or not at all; its path.

    Raises:
        StorageError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        figure.savefig(beside, format="png", metadata={"Software": None})
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Free space there, or make the folder writable.",
        ) from error
    return path
