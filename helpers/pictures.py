"""Pictures as observations: their form, and the space that says so. Everywhere they are flat vectors of bytes.

A picture is kept as its channels, one after another, each row by row: (C, H, W) made flat. Frames that are stacked are
channels too, the oldest first, so that the newest frame is the end of the vector.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import gymnasium
import numpy as np


@dataclass(frozen=True)
class Picture:
    """The form of an observation.

    Attributes:
        channels: C, of all frames.
        height, width: H, W.
        frames: how many are stacked.
        found: the shape that the environment gives, and its order, for people to read.
    """

    channels: int
    height: int
    width: int
    frames: int = 1
    found: str = ""

    @property
    def size(self) -> int:
        """Numbers of an observation."""
        return self.channels * self.height * self.width

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.height, self.width

    def __str__(self) -> str:
        stacked = f", {self.frames} frames stacked" if self.frames > 1 else ""
        return f"{self.height} x {self.width} x {self.channels}{stacked}"


class PictureSpace(gymnasium.spaces.Box):
    """Flat pictures (C H W,) of 0 to 255: a Box that knows their form.

    Args:
        picture: the form.
        dtype: uint8, or that of the network's numbers where a perceptron takes them.
    """

    def __init__(self, picture: Picture, dtype: Any = np.uint8) -> None:
        super().__init__(0, 255, (picture.size,), dtype)
        self.picture = picture


def picture_of(space: gymnasium.Space) -> Picture | None:
    """The form of the pictures in a space; None where they are none."""
    return getattr(space, "picture", None)


def picture_to_json(space: gymnasium.Space) -> dict[str, Any] | None:
    """`picture_of` as plain data."""
    found = picture_of(space)
    return None if found is None else asdict(found)
