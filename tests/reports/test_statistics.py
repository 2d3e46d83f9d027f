"""Estimates in closed form and beside scipy; intervals and tests on swarms whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.reports.statistics import bimodal, coverage, false_positives, normal, skewed
from reports.statistics import estimates, intervals
from reports.statistics.tests import permutation_test, seeds_needed

A = np.array([3.0, 1.0, 2.0, 4.0, 100.0])
B = np.array([0.0, 1.0, 2.0, 2.0, 3.0])


def gaps(a, b, axis):
    return np.mean(a, axis=axis) - np.mean(b, axis=axis)


def test_estimates_in_closed_form():
    assert estimates.iqm([A]) == 3.0  # of 5 runs one of either end is cut
    assert estimates.iqm([A, B]) == pytest.approx((1 + 2 + 2 + 2 + 3 + 3) / 6, abs=1e-12)
    for size in range(1, 40):
        sample = np.random.default_rng(size).normal(size=size)
        assert estimates.iqm([sample]) == pytest.approx(stats.trim_mean(sample, 0.25), abs=1e-12)
    assert estimates.mean([A, B]) == pytest.approx((22 + 1.6) / 2, abs=1e-12)
    assert estimates.median([A, B, B]) == pytest.approx(1.6, abs=1e-12)
    assert estimates.optimality_gap([np.array([0.5, 2.0])]) == pytest.approx(0.25, abs=1e-12)
    levels = np.array([0.0, 2.5, 1000.0])
    assert estimates.profile([A, B], levels).tolist() == pytest.approx([0.9, 0.4, 0.0], abs=1e-12)


def test_the_probability_of_improvement_is_mann_whitneys():
    found = estimates.improvement([A, B], [B, A])
    ahead = [stats.mannwhitneyu(a, b).statistic / 25 for a, b in ((A, B), (B, A))]
    assert found == pytest.approx(np.mean(ahead), abs=1e-12)
    assert estimates.improvement([A], [A]) == 0.5


@pytest.mark.parametrize("estimate", [estimates.iqm, estimates.mean, estimates.median])
def test_estimates_take_resamples_at_once(estimate):
    drawn = intervals.resample([A, B], 7)
    one_by_one = [float(estimate([task[i] for task in drawn])) for i in range(7)]
    assert estimate(drawn).tolist() == pytest.approx(one_by_one, abs=1e-12)


@pytest.mark.parametrize(("pairs", "kind"), [(False, "independent"), (True, "samples")])
def test_the_permutation_test_of_a_task_is_scipys(pairs, kind):
    ours = permutation_test([A], [B], pairs=pairs)
    theirs = stats.permutation_test(
        (A, B),
        gaps,
        vectorized=True,
        permutation_type=kind,
        n_resamples=np.inf,
    )
    assert ours.is_exact and ours.p == pytest.approx(theirs.pvalue, abs=1e-12)
    assert ours.least == pytest.approx(2 / 32 if pairs else 2 / 252)


def test_a_permutation_test_over_tasks_exchanges_within_a_task():
    """Two tasks of one pair each, unpaired: 2 ways each, and of the 4 sums two are as far as what was seen."""
    ours, others = [np.array([5.0]), np.array([7.0])], [np.array([1.0]), np.array([1.0])]
    assert permutation_test(ours, others, pairs=False).p == 0.5
    assert permutation_test(ours, others, pairs=True).p == 0.5


def test_what_is_drawn_is_near_what_is_counted():
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=12), generator.normal(size=12) + 0.8
    drawn = permutation_test([a], [b], pairs=False)
    assert not drawn.is_exact
    assert drawn.p == pytest.approx(stats.ttest_ind(a, b).pvalue, abs=0.02)


def test_seeds_that_are_needed_have_the_power():
    """Of a t test with that many seeds, by simulation: 80 % see the difference, with two fewer less."""
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=2000), generator.normal(size=2000) + 1.0
    needed = seeds_needed([a], [b])
    assert needed is not None and 14 <= needed <= 20

    def power(seeds):
        x, y = generator.normal(size=(2, 4000, seeds))
        gap = float(np.mean(b) - np.mean(a))
        return np.mean(stats.ttest_ind(x, y + gap, axis=1).pvalue <= 0.05)

    assert power(needed) > 0.77 and power(needed - 4) < 0.78
    assert seeds_needed([A], [A]) is None and seeds_needed([A[:1]], [B]) is None


def test_an_interval_of_one_seed_is_not_known():
    found = intervals.interval([A[:1]], estimates.iqm)
    assert found.value == 3.0 and not found.is_known and not found.excludes(0.0)
    assert np.isnan(intervals.band(A[None, :1], estimates.mean)[1]).all()


def test_the_expanded_interval_of_a_mean_is_as_wide_as_students():
    sample = np.random.default_rng(3).normal(size=30)
    found = intervals.interval([sample], estimates.mean)
    width = 2 * stats.t.ppf(0.975, 29) * stats.sem(sample)
    assert found.high - found.low == pytest.approx(width, rel=0.05)
    assert found == intervals.interval([sample], estimates.mean)


def test_memory_does_not_grow_with_the_resamples(monkeypatch):
    monkeypatch.setattr(intervals, "_MOST_NUMBERS", 50)
    found = intervals.two_samples([A], [B], estimates.improvement, resamples=2000)
    assert found.value == pytest.approx(0.76, abs=1e-12) and 0.05 < found.low < 0.76 < found.high


@pytest.mark.parametrize(("draw", "least"), [(normal, 0.9), (skewed, 0.89), (bimodal, 0.86)])
def test_the_interval_of_an_iqm_holds(draw, least):
    """200 swarms of 5 seeds, so within 5 %; all of it: docs/results/statistics.md."""
    held = coverage(draw, estimates.iqm, 5, swarms=200)
    assert held >= least
    assert held > coverage(draw, estimates.iqm, 5, swarms=200, method="percentile")


def test_the_permutation_test_is_wrong_as_often_as_it_says():
    """1,000 null swarms, so within 1.4 %; of 5 pairs it can never be below 5 %."""
    assert 0.035 <= false_positives(normal, 5, pairs=False, swarms=1000) <= 0.065
    assert false_positives(normal, 5, pairs=True, swarms=50) == 0.0
