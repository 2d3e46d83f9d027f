"""How all figures look: colours that the colour-blind can distinguish, dashes and markers that survive grey."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from helpers.durable import write_atomically

INK, FAINT, GREY = "#22262b", "#e4e7eb", "#9aa3ad"
FORMATS = ("png", "svg", "pdf")
DOTS_PER_INCH = 200
PANEL = (
    3.15,
    2.5,
)  # inches: 80 mm wide, a column of a paper, so that letters keep their size there
MOST_COLUMNS = 3
# Okabe and Ito 2008, from dark to light so that neighbours differ in grey, too; black is for references.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195")
_DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (5, 1.2, 1.2, 1.2)),
    (0, (8, 2)),
)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MOST_COLOURED = len(_COLOURS)
_RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "legend.fontsize": 7.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.8,
    "svg.fonttype": "path",
    "svg.hashsalt": "milozero",  # names inside an SVG, which are random otherwise
    "pdf.fonttype": 42,
    "text.usetex": False,
    "text.parse_math": False,  # a name with $ or _ is a name
}


@dataclass(frozen=True)
class Look:
    """How a group is drawn, everywhere alike."""

    colour: str
    dashes: Any
    marker: str


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """The look of each group, by the order of the groups."""
    return {
        label: Look(
            _COLOURS[i % len(_COLOURS)],
            _DASHES[i % len(_DASHES)],
            _MARKERS[i % len(_MARKERS)],
        )
        for i, label in enumerate(labels)
    }


def panels(
    count: int,
    *,
    columns: int = MOST_COLUMNS,
    size: tuple[float, float] = PANEL,
    extra: float = 0.0,
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels in a grid; `extra` inches below them are for a legend."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = Figure(
        figsize=(columns * size[0], rows * size[1] + extra),
        dpi=DOTS_PER_INCH,
        layout="constrained",
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    every = [figure.add_subplot(rows, columns, place + 1) for place in range(count)]
    for axes in every:
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.grid(color=FAINT, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(length=2.5, width=0.8)
    return figure, every


def short(value: float, _: object = None) -> str:
    """A number on an axis: 100k, 1.5M."""
    for unit, size in (("M", 1e6), ("k", 1e4)):
        if abs(value) >= size:
            return f"{value / (1e6 if unit == 'M' else 1e3):.4g}{unit}"
    return f"{value:.5g}"


def number_axis(axis: Any, *, bins: int = 5) -> None:
    """Few ticks, written shortly."""
    axis.set_major_locator(MaxNLocator(nbins=bins, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(short))


def legend_below(figure: Figure, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """One legend for all panels, below them, in as many columns as fit."""
    width = figure.get_size_inches()[0]
    widest = max(map(len, labels), default=1)
    columns = max(1, min(len(labels), int(width / (0.55 + 0.066 * widest))))
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        handlelength=2.6,
    )


def legend_height(labels: Sequence[str], width: float) -> float:
    """Inches that `legend_below` takes in a figure of a width."""
    widest = max(map(len, labels), default=1)
    columns = max(1, min(len(labels), int(width / (0.55 + 0.066 * widest))))
    return 0.17 * -(-len(labels) // columns) + 0.1


def styled() -> Any:
    """A context in which figures are made and saved."""
    return matplotlib.rc_context(_RC)


def save(figure: Figure, stem: Path, formats: Sequence[str] = FORMATS) -> dict[str, Path]:
    """Write a figure as PNG, SVG and PDF, or as some of these, the same bytes for the same figure; the files by format.

    Raises:
        OSError: the folder cannot be written.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # it is laid out: once for all formats, and for the PDF of all
    for legend in figure.legends:  # which else moves to the end of a page with a caption
        legend.set_bbox_to_anchor((0, 0, 1, 1), figure.transFigure)
    without = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    made = {}
    for kind in formats:
        content = io.BytesIO()
        figure.savefig(content, format=kind, metadata=without[kind])
        made[kind] = stem.with_suffix(f".{kind}")
        write_atomically(made[kind], content.getvalue())
    return made
