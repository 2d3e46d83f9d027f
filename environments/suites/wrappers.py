"""Wrappers of single environments, one idea each."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces.utils import flatten, flatten_space


class VectorObservation(gymnasium.ObservationWrapper):
    """Any flattenable observation as a float32 vector; discrete ones become one-hot."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        flat = flatten_space(env.observation_space)
        assert isinstance(flat, gymnasium.spaces.Box)
        self.observation_space = gymnasium.spaces.Box(
            flat.low.astype(np.float32),
            flat.high.astype(np.float32),
            dtype=np.float32,
        )

    def observation(self, observation: Any) -> np.ndarray:
        """The vector of an observation, (obs_dim,)."""
        return np.asarray(flatten(self.env.observation_space, observation), dtype=np.float32)
