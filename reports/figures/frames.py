"""A strip of pictures of a video, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from reports.figures import style

_INCHES, _TITLE = 9.4, 0.2  # wide; below each picture
_GAP = 0.06  # between two


def draw_frames(frames: Sequence[tuple[float, np.ndarray]]) -> Figure:
    """Pictures in a row, each with its second; made within `style.styled()`.

    Args:
        frames: (seconds, (height, width, 3) uint8), all of one size, at least one.
    """
    height, width = frames[0][1].shape[:2]
    wide = (_INCHES - _GAP * (len(frames) - 1)) / len(frames)
    high = wide * height / width
    figure = Figure(figsize=(_INCHES, high + _TITLE), dpi=style.DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    for place, (second, picture) in enumerate(frames):
        left = place * (wide + _GAP) / _INCHES
        axes = figure.add_axes(
            (left, _TITLE / (high + _TITLE), wide / _INCHES, high / (high + _TITLE)),
        )
        axes.imshow(picture, interpolation="antialiased", aspect="auto")
        axes.set_axis_off()
        figure.text(left, 0.02, f"{second:.1f} s", fontsize=7.5, color=style.INK)
    return figure
