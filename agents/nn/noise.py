"""Random numbers of a training, a stream of its own for each environment and block of steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helpers.seeding import Streams


class NoiseStream:
    """Random numbers (N, dim) a step, drawn a block of steps at a time.

    The stream is named by (purpose, environment, block), so that the numbers are the same however
    environments are spread over workers, and `seek` or `rewind` is all that resuming needs.

    Args:
        kind: "normal", standard normal, "gumbel", standard Gumbel, or "uniform", in [0, 1).
        purpose: names the stream.
        environments: the global indices of this worker's environments.
        block_len: steps a block.
        dim: numbers a step and environment.
    """

    def __init__(
        self,
        kind: str,
        *,
        streams: Streams,
        environments: Sequence[int],
        purpose: str,
        block_len: int,
        dim: int,
        dtype: np.dtype,
    ) -> None:
        self.kind, self.streams, self.environments = kind, streams, environments
        self.purpose = purpose
        self.shape, self.dtype = (block_len, dim), dtype
        self.rewind(0)

    def rewind(self, block: int) -> None:
        """Stand before the first step of the block of this number."""
        self._number, self._step = block, 0
        self._block: np.ndarray | None = None

    def seek(self, step: int) -> None:
        """Stand before this step, counted from the first one of the training."""
        number, within = divmod(step, self.shape[0])
        if number != self._number:
            self.rewind(number)
        self._step = within

    def next(self) -> np.ndarray:
        """The next step's numbers (N, dim)."""
        if self._block is None:
            self._block = np.stack([self._draw(index) for index in self.environments], axis=1)
        numbers = self._block[self._step]
        self._step += 1
        if self._step == len(self._block):
            self.rewind(self._number + 1)
        return numbers

    def _draw(self, environment: int) -> np.ndarray:
        generator = self.streams.generator(self.purpose, environment, self._number)
        if self.kind == "gumbel":
            return generator.gumbel(size=self.shape).astype(self.dtype)
        if self.kind == "uniform":
            return generator.random(self.shape, dtype=self.dtype)
        return generator.standard_normal(self.shape, dtype=self.dtype)
