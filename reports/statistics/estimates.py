"""Estimates from the scores of several seeds on several tasks (Agarwal et al. 2021, arXiv:2108.13264).

`Scores` is a list with the scores of each task, each an array (..., n) of n seeds: tasks may have different numbers of
seeds. Leading axes are resamples; an estimate has the shape of these axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Scores = Sequence[np.ndarray]
Estimate = Callable[[Scores], np.ndarray]

_TRIMMED = 0.25  # of each side


def iqm(scores: Scores) -> np.ndarray:
    """The interquartile mean of all runs of all tasks: the mean without the lowest and the highest quarter.

    It is scipy's `trim_mean`, which takes three times as long: it partitions where we sort.
    """
    every = np.sort(np.concatenate(scores, axis=-1), axis=-1)
    cut = int(_TRIMMED * every.shape[-1])
    return np.asarray(np.mean(every[..., cut : every.shape[-1] - cut], axis=-1))


def mean(scores: Scores) -> np.ndarray:
    """The mean of the tasks' means."""
    return np.mean(_task_means(scores), axis=0)


def median(scores: Scores) -> np.ndarray:
    """The median of the tasks' means."""
    return np.median(_task_means(scores), axis=0)


def optimality_gap(scores: Scores, *, target: float = 1.0) -> np.ndarray:
    """How far the runs are from the target on average; what lies above the target counts as the target."""
    return target - mean([np.minimum(each, target) for each in scores])


def profile(scores: Scores, levels: np.ndarray) -> np.ndarray:
    """The share of the runs above each level, tasks weighing the same: (..., levels)."""
    above = [np.mean(each[..., None] > levels, axis=-2) for each in scores]
    return np.mean(above, axis=0)


def improvement(ours: Scores, others: Scores) -> np.ndarray:
    """The probability that a run of ours is better than one of theirs, a tie being half of one; mean over tasks.

    Of a task it is the Mann-Whitney statistic by the number of pairs.
    """
    shares = []
    for our, other in zip(ours, others, strict=True):
        ahead = np.sign(our[..., :, None] - other[..., None, :])
        shares.append(0.5 + 0.5 * np.mean(ahead, axis=(-2, -1)))
    return np.mean(shares, axis=0)


CENTERS: dict[str, Estimate] = {"iqm": iqm, "mean": mean}


def _task_means(scores: Scores) -> np.ndarray:
    """(tasks, ...)."""
    return np.stack([np.mean(each, axis=-1) for each in scores])
