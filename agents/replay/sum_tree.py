"""Sampling in proportion to priorities: a binary tree of sums for each environment, all walked at once.

Schaul et al., Prioritized Experience Replay, arXiv:1511.05952, section 3.3 and appendix B.2.1.
"""

from __future__ import annotations

import numpy as np


class SumTree:
    """Masses of the rows of a ring, a tree for each of N environments.

    A node is always the sum of its two children as they are, never what was added to it little by little:
    so a tree that is built anew from its leaves is bit for bit the one they were taken from.

    Args:
        rows: of the ring.
        environments: N.
    """

    def __init__(self, rows: int, environments: int) -> None:
        self.rows = rows
        self._depth = max(1, (rows - 1).bit_length())
        # node 1 is the root, 2 i and 2 i + 1 are below i, and row 0 is the first of the lowest
        self._first = 1 << self._depth
        self._nodes = np.zeros((2 * self._first, environments))
        self._flat = self._nodes.reshape(-1)
        self._environments = environments
        self._columns = np.arange(environments)[:, None]

    @staticmethod
    def bytes_for(rows: int, environments: int) -> int:
        """The memory that a tree takes."""
        return 16 * environments << max(1, (rows - 1).bit_length())

    @property
    def leaves(self) -> np.ndarray:
        """float64 (rows, N): the mass of each row. To be changed by the methods alone."""
        return self._nodes[self._first : self._first + self.rows]

    def fill(self, start: int, masses: np.ndarray) -> None:
        """Set the masses (T, N) of the rows from `start` on."""
        low, high = self._first + start, self._first + start + len(masses)
        self._nodes[low:high] = masses
        while low > 1:
            low, high = low // 2, (high + 1) // 2
            children = self._nodes[2 * low : 2 * high]
            np.add(children[::2], children[1::2], out=self._nodes[low:high])

    def set(self, index: np.ndarray, masses: np.ndarray) -> None:
        """Set the masses (B,) at flat places row * N + environment; of equal places the largest counts."""
        places = index + self._first * self._environments
        self._flat[places] = 0.0
        np.maximum.at(self._flat, places, masses)
        node, column = np.divmod(places, self._environments)
        for _ in range(self._depth):
            node >>= 1
            self._nodes[node, column] = (
                self._nodes[2 * node, column] + self._nodes[2 * node + 1, column]
            )

    def draw(self, uniforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows in proportion to their masses, k of each environment from k strata of equal mass.

        Args:
            uniforms: (N, k) in [0, 1): where in its stratum a sample lies.

        Returns:
            rows int64 (N, k), and the probability of each: its mass over its environment's.
        """
        count = uniforms.shape[1]
        total = self._nodes[1][:, None]
        mass = (uniforms + np.arange(count)) * (total / count)
        column = self._columns
        place = np.broadcast_to(self._environments + column, uniforms.shape)  # of the root, flat
        for _ in range(self._depth):
            left = 2 * place - column
            left_mass, right_mass = self._flat[left], self._flat[left + self._environments]
            # a side without mass is never taken, whatever rounding did to the sums
            is_right = (mass >= left_mass) & (right_mass > 0)
            mass = mass - left_mass * is_right
            place = left + self._environments * is_right
        rows = place // self._environments - self._first
        return rows, self._flat[place] / total
