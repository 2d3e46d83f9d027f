"""Streams of random numbers: none comes twice, and any step can be gone to."""

from __future__ import annotations

import numpy as np
import pytest

from agents.nn.noise import NoiseStream
from helpers.seeding import Streams


def stream(environments: range = range(3), kind: str = "normal") -> NoiseStream:
    return NoiseStream(
        kind,
        streams=Streams(0),
        environments=environments,
        purpose="test",
        block_len=4,
        dim=2,
        dtype=np.dtype(np.float64),
    )


@pytest.mark.parametrize("kind", ["normal", "uniform", "gumbel"])
def test_no_number_comes_twice_whatever_the_block_or_the_environment(kind: str) -> None:
    made = stream(kind=kind)
    numbers = np.stack([made.next() for _ in range(13)])
    assert numbers.shape == (13, 3, 2) and len(np.unique(numbers)) == numbers.size


def test_a_step_has_the_same_numbers_however_it_is_come_to() -> None:
    whole = stream()
    numbers = [whole.next().copy() for _ in range(13)]
    for step in (0, 3, 4, 6, 11, 5):
        whole.seek(step)
        np.testing.assert_array_equal(whole.next(), numbers[step])
    other = stream()
    other.rewind(2)
    np.testing.assert_array_equal(other.next(), numbers[8])


def test_an_environment_has_the_same_numbers_on_whichever_worker() -> None:
    whole, part = stream(range(5)), stream(range(2, 4))
    for _ in range(6):
        np.testing.assert_array_equal(part.next(), whole.next()[2:4])
