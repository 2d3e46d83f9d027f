"""An environment that waits, as a slow simulator does, for benchmarks.scaling.processes."""

from __future__ import annotations

import time
from typing import Any

import gymnasium
import numpy as np


class Sleeper(gymnasium.Env):
    """A random walk of four numbers that actions push; an episode ends by chance.

    Args:
        wait: seconds a step.
    """

    def __init__(self, wait: float = 0.02) -> None:
        self.wait, self.place = wait, np.zeros(4)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Begin somewhere."""
        super().reset(seed=seed)
        self.place = self.np_random.normal(size=4)
        return self.place.copy(), {}

    def step(self, action: np.ndarray) -> Any:
        """Wait, then move."""
        time.sleep(self.wait)
        self.place = self.place + 0.1 * action + 0.01 * self.np_random.normal(size=4)
        ended = bool(self.np_random.random() < 0.02)
        return self.place.copy(), -float(np.abs(self.place).sum()), ended, False, {}
