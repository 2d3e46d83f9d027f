"""Exploration noise, a stream of its own for each environment and rollout."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helpers.seeding import Streams


class ExplorationNoise:
    """Noise (N, dim) a step, drawn a rollout at a time.

    The stream is named by (environment, rollout), so that environments explore alike however they
    are spread over workers, and `rewind` to a rollout is all that resuming needs.

    Args:
        kind: "normal", standard normal, or "gumbel", standard Gumbel.
        environments: the global indices of this worker's environments.
        rollout_len: steps a rollout.
        dim: numbers a step and environment.
    """

    def __init__(
        self,
        kind: str,
        *,
        streams: Streams,
        environments: Sequence[int],
        rollout_len: int,
        dim: int,
        dtype: np.dtype,
    ) -> None:
        self.kind, self.streams, self.environments = kind, streams, environments
        self.shape, self.dtype = (rollout_len, dim), dtype
        self.rewind(0)

    def rewind(self, rollout: int) -> None:
        """Stand before the first step of the rollout of this number."""
        self._rollout, self._step = rollout, 0
        self._block: np.ndarray | None = None

    def next(self) -> np.ndarray:
        """The next step's noise (N, dim)."""
        if self._block is None:
            self._block = np.stack([self._draw(index) for index in self.environments], axis=1)
        noise = self._block[self._step]
        self._step += 1
        if self._step == len(self._block):
            self.rewind(self._rollout + 1)
        return noise

    def _draw(self, environment: int) -> np.ndarray:
        generator = self.streams.generator("exploration", environment, self._rollout)
        if self.kind == "gumbel":
            return generator.gumbel(size=self.shape).astype(self.dtype)
        return generator.standard_normal(self.shape, dtype=self.dtype)
