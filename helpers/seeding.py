"""Random streams: one root seed, a stream for each purpose and index, none of them stateful.

A stream is named, not carried: `streams.generator("exploration", environment, iteration)` is the same
generator whenever and on whichever worker it is asked for. So nothing about randomness needs saving
beside the seed and the counters, and a run does not depend on how environments are spread over workers.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Streams:
    """Every random number of a run, derived from one `numpy.random.SeedSequence`.

    Attributes:
        seed: the run's seed, at least 0.
    """

    seed: int

    def sequence(self, purpose: str, *indices: int) -> np.random.SeedSequence:
        """The seed sequence of a purpose ("training", "evaluation", ...) and of indices within it.

        A purpose takes the same number of indices everywhere: numpy fills up with zeros, so that no index and an index
        0 are the same stream.
        """
        return np.random.SeedSequence([self.seed, zlib.crc32(purpose.encode()), *indices])

    def generator(self, purpose: str, *indices: int) -> np.random.Generator:
        """A fresh generator at the start of the stream of this purpose and these indices."""
        return np.random.Generator(np.random.PCG64(self.sequence(purpose, *indices)))

    def integer(self, purpose: str, *indices: int) -> int:
        """A 31-bit seed for whatever takes an integer: an environment, a `torch.Generator`."""
        return int(self.sequence(purpose, *indices).generate_state(1)[0] >> 1)
