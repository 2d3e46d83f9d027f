"""What a sweep has found: which setting is best, by how much, and what each setting does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports.results.groups import Grouping, differing_keys, plain_value, task_of
from reports.results.references import Scale
from reports.results.scores import Score, TaskScores, score_of, task_scores
from reports.series import Series
from reports.statistics.estimates import CENTERS
from reports.statistics.intervals import Interval, difference, interval


@dataclass(frozen=True, eq=False)
class Setting:
    """One choice of the swept settings, over its seeds and tasks.

    Attributes:
        values: by swept key.
        scores: of each task.
        overall: the center of the normalised scores over tasks; of one task, of its scores.
        best_run: the run of the highest score.
    """

    values: Mapping[str, str]
    scores: tuple[TaskScores, ...]
    overall: Interval
    best_run: Series

    @property
    def seeds(self) -> int:
        """Runs that count, of all tasks."""
        return sum(len(each.values) for each in self.scores)


@dataclass(frozen=True, eq=False)
class Sweep:
    """The settings of a sweep, the best one first.

    Attributes:
        keys: that were swept.
        tasks: on which.
        settings: by rank.
        is_normalised: whether `overall` is on the scale of the references.
        lead: the best one's lead over the second, with its interval; None of a single setting.
        effects: by key and value, the mean over the settings that have it.
        unscored: settings without a score on each task, in words.
    """

    keys: tuple[str, ...]
    tasks: tuple[str, ...]
    settings: tuple[Setting, ...]
    is_normalised: bool
    lead: Interval | None
    effects: Mapping[str, Mapping[str, Interval]]
    unscored: tuple[str, ...] = ()

    @property
    def best(self) -> Setting:
        """The one of rank 1."""
        return self.settings[0]


def find_sweep(
    series: Sequence[Series],
    trials: Mapping[str, int],
    grouping: Grouping,
    scales: Mapping[str, Scale],
    *,
    center: str,
    score: Score,
) -> Sweep | None:
    """The sweep among the runs; None where no swarm of them has several trials.

    Settings are compared by the center of their scores over seeds, over several tasks by that of the normalised
    scores; where no reference is known, each task's scores are first divided by their spread over all runs.
    """
    swept = [run for run in series if run.name in trials]
    if len({trials[run.name] for run in swept}) < 2:
        return None
    tasks = tuple(task for task in grouping.tasks if any(task_of(run) == task for run in swept))
    keys = _swept_keys(swept, trials)
    scaling = {task: _scaling(swept, task, scales, len(tasks), score) for task in tasks}
    by_values: dict[tuple[str, ...], list[Series]] = {}
    for run in swept:
        by_values.setdefault(tuple(value_of(run, key) for key in keys), []).append(run)
    settings, pooled, unscored = [], {}, []
    for values, runs in by_values.items():
        scores = tuple(
            task_scores(" ".join(values), task, [r for r in runs if task_of(r) == task], score)
            for task in tasks
        )
        if not all(len(each.values) for each in scores):
            unscored.append(", ".join(f"{k}={v}" for k, v in zip(keys, values, strict=True)))
            continue
        scaled = [_scaled(each.values, scaling[each.task]) for each in scores]
        overall = interval(scaled, CENTERS[center])
        named = dict(zip(keys, values, strict=True))
        pooled[values] = scaled
        settings.append(Setting(named, scores, overall, _best_run(runs, scaling, score)))
    if not settings:
        return None
    settings.sort(key=lambda each: -each.overall.value)
    lead = None
    if len(settings) > 1:
        first, second = (pooled[tuple(each.values.values())] for each in settings[:2])
        lead = difference(first, second, CENTERS[center])
    return Sweep(
        keys=keys,
        tasks=tasks,
        settings=tuple(settings),
        is_normalised=len(tasks) > 1,
        lead=lead,
        effects=_effects(keys, settings),
        unscored=tuple(unscored),
    )


def value_of(run: Series, key: str) -> str:
    """A swept setting of a run, as it is shown."""
    return run.algorithm if key == "algo" else plain_value(run.settings.get(key))


def _swept_keys(runs: Sequence[Series], trials: Mapping[str, int]) -> tuple[str, ...]:
    """What differs between trials: settings that follow from another one (an algorithm's own) only where it stands."""
    per_algorithm: dict[str, list[Series]] = {}
    for run in runs:
        per_algorithm.setdefault(run.algorithm, []).append(run)
    keys: dict[str, None] = {}
    if len(per_algorithm) > 1:
        keys["algo"] = None
    for of_algorithm in per_algorithm.values():
        keys |= dict.fromkeys(differing_keys(of_algorithm))
    fixed = {  # the same for all trials, though not for all tasks
        key
        for key in keys
        if all(
            len({value_of(run, key) for run in runs if task_of(run) == task}) == 1
            for task in {task_of(run) for run in runs}
        )
    }
    return tuple(key for key in keys if key not in fixed)


def _scaling(
    runs: Sequence[Series],
    task: str,
    scales: Mapping[str, Scale],
    tasks: int,
    score: Score,
) -> tuple[float, float]:
    """(what is taken off the scores of a task, what they are divided by)."""
    if tasks == 1:
        return 0.0, 1.0
    if task in scales:
        return scales[task].random, scales[task].target - scales[task].random
    found = [score_of(run, score) for run in runs if task_of(run) == task]
    values = np.array([each for each in found if each is not None] or [0.0])
    return float(values.mean()), float(values.std()) or 1.0


def _scaled(values: np.ndarray, scaling: tuple[float, float]) -> np.ndarray:
    return (values - scaling[0]) / scaling[1]


def _best_run(
    runs: Sequence[Series],
    scaling: Mapping[str, tuple[float, float]],
    score: Score,
) -> Series:
    def key(run: Series) -> float:
        value = score_of(run, score)
        away, by = scaling[task_of(run)]
        return -np.inf if value is None else (value - away) / by

    return max(runs, key=key)


def _effects(
    keys: Sequence[str],
    settings: Sequence[Setting],
) -> dict[str, dict[str, Interval]]:
    """The mean over all settings with a value; the interval is over these settings, whatever else they are."""
    effects: dict[str, dict[str, Interval]] = {}
    for key in keys:
        members: dict[str, list[float]] = {}
        for each in settings:
            members.setdefault(each.values[key], []).append(each.overall.value)
        effects[key] = {
            value: interval([np.array(members[value])], CENTERS["mean"])
            for value in sorted(members, key=_order)
        }
    return effects


def _order(value: str) -> tuple[bool, float, str]:
    """Numbers by their size, then words."""
    try:
        return False, float(value), ""
    except ValueError:
        return True, 0.0, value
