"""Intervals by the stratified bootstrap: the seeds of each task are drawn anew, with replacement.

A bootstrap of few seeds is too narrow: it varies by (n - 1) / n of the variance, and its tails are the normal
distribution's. The "expanded percentile" interval (Hesterberg 2014, arXiv:1411.5279, section 5.3) takes quantiles
further out, so that the interval of a mean is as wide as Student's. How often intervals hold what they should:
docs/results/statistics.md, by `python -m benchmarks.reports.statistics`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from helpers.seeding import Streams
from reports.statistics.estimates import Estimate, Scores, profile

Method = Literal["expanded", "percentile", "bca"]
_TwoEstimate = Callable[[Scores, Scores], np.ndarray]
LEVEL = 0.95
RESAMPLES = 10_000
_CURVE_RESAMPLES = 1_000
_MOST_NUMBERS = 4_000_000  # at a time: 32 MB


@dataclass(frozen=True)
class Interval:
    """An estimate and how well it is known.

    Attributes:
        value: of all runs.
        low, high: ends of the interval; NaN where there is one seed, of which nothing is known.
    """

    value: float
    low: float
    high: float

    @property
    def is_known(self) -> bool:
        """Whether there is an interval at all."""
        return math.isfinite(self.low)

    def excludes(self, number: float) -> bool:
        """Whether a number lies outside."""
        return self.is_known and not self.low <= number <= self.high


def interval(
    scores: Scores,
    estimate: Estimate,
    *,
    method: Method = "expanded",
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """The interval of an estimate; always the same for the same scores.

    Args:
        scores: (n,) of each task.
        estimate: of them.
        method: how the ends are found.
        resamples: how many.
        level: how often the interval should hold the estimate's true value.
    """
    value = float(estimate(scores))
    if min(map(len, scores)) < 2:
        return Interval(value, math.nan, math.nan)
    drawn = _drawn([scores], estimate, resamples)
    ends = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "expanded":
        ends = expanded_levels([len(each) for each in scores], level)
    elif method == "bca":
        ends = _bca_levels(scores, estimate, drawn, value, ends)
    low, high = np.quantile(drawn, ends)
    return Interval(value, float(low), float(high))


def difference(
    ours: Scores,
    others: Scores,
    estimate: Estimate,
    *,
    pairs: bool = False,
    resamples: int = RESAMPLES,
) -> Interval:
    """The interval of an estimate of ours minus the same of theirs.

    Args:
        ours, others: (n,) of each task.
        estimate: of either.
        pairs: both are of the same seeds in the same order, which are drawn together.
        resamples: how many.
    """
    return two_samples(
        ours,
        others,
        lambda a, b: np.asarray(estimate(a) - estimate(b)),
        pairs=pairs,
        resamples=resamples,
    )


def two_samples(
    ours: Scores,
    others: Scores,
    estimate: _TwoEstimate,
    *,
    pairs: bool = False,
    resamples: int = RESAMPLES,
) -> Interval:
    """The interval of an estimate from two groups' scores."""
    value = float(estimate(ours, others))
    sizes = [min(len(a), len(b)) for a, b in zip(ours, others, strict=True)]
    if min(sizes) < 2:
        return Interval(value, math.nan, math.nan)
    drawn = _drawn([ours, others], estimate, resamples, pairs=pairs)
    low, high = np.quantile(drawn, expanded_levels(sizes, LEVEL))
    return Interval(value, float(low), float(high))


