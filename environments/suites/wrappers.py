"""Wrappers of single environments, one idea each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatten

from environments.ids import PIXELS
from environments.suites.parts import flat_space
from environments.suites.pictures import is_picture, refuse_preprocessing, split_options
from helpers.errors import ConfigurationError
from helpers.pictures import Picture, PictureSpace

# What a dm_control task of pictures takes: the camera's number or name, and the picture's size in pixels.
PIXEL_OPTIONS: Mapping[str, Any] = {"camera": 0, "height": 84, "width": 84}
LARGEST_PICTURE = 480  # pixels of a side that every model has a buffer for


def check_options(env_id: str, options: Mapping[str, Any]) -> None:
    """Refuse options that a dm_control task does not have.

    Raises:
        ConfigurationError: there are some.
    """
    given = split_options(options)[1]
    known = list(PIXEL_OPTIONS) if env_id.endswith(PIXELS) else []
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ConfigurationError(
            f"env_id={env_id} has no option {', '.join(unknown)}.",
            f"There are {', '.join(known)}." if known else "dm_control tasks have none.",
        )
    if not known:
        refuse_preprocessing(env_id, options)
    for name in ("height", "width"):
        size = given.get(name, PIXEL_OPTIONS[name])
        if type(size) is not int or not 1 <= size <= LARGEST_PICTURE:
            raise ConfigurationError(
                f"env_options: {name}={size} is no size of a picture in pixels.",
                f"Give a whole number from 1 to {LARGEST_PICTURE}, such as 84.",
            )
    if type(given.get("camera", 0)) not in (int, str):
        raise ConfigurationError(
            f"env_options: camera={given['camera']} is neither a number nor a name.",
            'Give {"camera": 0}, or a name of the model.',
        )


class VectorObservation(gymnasium.ObservationWrapper):
    """Any flattenable observation as a vector; discrete ones become one-hot."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        flat = flat_space(env.observation_space)
        self.observation_space = flat
        if is_picture(env.observation_space):  # so that code that flattens it can report it
            shape = env.observation_space.shape or ()
            found = Picture(1, 1, flat.shape[0], found=" x ".join(map(str, shape)))
            self.observation_space = PictureSpace(found, np.float32)

    def observation(self, observation: Any) -> np.ndarray:
        """The vector of an observation, (obs_dim,)."""
        flat = flatten(self.env.observation_space, observation)
        return np.asarray(flat, dtype=self.observation_space.dtype)


class VectorAction(gymnasium.ActionWrapper):
    """Arrays of any shape as vectors (A,), in C order; switches (MultiBinary) as choices of two."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        space = env.action_space
        self.action_space: gymnasium.Space
        match space:
            case spaces.Box():
                dtype: Any = space.dtype
                self.action_space = spaces.Box(space.low.ravel(), space.high.ravel(), dtype=dtype)
            case spaces.MultiDiscrete():
                self.action_space = spaces.MultiDiscrete(
                    space.nvec.ravel(),
                    start=space.start.ravel(),
                )
            case spaces.MultiBinary():
                self.action_space = spaces.MultiDiscrete(np.full(int(np.prod(space.shape)), 2))
            case _:
                raise TypeError(f"actions in {space}")
        self._shape, self._dtype = space.shape, space.dtype

    @property
    def environment_shape(self) -> tuple[int, ...]:
        """Of an action as the environment itself takes it."""
        return tuple(self._shape or ())

    def action(self, action: Any) -> np.ndarray:
        """An action as the environment itself takes it."""
        return np.asarray(action, dtype=self._dtype).reshape(self._shape)


def is_plain(space: gymnasium.Space) -> bool:
    """Whether actions are vectors, a choice or several choices already."""
    if isinstance(space, spaces.Discrete):
        return True
    return isinstance(space, spaces.Box | spaces.MultiDiscrete) and len(space.shape) == 1
