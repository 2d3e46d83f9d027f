"""Environments whose observations are pictures: which they are, and what is made of each before a network sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import gymnasium
import numpy as np

from helpers.config.run_basics import PICTURES
from helpers.errors import ConfigurationError
from helpers.pictures import Picture, PictureSpace

GREY = np.array(
    [0.2125, 0.7154, 0.0721],
)  # of red, green and blue, as gymnasium.wrappers.GrayscaleObservation
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Preprocessing:
    """What is made of an environment's pictures.

    Attributes:
        kept: whether a network for pictures takes them, so that they stay bytes.
        frame_stack: frames that an observation shows, the newest last.
        greyscale: whether colours become one channel.
        resize: height and width; None leaves them.
        picture_layout: "hwc", "chw", or "auto", which infers it from the shape.
    """

    kept: bool = False
    frame_stack: int = 1
    greyscale: bool = False
    resize: int | None = None
    picture_layout: str = "auto"


def split_options(options: Options) -> tuple[Preprocessing, dict[str, Any]]:
    """What is made of pictures, and the options of the environment's own constructor."""
    known = {PICTURES + each.name: each.name for each in fields(Preprocessing)}
    chosen = {known[key]: value for key, value in options.items() if key in known}
    return Preprocessing(**chosen), {k: v for k, v in options.items() if k not in known}


def flags_of(options: Options) -> list[str]:
    """The flags that ask for what is made of pictures."""
    asked, _ = split_options(options)
    flags = ["--perception_stack=nature_cnn"] if asked.kept else []
    for each in fields(asked):
        value = getattr(asked, each.name)
        if each.name != "kept" and value != each.default:
            flags.append(f"--{each.name}" if value is True else f"--{each.name}={value}")
    return flags


def is_picture(space: gymnasium.Space) -> bool:
    """Whether observations are pictures: uint8 from 0 to 255, of two or three dimensions."""
    return (
        isinstance(space, gymnasium.spaces.Box)
        and space.dtype == np.uint8
        and len(space.shape) in (2, 3)
        and bool((space.low == 0).all() and (space.high == 255).all())
    )


def refuse_preprocessing(env_id: str, options: Options) -> None:
    """Refuse what is asked of pictures where observations are none.

    Raises:
        ConfigurationError: something is.
    """
    asked, _ = split_options(options)
    if asked == Preprocessing():
        return
    names = [
        f"--{each.name}"
        for each in fields(asked)
        if each.name != "kept" and getattr(asked, each.name) != each.default
    ]
    what = f"{', '.join(names)} is" if names else "a network for pictures is"
    raise ConfigurationError(
        f"env_id={env_id} has observations that are no pictures, and {what} for pictures alone.",
        "Use a perceptron, --perception_stack=mlp_64, without --frame_stack, --greyscale and --resize, or an "
        "environment with uint8 pictures (Reacher-Easy-Pixels-v0).",
    )


def layout_of(env_id: str, shape: tuple[int, ...], wanted: str) -> str:
    """The order of a picture's dimensions: "hw", "hwc" or "chw".

    The channels are the shorter of the first and the last dimension, and shorter than the one between.

    Raises:
        ConfigurationError: the shape is ambiguous.
    """
    if len(shape) == 2:
        return "hw"
    if wanted != "auto":
        return wanted
    first, middle, last = shape
    if last < min(first, middle):
        return "hwc"
    if first < min(middle, last):
        return "chw"
    raise ConfigurationError(
        f"env_id={env_id} has pictures of shape {shape}, which leaves open where their channels are.",
        "Say it: --picture_layout=hwc (channels last) or --picture_layout=chw (channels first).",
    )


