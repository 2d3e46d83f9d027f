"""Random numbers of a training, a stream of its own for each environment and block of steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helpers.seeding import Streams


class ExplorationNoise:
    """Noise (N, dim) a step, drawn a rollout at a time.

    The stream is named by (environment, rollout), so that environments explore alike however they
    are spread over workers, and `rewind` to a rollout is all that resuming needs.

    Args:
        kind: "normal", standard normal, "gumbel", standard Gumbel, or "uniform", in [0, 1).
        environments: the global indices of this worker's environments.
        rollout_len: steps a rollout, or whatever is drawn at a time.
        dim: numbers a step and environment.
        purpose: names the stream.
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
        purpose: str = "exploration",
    ) -> None:
        self.kind, self.streams, self.environments = kind, streams, environments
        self.purpose = purpose
        self.shape, self.dtype = (rollout_len, dim), dtype
        self.rewind(0)

    def rewind(self, rollout: int) -> None:
        """Stand before the first step of the rollout of this number."""
        self._rollout, self._step = rollout, 0
        self._block: np.ndarray | None = None

    def seek(self, step: int) -> None:
        """Stand before this step, counted from the first one of the training."""
        rollout, within = divmod(step, self.shape[0])
        if rollout != self._rollout:
            self.rewind(rollout)
        self._step = within

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
        generator = self.streams.generator(self.purpose, environment, self._rollout)
        if self.kind == "gumbel":
            return generator.gumbel(size=self.shape).astype(self.dtype)
        if self.kind == "uniform":
            return generator.random(self.shape, dtype=self.dtype)
        return generator.standard_normal(self.shape, dtype=self.dtype)
