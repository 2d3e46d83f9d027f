"""Words above pictures, for videos."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

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
    width = picture.shape[1]
    height = max(16, 2 * round(_BAND * width / 2))
    band = np.full((height, width, 3), 255, np.uint8)
    band[-max(2, height // 14) :] = colour
    size, margin = round(_LETTERS * height), height // 4
    _write(band, _letters(name, size, is_bold=True), colour, left=margin)
    shown = _letters(figure, size, is_bold=False)
    _write(band, shown, WORDS, left=width - margin - shown[0].shape[1])
    shown = _letters(note, size, is_bold=False)
    _write(band, shown, FAINT_WORDS, left=(width - shown[0].shape[1]) // 2)
    return np.concatenate([band, picture])


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


def _write(band: np.ndarray, letters: tuple[np.ndarray, int], colour: Colour, *, left: int) -> None:
    """Letters into a band, in place; what would stand outside of it is cut."""
    mask, below = letters
    top = round(_BASELINE * len(band)) - (len(mask) - below)
    mask = mask[max(0, -top) :, max(0, -left) :]
    top, left = max(0, top), max(0, left)
    place = band[top : top + len(mask), left : left + mask.shape[1]]
    share = mask[: place.shape[0], : place.shape[1], None] / 255.0
    place[:] = np.rint(place * (1.0 - share) + np.array(colour) * share)


@lru_cache(maxsize=512)
def _letters(text: str, size: int, *, is_bold: bool) -> tuple[np.ndarray, int]:
    """How much of each pixel a text covers, uint8 (height, width), and how many rows are below its baseline."""
    if not text:
        return np.zeros((1, 0), np.uint8), 0
    font = _font(is_bold=is_bold)
    font.set_size(size, 72)  # so that a point is a pixel
    font.set_text(text)
    font.draw_glyphs_to_bitmap(antialiased=True)
    return np.array(font.get_image()), round(font.get_descent() / 64)


@lru_cache(maxsize=2)
def _font(*, is_bold: bool) -> Any:
    """The font that matplotlib carries."""
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    weight = "bold" if is_bold else "normal"
    return FT2Font(findfont(FontProperties(family="DejaVu Sans", weight=weight)))
