"""Words above pictures: where they stand, what they may not touch, and that every figure can be read."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.display.captions import add_caption, fade, side_by_side


def picture(height: int = 120, width: int = 480) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def band_of(shown: np.ndarray, height: int = 120) -> np.ndarray:
    """Where a caption's letters are, bool (height, width), without the line below them."""
    band = shown[:-height]
    return (band.min(axis=2) < 200)[: -max(2, len(band) // 14)]


def test_words_stand_left_middle_and_right_and_the_picture_is_as_it_was() -> None:
    shown = add_caption(
        picture(),
        "imitator",
        "return 11,234",
        note="ended at 12.3 s",
        colour=(9, 9, 200),
    )
    assert shown.dtype == np.uint8 and shown.shape[1:] == (480, 3)
    np.testing.assert_array_equal(shown[-120:], picture())
    assert (shown[-121] == (9, 9, 200)).all()
    columns = np.flatnonzero(band_of(shown).any(axis=0))
    gaps = np.flatnonzero(np.diff(columns) > 20)
    assert len(gaps) == 2  # three pieces, well apart
    assert columns[0] < 20 and columns[-1] > 460
    rows = np.flatnonzero(band_of(shown).any(axis=1))
    assert rows[0] > 3 and rows[-1] < len(band_of(shown)) - 2  # nothing is cut


def test_another_figure_is_another_caption_of_the_same_height() -> None:
    one, other = (add_caption(picture(), "expert", f"return {figure}") for figure in ("8", "-1"))
    assert one.shape == other.shape and (one != other).any()
    assert add_caption(picture(), "expert", "").shape == one.shape


@pytest.mark.parametrize("width", [1, 16, 64, 600, 1920])
def test_any_width_is_captioned(width: int) -> None:
    shown = add_caption(picture(width=width), "imitator", "return 11,234", note="12.3 s")
    assert shown.shape[1] == width and shown.shape[0] > 120


def test_two_stand_side_by_side() -> None:
    both = side_by_side(picture(), fade(picture()))
    assert both.shape == (120, 480 + 8 + 480, 3) and both.dtype == np.uint8
    assert (both[:, :480] == 90).all() and (both[:, 480:488] == 255).all()
    assert (both[:, 488:] == 172).all()
