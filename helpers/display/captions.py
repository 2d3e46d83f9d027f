"""Words above pictures, for videos."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

WORDS, FAINT_WORDS = (34, 38, 43), (122, 130, 138)  # RGB
_BAND = 0.09  # a caption's height by the picture's width
_LETTERS = 0.4  # the size of letters by the caption's height
_BASELINE = 0.66  # where letters stand, from its top

Colour = tuple[int, int, int]


def add_caption(
    picture: np.ndarray,
    name: str,
    figure: str,
    *,
    note: str = "",
    colour: Colour = WORDS,
) -> np.ndarray:
    """A picture with a white band above it.

    Args:
        picture: (height, width, 3) uint8.
        name: stands on the left, bold.
        figure: stands on the right.
        note: stands between them, faint.
        colour: of the name and of a line below it, RGB.

    Returns:
        (height + band, width, 3) uint8; bands of pictures of one width have one height.
    """
    from PIL import Image, ImageDraw

    width = picture.shape[1]
    height = max(16, 2 * round(_BAND * width / 2))
    line, margin = max(2, height // 14), height // 4
    baseline = round(_BASELINE * height)
    band = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(band)
    size = round(_LETTERS * height)
    plain, bold = _font(size, is_bold=False), _font(size, is_bold=True)
    draw.text((margin, baseline), name, colour, bold, anchor="ls")
    draw.text((width // 2, baseline), note, FAINT_WORDS, plain, anchor="ms")
    draw.text((width - margin, baseline), figure, WORDS, plain, anchor="rs")
    draw.rectangle((0, height - line, width, height), colour)
    return np.concatenate([np.asarray(band), picture])


def as_figure(return_: float) -> str:
    """A return with three digits or more."""
    return f"{return_:,.0f}" if abs(return_) >= 100 else f"{return_:.1f}"


def side_by_side(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Two pictures of one height (height, width, 3), with a white gap between them."""
    gap = np.full((left.shape[0], max(2, left.shape[1] // 60), 3), 255, np.uint8)
    return np.concatenate([left, gap, right], axis=1)


def fade(picture: np.ndarray) -> np.ndarray:
    """Halfway to white."""
    return (picture // 2 + 127).astype(np.uint8)


@cache
def _font(size: int, *, is_bold: bool) -> FreeTypeFont:
    """The font that matplotlib carries, whose letters are `size` pixels."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if is_bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / name, size)
