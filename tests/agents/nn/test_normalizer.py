"""Standardisation of observations, and moments over workers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.nn.normalizer import ObservationNormalizer, ReturnNormalizer, RunningMoments
from helpers.parallel.workers import Workers


def test_outliers_are_clipped_on_both_sides_and_units_are_deviations() -> None:
    normalizer = ObservationNormalizer(2, dtype=np.dtype(np.float64))
    data = np.random.default_rng(0).normal([5.0, -3.0], [0.1, 40.0], (500, 2))
    normalizer.update(data, workers=Workers.solo())
    found = normalizer(np.array([[5.0, -3.0], [1e6, -1e6], [-1e6, 1e6]]))
    assert found[1:].tolist() == [[10.0, -10.0], [-10.0, 10.0]]
    expected = (np.array([5.0, -3.0]) - data.mean(0)) / data.std(0)
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


class Together(Workers):
    """Two workers in turn: the first pass notes what each brings, the second gives each the sums."""

    def __init__(self, brought: list[list[np.ndarray]], rank: int) -> None:
        super().__init__(None, last_words=None)
        self.brought, self.rank, self.size, self.calls = brought, rank, 2, 0

    def sum_(self, array: Any) -> None:
        step = self.brought[self.calls] if self.calls < len(self.brought) else []
        if len(step) == 2:
            array[...] = step[0] + step[1]
        else:
            if not step:
                self.brought.append(step)
            step.append(array.copy())
        self.calls += 1


@pytest.mark.parametrize("forgets", [False, True])
def test_moments_of_two_workers_are_those_of_all_their_data(forgets: bool) -> None:
    rng = np.random.default_rng(1)
    parts = rng.normal(3.0, 2.0, (30, 3)), rng.normal(-7.0, 0.5, (10, 3))
    alone = RunningMoments((3,))
    alone.memory = 5.0 if forgets else alone.memory
    alone.update(rng.normal(size=(400, 3)), workers=Workers.solo())
    start = alone.state_dict()
    alone.update(np.concatenate(parts), workers=Workers.solo())
    brought: list[list[np.ndarray]] = []
    found: list[RunningMoments] = []
    for rank in (0, 1, 0, 1, 0, 1):  # counts and sums first, then deviations from the common mean
        moments = RunningMoments((3,))
        moments.memory = alone.memory
        moments.load_state_dict(start)
        moments.update(parts[rank], workers=Together(brought, rank))
        found.append(moments)
        if rank and len(found) == 2:
            brought[1:] = []
    for each in found[-2:]:
        assert each.count == alone.count
        np.testing.assert_allclose(each.mean, alone.mean, rtol=1e-12)
        np.testing.assert_allclose(each.variance, alone.variance, rtol=1e-12)


def test_a_deviation_far_below_the_mean_is_a_share_of_it_in_every_unit() -> None:
    for unit in (1e-3, 1.0, 1e3):
        moments = ReturnNormalizer(active=True)
        moments.update(unit * np.full(64, 100.0), workers=Workers.solo())
        assert moments.sd == pytest.approx(0.1 * unit)
        assert moments.denormalize(np.array([2.0])) == pytest.approx(unit * 100.2)
