"""The score of each run, and what they come to: of a task, and over tasks."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Literal

import numpy as np

from reports.results.groups import Grouping
from reports.results.references import Scale
from reports.series import Series
from reports.statistics import estimates
from reports.statistics.estimates import CENTERS
from reports.statistics.intervals import Interval, interval, profile_band, two_samples

Score = Literal["final", "best"]
TRAINING_SHARE = 0.1  # of the rows of a run without evaluations, whose mean is its score
_PROFILE_LEVELS = 101


@dataclass(frozen=True, eq=False)
class TaskScores:
    """The scores of a group on a task.

    Attributes:
        label: of the group.
        task: which.
        seeds: of the runs that count.
        values: (n,) their scores.
        planned: runs that there should be.
        left_out: runs that do not count, and why, in words; those of one reason together.
        carried: runs that diverged and count with their last return, in words.
        is_unfinished: no run has reached its end, and these are the returns so far.
        source: of the returns.
        seeds_of: the library whose seeds they are, "" for this one: a seed of another one is another draw; None where
            they are not known.
    """

    label: str
    task: str
    seeds: tuple[int, ...]
    values: np.ndarray
    planned: int
    left_out: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()
    is_unfinished: bool = False
    source: str = "evaluation"
    seeds_of: str | None = ""

    def centre(self, center: str) -> Interval | None:
        """The center of the seeds with its interval; None without a run."""
        if not len(self.values):
            return None
        return interval([self.values], CENTERS[center])


def score_of(run: Series, score: Score) -> float | None:
    """The score of a run: its last evaluation, or its best one; of training, the mean of the last tenth."""
    if not len(run.returns):
        return None
    if run.source == "training":
        rows = max(1, math.ceil(TRAINING_SHARE * len(run.returns)))
        return float(np.mean(run.returns[-rows:]))
    return float(np.max(run.returns) if score == "best" else run.returns[-1])


def task_scores(label: str, task: str, runs: Sequence[Series], score: Score) -> TaskScores:
    """The scores of a group's runs on a task.

    Those count that reached their end, and those that diverged: the others would be what is left of a group after its
    failures are taken out. Where none has reached its end, the returns so far are given, and said to be so.
    """
    scored = {run.name: score_of(run, score) for run in runs}
    ended = [r for r in runs if r.state in ("done", "diverged") and scored[r.name] is not None]
    is_unfinished = not any(run.state == "done" for run in ended)
    counted = ended if not is_unfinished else [r for r in runs if scored[r.name] is not None]
    names = {run.name for run in counted}
    left_out: dict[str, list[int]] = {}
    for run in runs:
        if run.name not in names:
            why = run.state + (f": {run.reason}" if run.reason else "")
            left_out.setdefault(why, []).append(run.seed)
    carried = [f"seed {r.seed} diverged: {r.reason}" for r in counted if r.state == "diverged"]
    return TaskScores(
        label=label,
        task=task,
        seeds=tuple(run.seed for run in counted),
        values=np.array([scored[run.name] for run in counted], np.float64),
        planned=len(runs),
        left_out=tuple(f"{_seeds(seeds)} {why}" for why, seeds in left_out.items()),
        carried=tuple(carried),
        is_unfinished=is_unfinished and bool(counted),
        source=counted[0].source if counted else "evaluation",
        seeds_of=counted[0].library if counted and all(r.seed_is_known for r in counted) else None,
    )


def _seeds(seeds: Sequence[int]) -> str:
    """ "seed 3", "seeds 1, 2 and 4"."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    return f"seeds {', '.join(map(str, seeds[:-1]))} and {seeds[-1]}"


def all_scores(grouping: Grouping, score: Score) -> list[TaskScores]:
    """The scores of each task and group that has runs there, in this order."""
    return [
        task_scores(group.label, task, runs, score)
        for task in grouping.tasks
        for group in grouping.groups
        if (runs := group.of_task(task))
    ]


