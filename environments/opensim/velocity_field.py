"""Where to go and how fast: the field of target velocities of the "Learn to Move: Walk Around" challenge (2019).

Velocities are given on a grid of points 0.5 m apart, 40 m wide, and linear in between. In the field of difficulty 0 all
are alike; in the others they lead to a target that is drawn, and on to another one when it was held for some seconds.
A plane has x to the front and y to the left.
"""

from __future__ import annotations

import math

import numpy as np

_HALF_WIDTH, _SPACING = 20.0, 0.5  # metres
_CONSTANT = np.array([1.4, 0.0])  # metres a second
_SLOWEST, _FASTEST = 0.8, 1.8  # metres a second, on the way to a target
_SLOW_DOWN = 1.0  # metres before a target
_RADIUS = 0.3  # metres, within which a target is held
_DISTANCE = (5.0, 7.0)  # metres from one target to the next
_ANGLES = {1: 0.0, 2: math.pi / 2, 3: math.pi}  # the way may turn by up to this, to either side
_TARGETS = {1: math.inf, 2: math.inf, 3: 2}  # how many there are
SEEN = 11  # points a side that are seen, 1 m apart


class VelocityField:
    """Target velocities of an episode.

    Args:
        difficulty: from 0 to 3.

    Attributes:
        target: (2,) in metres; where nothing is drawn (difficulty 0), far ahead.
        velocities: (2, points, points) by x and y, in metres a second.
        corner: (2,) of the grid's first point.
        found: targets that have been held.
    """

    def __init__(self, difficulty: int) -> None:
        self.difficulty = difficulty
        self.target = np.array([np.inf, 0.0])
        self.corner = np.zeros(2)
        self.velocities = np.zeros((2, 1, 1))
        self.found, self._heading, self._held, self._needed = 0, 0.0, 0.0, 0.0

    def reset(self, place: np.ndarray, generator: np.random.Generator) -> None:
        """Begin an episode at a place (2,)."""
        self.found, self._heading, self._held = 0, 0.0, 0.0
        self.target = place.copy()
        if self.difficulty:
            self._draw_target(place, generator)
            return
        grid = self._grid(place)
        self.velocities = np.broadcast_to(_CONSTANT[:, None, None], grid.shape).copy()
        self.target = np.array([np.inf, 0.0])

    def _grid(self, place: np.ndarray) -> np.ndarray:
        """Points (2, points, points) about a place."""
        self.corner = place - _HALF_WIDTH
        steps = np.arange(round(2 * _HALF_WIDTH / _SPACING) + 1) * _SPACING
        return np.stack(np.meshgrid(*(each + steps for each in self.corner), indexing="ij"))

    def _draw_target(self, place: np.ndarray, generator: np.random.Generator) -> None:
        """A target ahead of the last one, and the velocities that lead to it."""
        turn = _ANGLES[self.difficulty]
        distance = generator.uniform(*_DISTANCE)
        self._heading += generator.uniform(-turn, turn) if turn else 0.0
        way = np.array([math.cos(self._heading), math.sin(self._heading)])
        self.target = self.target + distance * way
        self._needed, self._held = generator.uniform(2.0, 4.0), 0.0
        phase = generator.uniform(-math.pi, math.pi)
        to_target = self.target[:, None, None] - self._grid(place)
        away = np.linalg.norm(to_target, axis=0)
        start = float(np.linalg.norm(self.target - place))
        middle, swing = (_FASTEST + _SLOWEST) / 2, (_FASTEST - _SLOWEST) / 2
        speeds = middle + swing * np.sin(phase + np.maximum(away, _SLOW_DOWN) / start * 2 * math.pi)
        speeds = np.where(away > start + _SLOW_DOWN, _FASTEST, speeds)
        speeds = np.where(away < _SLOW_DOWN, away / _SLOW_DOWN * speeds, speeds)
        self.velocities = speeds * to_target / np.maximum(away, 1e-9)

    def update(self, place: np.ndarray, seconds: float, generator: np.random.Generator) -> bool:
        """Time went by at a place (2,); whether a target was held long enough just now."""
        last = _TARGETS.get(self.difficulty, 0)
        if not self.difficulty or self.found >= last:
            return False
        near = float(np.linalg.norm(self.target - place)) < _RADIUS
        self._held = self._held + seconds if near else 0.0
        if self._held <= self._needed:
            return False
        self.found += 1
        self._held = 0.0
        if self.found < last:
            self._draw_target(place, generator)
        return True

    def at(self, points: np.ndarray) -> np.ndarray:
        """Velocities (2, ...) at points (2, ...); beyond the grid those of its edge."""
        shape = (-1, *([1] * (points.ndim - 1)))
        most = self.velocities.shape[1] - 1
        where = np.clip((points - self.corner.reshape(shape)) / _SPACING, 0.0, most)
        low = np.minimum(where.astype(np.int64), most - 1)
        (i, j), (u, v) = low, where - low
        grid = self.velocities
        near = grid[:, i, j] * (1 - v) + grid[:, i, j + 1] * v
        far = grid[:, i + 1, j] * (1 - v) + grid[:, i + 1, j + 1] * v
        found: np.ndarray = near * (1 - u) + far * u
        return found

    def around(self, place: np.ndarray, yaw: float) -> np.ndarray:
        """What is seen from a place (2,): (2, 11, 11), of points and in directions of who looks along `yaw`."""
        steps = np.arange(SEEN) - SEEN // 2
        x, y = np.meshgrid(steps, steps, indexing="ij")
        cosine, sine = math.cos(yaw), math.sin(yaw)
        points = np.stack([cosine * x - sine * y, sine * x + cosine * y])
        forward, left = self.at(points + place[:, None, None])
        return np.stack([cosine * forward + sine * left, cosine * left - sine * forward])
