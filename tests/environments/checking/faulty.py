"""A small environment with one fault at a time."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

FAULTS = (
    "none",
    "global randomness",
    "state in a dict",
    "terminates at the limit",
    "nan observation",
    "infinite reward",
    "leaves its space",
    "clock in seconds since 1970",
    "raises",
    "large rewards",
    "spread",
    "unbounded actions",
    "no picture",
    "deaf to seeds",
)


class Faulty(gymnasium.Env):
    """A point that actions push along a line.

    Args:
        fault: one of FAULTS.
        render_mode: None or "rgb_array".
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # as Gymnasium declares it

    def __init__(self, fault: str = "none", render_mode: str | None = None) -> None:
        self.fault, self.render_mode = fault, render_mode
        bound = np.inf if fault == "unbounded actions" else 1.0
        self.observation_space = gymnasium.spaces.Box(-1e10, 1e10, (3,), np.float64)
        if fault == "leaves its space":
            self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float64)
        self.action_space = gymnasium.spaces.Box(-bound, bound, (1,), np.float32)
        self.place, self.steps, self.secret = 0.0, 0, {"place": 0.0}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place, self.steps = float(self.np_random.uniform(-0.5, 0.5)), 0
        if self.fault == "deaf to seeds":
            self.place = 0.25
        self.secret["place"] = self.place
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        push = float(np.clip(action[0], -1, 1))
        is_global = self.fault == "global randomness"
        noise = np.random.normal() if is_global else self.np_random.normal()  # noqa: NPY002
        self.steps += 1
        if self.fault == "state in a dict":
            self.secret["place"] += 0.1 * push + 0.01 * noise
            self.place = self.secret["place"]
        else:
            self.place = 0.9 * self.place + 0.1 * push + 0.01 * noise
        if self.fault == "raises" and self.steps == 20:
            raise RuntimeError("the motor is hot")
        reward = -abs(self.place) * (1e6 if self.fault == "large rewards" else 1.0)
        if self.fault == "infinite reward" and self.steps == 30:
            reward = np.inf
        ended = self.fault == "terminates at the limit" and self.steps == 50
        return self._observation(), reward, ended, False, {}

    def _observation(self) -> np.ndarray:
        second, third = np.sin(self.place), self.place**2
        if self.fault == "nan observation" and self.steps == 40:
            second = np.nan
        if self.fault == "leaves its space" and self.steps == 40:
            second = 3.5
        if self.fault == "clock in seconds since 1970":
            third = 1.7e9 + 0.02 * self.steps
        if self.fault == "spread":
            third *= 1e6
        return np.array([self.place, second, third])

    def render(self) -> np.ndarray:
        if self.fault == "no picture":
            return np.zeros((8, 8), np.float32)
        picture = np.zeros((8, 8, 3), np.uint8)
        picture[:, 4] = 255
        return picture


gymnasium.register("Faulty-v0", Faulty, max_episode_steps=50)