@dataclass(frozen=True, eq=False)
class Aggregates:
    """Normalised scores over tasks.

    Attributes:
        tasks: which have a reference and all of these groups.
        normalised: by group, the scores of each task.
        table: by group and name of the estimate, its interval.
        improvement: by (one, other), the probability that a run of one is better than a run of the other.
        levels: (L,) of the profiles.
        profiles: by group, (value, low, high), each (L,): the share of runs above each level.
        unknown: tasks that are not in it, for they have no reference, in words.
    """

    tasks: tuple[str, ...]
    normalised: Mapping[str, list[np.ndarray]]
    table: Mapping[str, Mapping[str, Interval]]
    improvement: Mapping[tuple[str, str], Interval]
    levels: np.ndarray
    profiles: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
    unknown: tuple[str, ...]

    def only(self, labels: Container[str]) -> Aggregates:
        """The same of some groups."""
        return replace(
            self,
            normalised={label: each for label, each in self.normalised.items() if label in labels},
            table={label: each for label, each in self.table.items() if label in labels},
            improvement={
                pair: each
                for pair, each in self.improvement.items()
                if pair[0] in labels and pair[1] in labels
            },
            profiles={label: each for label, each in self.profiles.items() if label in labels},
        )


ESTIMATES = {
    "IQM": estimates.iqm,
    "median": estimates.median,
    "mean": estimates.mean,
    "optimality gap": estimates.optimality_gap,
}
_MOST_PAIRS = 6  # groups, beyond which only the best one is compared with the others


def aggregate(scores: Sequence[TaskScores], scales: Mapping[str, Scale]) -> Aggregates | None:
    """What the scores come to over tasks, on the scale of the references; None where no reference is known."""
    by_task: dict[str, dict[str, np.ndarray]] = {}
    for each in scores:
        by_task.setdefault(each.task, {})[each.label] = each.values
    unknown = [f"{task}: no reference is known" for task in by_task if task not in scales]
    with_scale = [task for task in by_task if task in scales]
    if not with_scale:
        return None
    labels = list(dict.fromkeys(each.label for each in scores))
    complete = [
        label for label in labels if all(len(by_task[task].get(label, ())) for task in with_scale)
    ]
    if not complete:
        return None
    normalised = {
        label: [scales[task].normalise(by_task[task][label]) for task in with_scale]
        for label in complete
    }
    table = {
        label: {name: interval(values, of) for name, of in ESTIMATES.items()}
        for label, values in normalised.items()
    }
    levels = _levels(normalised)
    return Aggregates(
        tasks=tuple(with_scale),
        normalised=normalised,
        table=table,
        improvement=_improvements(normalised, table),
        levels=levels,
        profiles={label: profile_band(values, levels) for label, values in normalised.items()},
        unknown=tuple(unknown),
    )


def _improvements(
    normalised: Mapping[str, list[np.ndarray]],
    table: Mapping[str, Mapping[str, Interval]],
) -> dict[tuple[str, str], Interval]:
    """Of the better one over the other of each pair; with many groups, of the best over each other."""
    ranked = sorted(normalised, key=lambda label: -table[label]["IQM"].value)
    pairs = [
        pair for pair in permutations(ranked, 2) if ranked.index(pair[0]) < ranked.index(pair[1])
    ]
    if len(ranked) > _MOST_PAIRS:
        pairs = [pair for pair in pairs if pair[0] == ranked[0]]
    return {
        (one, other): two_samples(normalised[one], normalised[other], estimates.improvement)
        for one, other in pairs
    }


def _levels(normalised: Mapping[str, list[np.ndarray]]) -> np.ndarray:
    every = np.concatenate([each for values in normalised.values() for each in values])
    low, high = min(0.0, float(every.min())), max(1.0, float(every.max()))
    return np.linspace(max(low, -1.0), min(high, 3.0) * 1.02, _PROFILE_LEVELS)
