"""Wrappers of single environments, one idea each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces.utils import flatten, flatten_space

from helpers.errors import ConfigurationError


def refuse_options(env_id: str, options: Mapping[str, Any]) -> None:
    """Refuse options of a dm_control task.

    Raises:
        ConfigurationError: there are some.
    """
    if options:
        raise ConfigurationError(
            f"env_id={env_id} has no option {', '.join(options)}.",
            "dm_control tasks have none.",
        )


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
