"""What DAgger's rounds visited, with the expert's actions there, whole on every worker.

A worker saves what its own environments visited, in shards of some rounds each, which do not change once they are full:
a checkpoint writes the newest one and links the others. Shapes: T steps a round, N environments of this worker.
"""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium
import numpy as np

from helpers.checkpoints.shards import Shard
from helpers.parallel.workers import Workers

ROUNDS_A_SHARD = 8
_NAME = "visited"


class Rounds:
    """Observations and actions of rounds.

    Args:
        environments: the global indices of this worker's environments.
        total_envs: of all workers.
        action_space: Box (A,), Discrete or MultiDiscrete (D,).
        workers: who gather them.
    """

    def __init__(
        self,
        *,
        environments: range,
        total_envs: int,
        action_space: gymnasium.Space,
        workers: Workers,
    ) -> None:
        self.environments, self.total_envs, self.workers = environments, total_envs, workers
        self._shape = tuple(action_space.shape or ())
        self._columns = int(np.prod(self._shape))
        self._is_choice = not isinstance(action_space, gymnasium.spaces.Box)
        self._own: list[np.ndarray] = []  # (T, N, obs_dim + A), a round each
        self._whole: list[np.ndarray] = []  # (T * total_envs, obs_dim + A), likewise

    def __len__(self) -> int:
        return len(self._own)

    def add(self, observations: np.ndarray, actions: np.ndarray) -> None:
        """Take in a round of this worker, observations (T, N, obs_dim), actions (T, N, ...); collective."""
        columns = actions.reshape(*actions.shape[:2], self._columns)
        self._add(np.concatenate([observations, columns.astype(observations.dtype)], -1))

    def _add(self, own: np.ndarray) -> None:
        whole = np.zeros((len(own), self.total_envs, own.shape[-1]), own.dtype)
        whole[:, self.environments.start : self.environments.stop] = own
        self.workers.sum_(whole)
        self._own.append(own)
        self._whole.append(whole.reshape(-1, own.shape[-1]))

    def last_round(self) -> tuple[np.ndarray, np.ndarray]:
        """Observations (T * total_envs, obs_dim) and actions of the last round, step by step."""
        return self._split(self._whole[-1])

    def all_rounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Those of all rounds, one after the other."""
        return self._split(np.concatenate(self._whole))

    def _split(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        observations, actions = rows[:, : -self._columns], rows[:, -self._columns :]
        if not self._is_choice:
            return observations, actions
        return observations, np.rint(actions).astype(np.int64).reshape(-1, *self._shape)

    def shards(self) -> dict[str, Shard]:
        """This worker's part, a fixed number of rounds a shard; a version is the number of rounds that it holds."""
        made = {}
        for start in range(0, len(self._own), ROUNDS_A_SHARD):
            part = self._own[start : start + ROUNDS_A_SHARD]
            name = f"{_NAME}.{start // ROUNDS_A_SHARD:04d}"
            made[name] = Shard(str(len(part)), np.stack(part))
        return made

    def load(self, count: int, shards: Mapping[str, np.ndarray]) -> None:
        """Load `count` rounds from what `shards` gave; collective."""
        self._own.clear()
        self._whole.clear()
        for start in range(0, count, ROUNDS_A_SHARD):
            for own in shards[f"{_NAME}.{start // ROUNDS_A_SHARD:04d}"]:
                self._add(np.array(own))
        assert len(self) == count, "a shard is not as long as its checkpoint says"
