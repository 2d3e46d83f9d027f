"""A suite of its own, as somebody would add it: this one file in environments/suites, and one line in table.py."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from environments.suites.suite import Options, Spaces, Suite, Wanted
from helpers.errors import ConfigurationError

SPACES = gymnasium.spaces.Box(-2.0, 2.0, (2,), np.float64), gymnasium.spaces.Box(-1.0, 1.0, (1,))


class Toy(Suite):
    """Points that are pushed along a line."""

    name, backends, simulator = "toy", ("Toy",), "Toy Physics"
    packages, install = ("toy_physics",), "pip install toy-physics"

    def ids(self) -> tuple[str, ...]:
        """Where the point has to go."""
        return "Toy-Left-v0", "Toy-Right-v0"

    def check_options(self, env_id: str, options: Options) -> None:
        """How far a push goes."""
        if options.keys() - {"push"}:
            raise ConfigurationError(f"env_options: {env_id} has only the option push.", "Give it.")

    def spaces(self, env_id: str, options: Options) -> Spaces:
        """Place and step; a push."""
        return SPACES

    def max_episode_steps(self, env_id: str, options: Options) -> int:
        """The same for both."""
        return 20

    def make_env(self, env_id: str, wanted: Wanted) -> gymnasium.Env:
        """One point."""
        point = Point(1.0 if "Right" in env_id else -1.0, wanted.render_mode, **wanted.options)
        return gymnasium.wrappers.TimeLimit(point, wanted.limit or 20)


class Point(gymnasium.Env[np.ndarray, np.ndarray]):
    """A point on a line.

    Args:
        target: where it has to go.
        push: how far the largest action moves it.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # as Gymnasium declares it

    def __init__(self, target: float, render_mode: str | None, push: float = 0.1) -> None:
        import toy_physics  # a package that only the test has

        self.world, self.target, self.render_mode = toy_physics.__name__, target, render_mode
        self.push, self.place, self.steps = push, 0.0, 0
        self.observation_space, self.action_space = SPACES

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, Any]:
        """Somewhere near the middle."""
        super().reset(seed=seed)
        self.place, self.steps = float(self.np_random.uniform(-0.5, 0.5)), 0
        return self._seen(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One push."""
        self.place = float(np.clip(self.place + self.push * action[0], -2.0, 2.0))
        self.steps += 1
        return self._seen(), -abs(self.place - self.target), False, False, {}

    def render(self) -> np.ndarray:
        """A white point on black."""
        picture = np.zeros((64, 128, 3), np.uint8)
        column = int((self.place + 2.0) / 4.0 * 119)
        picture[28:36, column : column + 8] = 255
        return picture

    def _seen(self) -> np.ndarray:
        return np.array([self.place, self.steps / 20.0])


SUITE = Toy()
