"""Wrappers of single environments, one idea each."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatten

from environments.suites.parts import flat_space
from environments.suites.pictures import is_picture
from helpers.pictures import Picture, PictureSpace


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
