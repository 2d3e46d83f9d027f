"""Whether two groups differ at all, and how many seeds would show it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from helpers.seeding import Streams
from reports.statistics.estimates import Scores

SIGNIFICANCE = 0.05
POWER = 0.8
LEAST_PAIRS = (
    6  # of fewer, no exact paired test can be below SIGNIFICANCE: two of 2**5 signs are 0.0625
)
MOST_SEEDS = 1000
_DRAWN = 20_000
_Differences = Callable[[Scores, Scores], np.ndarray]


@dataclass(frozen=True)
class Permutation:
    """What a permutation test says.

    Attributes:
        p: how often chance alone makes a difference as large in either direction.
        pairs: whether runs of one seed were compared with each other.
        is_exact: whether all ways were counted, not a sample of them.
        least: the smallest p that so few runs could give.
    """

    p: float
    pairs: bool
    is_exact: bool
    least: float


def mean_difference(ours: Scores, others: Scores) -> np.ndarray:
    """The difference of means, mean over tasks: the statistic of the test, (...)."""
    gaps = [np.mean(a, axis=-1) - np.mean(b, axis=-1) for a, b in zip(ours, others, strict=True)]
    return np.mean(gaps, axis=0)


def permutation_test(ours: Scores, others: Scores, *, pairs: bool) -> Permutation:
    """The two-sided permutation test of the difference of means, within each task.

    All ways to exchange runs are counted where they are at most 20,000, else that number is drawn, and the one that was
    seen is one more (Phipson and Smyth 2010). Of one task it is scipy's `permutation_test`.

    Args:
        ours, others: (n,) of each task.
        pairs: run i of either has the same seed: only these two may be exchanged.
    """
    seen = abs(float(mean_difference(ours, others)))
    ways = math.prod(
        2 ** len(a) if pairs else int(special.comb(len(a) + len(b), len(a), exact=True))
        for a, b in zip(ours, others, strict=True)
    )
    is_exact = ways <= _DRAWN
    if pairs:
        drawn = _exchanged_pairs(ours, others, is_exact=is_exact)
    else:
        drawn = _exchanged_runs(ours, others, is_exact=is_exact)
    close = 1e-12 * max(seen, 1e-300) + 1e-13 * _scale(ours, others)  # sums in another order
    extreme = int(np.count_nonzero(np.abs(drawn) >= seen - close))
    p = extreme / len(drawn) if is_exact else (extreme + 1) / (len(drawn) + 1)
    is_two_sided = pairs or all(len(a) == len(b) for a, b in zip(ours, others, strict=True))
    least = (2 if is_two_sided else 1) / ways
    return Permutation(min(p, 1.0), pairs, is_exact, min(least, 1.0))


def seeds_needed(ours: Scores, others: Scores) -> int | None:
    """Seeds of each group that would show a difference as large as was seen, with a power of 80 %.

    Of a t test at 5 %, whose variance is that of the mean over tasks. The difference that was seen is itself uncertain,
    and so is this number.

    Returns:
        The number; None where it is more than 1,000, or where there is no difference or no second seed.
    """
    if min(len(each) for each in (*ours, *others)) < 2:
        return None
    gap = abs(float(mean_difference(ours, others)))
    tasks = len(ours)
    variance = sum(np.var(each, ddof=1) for each in (*ours, *others)) / tasks**2 / 2
    if gap == 0:
        return None
    if variance == 0:
        return 2
    for seeds in range(2, MOST_SEEDS + 1):
        freedom = 2 * tasks * (seeds - 1)
        limit = stats.t.ppf(1 - SIGNIFICANCE / 2, freedom)
        shift = gap / math.sqrt(2 * variance / seeds)
        if stats.nct.sf(limit, freedom, shift) >= POWER:
            return seeds
    return None


def _scale(ours: Scores, others: Scores) -> float:
    return max(float(np.max(np.abs(each))) for each in (*ours, *others))


def _exchanged_pairs(ours: Scores, others: Scores, *, is_exact: bool) -> np.ndarray:
    """Differences of means (ways,) with the runs of some seeds exchanged."""
    tasks = len(ours)
    gaps = np.concatenate([(a - b) / len(a) for a, b in zip(ours, others, strict=True)]) / tasks
    count = len(gaps)
    if is_exact:
        bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
    else:
        bits = Streams(0).generator("permutations").integers(0, 2, (_DRAWN, count))
    return (1 - 2 * bits) @ gaps


def _exchanged_runs(ours: Scores, others: Scores, *, is_exact: bool) -> np.ndarray:
    """Differences of means (ways,) with the runs of each task dealt out anew."""
    found = np.zeros(1)
    for task, (a, b) in enumerate(zip(ours, others, strict=True)):
        pool, size = np.concatenate([a, b]), len(a)
        if is_exact:
            ways = itertools.combinations(range(len(pool)), size)
            chosen = np.array(list(ways))
        else:
            generator = Streams(0).generator("permutations", task)
            chosen = np.argsort(generator.random((_DRAWN, len(pool))), axis=-1)[:, :size]
        total = pool[chosen].sum(axis=-1)
        gaps = total / size - (pool.sum() - total) / len(b)
        found = (found[:, None] + gaps).ravel() if is_exact else found + gaps
    return found / len(ours)