def band(curves: np.ndarray, estimate: Estimate) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(estimate, low, high), each (T,), of curves (n, T) of n seeds; whole curves are drawn.

    Ends are NaN of a single seed.
    """
    columns = curves.T  # (T, n)
    value = estimate([columns])
    seeds = len(curves)
    if seeds < 2:
        return value, np.full_like(value, np.nan), np.full_like(value, np.nan)
    chosen = _generator(0).integers(0, seeds, (_CURVE_RESAMPLES, seeds))
    levels = expanded_levels([seeds], LEVEL)
    low, high = (np.empty_like(value) for _ in range(2))
    for start in range(0, len(columns), 64):  # so that memory does not grow with the curve
        part = columns[start : start + 64]
        drawn = estimate([part[:, chosen]])  # (T, resamples)
        low[start : start + 64], high[start : start + 64] = np.quantile(drawn, levels, axis=-1)
    return value, low, high


def profile_band(
    scores: Scores,
    levels: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(share, low, high), each (levels,): the share of runs above each level with its interval."""
    value = profile(scores, levels)
    if min(map(len, scores)) < 2:
        return value, np.full_like(value, np.nan), np.full_like(value, np.nan)
    drawn = profile(resample(scores, _CURVE_RESAMPLES), levels)  # (resamples, levels)
    ends = expanded_levels([len(each) for each in scores], LEVEL)
    low, high = np.quantile(drawn, ends, axis=0)
    return value, low, high


def resample(
    scores: Scores,
    resamples: int,
    *,
    which: int = 0,
    part: int = 0,
) -> list[np.ndarray]:
    """(resamples, n) of each task, drawn with replacement; `which` and `part` select independent drawings."""
    drawn = []
    for task, each in enumerate(scores):
        chosen = _generator(which, task, part).integers(0, len(each), (resamples, len(each)))
        drawn.append(each[chosen])
    return drawn


def _drawn(
    groups: Sequence[Scores],
    estimate: Callable[..., np.ndarray],
    resamples: int,
    *,
    pairs: bool = False,
) -> np.ndarray:
    """(resamples,) estimates, in parts so that memory does not grow with the number of runs."""
    size = max(sum(map(len, scores)) for scores in groups)
    if len(groups) == 2:  # an estimate may look at each pair of runs
        size = max(size, *(len(a) * len(b) for a, b in zip(*groups, strict=True)))
    rows = max(1, min(resamples, _MOST_NUMBERS // size))
    parts = []
    for part, start in enumerate(range(0, resamples, rows)):
        count = min(rows, resamples - start)
        drawn = [
            resample(scores, count, which=0 if pairs else which, part=part)
            for which, scores in enumerate(groups)
        ]
        parts.append(estimate(*drawn))
    return np.concatenate(parts)


def expanded_levels(sizes: Sequence[int], level: float) -> np.ndarray:
    """The two quantiles of a bootstrap, by the number of seeds of each task, whose interval is of a level."""
    freedom = sum(size - 1 for size in sizes)
    narrow = sum(sizes) / freedom  # n / (n - 1) where all tasks have n seeds
    far = math.sqrt(narrow) * stats.t.ppf((1 + level) / 2, freedom)
    return np.array(stats.norm.cdf([-far, far]))


def _generator(*indices: int) -> np.random.Generator:
    return Streams(0).generator("bootstrap", *indices)


def _bca_levels(
    scores: Scores,
    estimate: Estimate,
    drawn: np.ndarray,
    value: float,
    ends: np.ndarray,
) -> np.ndarray:
    """Quantiles corrected for bias and skewness (Efron 1987); the jackknife leaves out one run of one task."""
    below = (np.mean(drawn < value) + np.mean(drawn <= value)) / 2
    bias = stats.norm.ppf(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn)))
    left_out = [
        float(
            estimate(
                [np.delete(each, run) if t == task else each for t, each in enumerate(scores)],
            ),
        )
        for task, runs in enumerate(map(len, scores))
        for run in range(runs)
    ]
    away = np.mean(left_out) - np.array(left_out)
    spread = np.sum(away**2) ** 1.5
    acceleration = np.sum(away**3) / (6 * spread) if spread > 0 else 0.0
    z = bias + stats.norm.ppf(ends)
    return np.array(stats.norm.cdf(bias + z / (1 - acceleration * z)))
