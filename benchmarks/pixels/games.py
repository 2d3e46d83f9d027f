"""Small games that are seen as pictures alone: `--env_id=benchmarks/pixels/games.py:Catch`.

Their states are plain numbers, so that a run resumes exactly.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

CELLS = 12  # of a side


class Game(gymnasium.Env[np.ndarray, np.int64]):
    """A square of cells, drawn in grey on black.

    Args:
        scale: pixels of a cell; 7 gives pictures of 84 x 84.
        render_mode: as Gymnasium has it.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # as Gymnasium declares it

    def __init__(self, scale: int = 7, render_mode: str | None = None) -> None:
        self.scale, self.render_mode = scale, render_mode
        side = CELLS * scale
        self.observation_space = gymnasium.spaces.Box(0, 255, (side, side, 1), np.uint8)
        self.column = self.row = self.velocity = self.paddle = 0

    def cells(self) -> np.ndarray:
        """(CELLS, CELLS) brightness."""
        raise NotImplementedError

    def draw(self) -> np.ndarray:
        """(side, side, 1) uint8."""
        return self.cells().repeat(self.scale, 0).repeat(self.scale, 1)[..., None]

    def render(self) -> Any:
        """The picture in colours."""
        return self.draw().repeat(3, 2)


class Catch(Game):
    """A ball falls and bounces off the walls, a paddle of three cells below moves: 1 if it is caught, else -1."""

    def __init__(self, scale: int = 7, render_mode: str | None = None) -> None:
        super().__init__(scale, render_mode)
        self.action_space: Any = gymnasium.spaces.Discrete(3)

    def cells(self) -> np.ndarray:
        found = np.zeros((CELLS, CELLS), np.uint8)
        found[-1, max(0, self.paddle - 1) : self.paddle + 2] = 128
        found[self.row, self.column] = 255
        return found

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, Any]:
        super().reset(seed=seed, options=options)
        self.row = 0
        self.column, self.paddle = (int(each) for each in self.np_random.integers(CELLS, size=2))
        self.velocity = int(self.np_random.integers(-1, 2))
        return self.draw(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.paddle = min(max(self.paddle + int(action) - 1, 0), CELLS - 1)
        self.row += 1
        if not 0 <= self.column + self.velocity < CELLS:
            self.velocity = -self.velocity
        self.column += self.velocity
        is_over = self.row == CELLS - 1
        reward = (1.0 if abs(self.column - self.paddle) <= 1 else -1.0) if is_over else 0.0
        return self.draw(), reward, is_over, False, {}


class Drift(Game):
    """A bar moves left or right around the square: 1 for saying where to, which one frame alone does not show.

    An episode is 8 steps. Who guesses gets 4; who sees two frames gets 7.5, since the first shows no motion.
    """

    LENGTH = 8

    def __init__(self, scale: int = 3, render_mode: str | None = None) -> None:
        super().__init__(scale, render_mode)
        self.action_space: Any = gymnasium.spaces.Discrete(2)

    def cells(self) -> np.ndarray:
        found = np.zeros((CELLS, CELLS), np.uint8)
        found[:, [self.column, (self.column + 1) % CELLS]] = 255
        return found

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, Any]:
        super().reset(seed=seed, options=options)
        self.row, self.column = 0, int(self.np_random.integers(CELLS))
        self.velocity = int(self.np_random.choice([-1, 1]))
        return self.draw(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.row += 1
        self.column = (self.column + self.velocity) % CELLS
        reward = float((self.velocity > 0) == (int(action) == 1))
        return self.draw(), reward, self.row == self.LENGTH, False, {}