class Frames:
    """Makes frames (C, H, W) of an environment's pictures.

    Greyscale is that of gymnasium.wrappers.GrayscaleObservation. Resizing averages over areas, as OpenCV's INTER_AREA
    does up to rounding, without OpenCV.

    Attributes:
        picture: the form of an observation of `frame_stack` of them.

    Raises:
        ConfigurationError: the shape leaves open where the channels are, or there are no colours to turn grey.
    """

    def __init__(self, env_id: str, shape: tuple[int, ...], made: Preprocessing) -> None:
        self._layout, self._greyscale = (
            layout_of(env_id, shape, made.picture_layout),
            made.greyscale,
        )
        blank = np.zeros(shape, np.uint8)
        found = self._channels_first(blank).shape
        if made.greyscale and found[0] not in (1, 3):
            raise ConfigurationError(
                f"env_id={env_id}: --greyscale takes pictures of 3 channels, and these have {found[0]}.",
                "Omit --greyscale, or say where the channels are: --picture_layout=hwc or chw.",
            )
        self._weights = None
        if made.resize is not None:
            self._weights = [area_weights(size, made.resize) for size in found[1:]]
        channels, height, width = self(blank).shape
        words = f"{' x '.join(map(str, shape))}, {self._layout.upper()}"
        stack = made.frame_stack
        self.picture = Picture(stack * channels, height, width, stack, words)

    def _channels_first(self, picture: np.ndarray) -> np.ndarray:
        """(C, H, W) of a picture as the environment gives it."""
        if self._layout == "hw":
            return picture[None]
        return picture.transpose(2, 0, 1) if self._layout == "hwc" else picture

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """The frame (C, H, W) uint8 of a picture, grey and resized."""
        frame = self._channels_first(np.asarray(picture))
        if self._greyscale and len(frame) == 3:
            # the last axis is summed, and cut rather than rounded, as Gymnasium does
            frame = (frame.transpose(1, 2, 0) * GREY).sum(-1).astype(np.uint8)[None]
        if self._weights is not None:
            rows, columns = self._weights
            frame = np.rint(rows @ frame.astype(np.float64) @ columns.T).astype(np.uint8)
        return frame


def space_of_pictures(env_id: str, shape: tuple[int, ...], made: Preprocessing) -> PictureSpace:
    """The space of what `PictureObservation` makes of pictures of a shape."""
    picture = Frames(env_id, shape, made).picture
    return PictureSpace(picture, np.uint8 if made.kept else np.float32)


class PictureObservation(gymnasium.Wrapper):
    """Pictures as flat channels of bytes: greyscale, resized and stacked as asked.

    The stack is that of gymnasium.wrappers.FrameStackObservation, which begins an episode with copies of its first
    frame; here it is an array rather than a queue, so that a saved state resumes exactly.
    """

    def __init__(self, env: gymnasium.Env, made: Preprocessing, *, env_id: str) -> None:
        super().__init__(env)
        shape = env.observation_space.shape or ()
        self._frame = Frames(env_id, shape, made)
        space = space_of_pictures(env_id, shape, made)
        self.observation_space, picture = space, space.picture
        one = picture.channels // picture.frames, picture.height, picture.width
        self._frames = np.zeros((picture.frames, *one), np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, Any]:
        """Begin an episode: its first frame fills the stack."""
        picture, info = self.env.reset(seed=seed, options=options)
        self._frames[:] = self._frame(picture)
        return self._observation(), info

    def step(self, action: Any) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        """One step: its frame is the newest."""
        picture, reward, terminated, truncated, info = self.env.step(action)
        self._frames[:-1] = self._frames[1:].copy()
        self._frames[-1] = self._frame(picture)
        return self._observation(), reward, terminated, truncated, info

    def _observation(self) -> np.ndarray:
        return self._frames.reshape(-1).astype(self.observation_space.dtype)  # a copy


def area_weights(size: int, wanted: int) -> np.ndarray:
    """(wanted, size) how much of each old pixel of a line is in each new one; rows sum to 1."""
    edges = np.arange(wanted + 1) * (size / wanted)
    old = np.arange(size)
    covered = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
    weights = np.clip(covered, 0.0, None)
    return np.asarray(weights / weights.sum(1, keepdims=True))
