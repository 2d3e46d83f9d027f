"""Gymnasium environments of one step, in every form of observations and actions; what pays most is known.

They assert that what they are given is in their action space: of its form, its dtype and its first number.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

OBSERVATIONS: dict[str, spaces.Space] = {
    "vector": spaces.Box(-np.inf, np.inf, (2,), np.float64),
    "dict": spaces.Dict(
        {
            "zeros": spaces.Box(0, 255, (2, 2), np.uint8),
            "inner": spaces.Tuple(
                (
                    spaces.Discrete(2, start=5),
                    spaces.MultiBinary(2),
                    spaces.Box(-9, 9, (1,), np.int32),
                ),
            ),
            "alone": spaces.MultiDiscrete([2, 3], start=[1, -1]),
        },
    ),
    "tuple": spaces.Tuple(
        (spaces.Discrete(2, start=-1), spaces.Box(-1.0, 1.0, (2, 1), np.float32)),
    ),
    "goal": spaces.Dict(
        {
            "observation": spaces.Box(-np.inf, np.inf, (2,), np.float64),
            "desired_goal": spaces.Box(-np.inf, np.inf, (1,), np.float64),
            "achieved_goal": spaces.Box(-np.inf, np.inf, (1,), np.float64),
        },
    ),
    "matrix": spaces.Box(-9, 9, (2, 2), np.int64),
}
ACTIONS: dict[str, spaces.Space] = {
    "choice": spaces.Discrete(3, start=-1),
    "several": spaces.MultiDiscrete([3, 2, 4], start=[0, 1, -1]),
    "switches": spaces.MultiBinary(3),
    "matrix of switches": spaces.MultiBinary((2, 2)),
    "matrix": spaces.Box(-1.0, 1.0, (2, 3), np.float32),
    "wide matrix": spaces.Box(-1.0, 3.0, (2, 3), np.float64),
    "half bounded": spaces.Box(np.array([-2.0, 0.0]), np.array([1.0, np.inf]), dtype=np.float64),
    "whole": spaces.Box(0, 5, (3,), np.int64),
    "none": spaces.Sequence(spaces.Discrete(2)),
}


class SpaceProbe(gymnasium.Env):
    """One step; a sign is observed, and the action that fits it pays 0, any other less."""

    max_episode_steps = 5

    def __init__(self, observations: str = "vector", actions: str = "choice") -> None:
        self.forms = observations, actions
        self.observation_space, self.action_space = OBSERVATIONS[observations], ACTIONS[actions]
        self.is_up = False

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.is_up = bool(self.np_random.integers(2))
        return self.observe(), {}

    def observe(self) -> Any:
        """The sign, in the form that was asked for."""
        up = int(self.is_up)
        sign = 2.0 * up - 1.0
        match self.forms[0]:
            case "vector":
                return np.array([sign, 1.0])
            case "dict":
                inner = (np.int64(5 + up), np.array([up, 1], np.int8), np.array([3], np.int32))
                alone = np.array([2, up])
                return {"zeros": np.zeros((2, 2), np.uint8), "inner": inner, "alone": alone}
            case "tuple":
                return np.int64(up - 1), np.full((2, 1), 0.5, np.float32)
            case "goal":
                one = np.zeros(1)
                return {"observation": np.ones(2), "desired_goal": one + sign, "achieved_goal": one}
        return np.array([[0, 2 * up - 1], [1, 2]])

    def best(self, *, is_up: bool) -> np.ndarray:
        """The action that pays most."""
        low = {
            "choice": -1,
            "several": [0, 1, 2],
            "switches": [0, 1, 0],
            "matrix of switches": [[0, 1], [1, 0]],
            "half bounded": [-0.5, 0.5],
        }
        high = {
            "choice": 1,
            "several": [2, 2, -1],
            "switches": [1, 0, 0],
            "matrix of switches": [[1, 1], [0, 0]],
            "half bounded": [0.5, 1.5],
        }
        found = (high if is_up else low).get(self.forms[1])
        if found is None:
            found = np.array([[0.8, -0.8, 0.0], [0.4, 0.0, -0.4]]) * (1 if is_up else -1)
        return np.asarray(found)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), (action, self.action_space)
        miss = np.asarray(action, np.float64) - self.best(is_up=self.is_up)
        if not isinstance(self.action_space, spaces.Box):
            miss = miss != 0
        return self.observe(), -float(np.square(miss, dtype=np.float64).sum()), True, False, {}
