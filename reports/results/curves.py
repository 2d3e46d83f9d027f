"""Learning curves of several seeds on one axis, with their interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from helpers.display.learning_curve import average_groups
from reports.results.groups import Group
from reports.series import Series
from reports.statistics.estimates import CENTERS
from reports.statistics.intervals import band

Axis = Literal["steps", "seconds"]
_MOST_POINTS = 100
_MINUTES, _HOURS = 60.0, 3600.0


@dataclass(frozen=True, eq=False)
class Curve:
    """The curve of a group on a task.

    Attributes:
        label: of the group.
        x: (T,) environment steps, or seconds of training.
        value, low, high: (T,) the center of the seeds and its interval; NaN ends where one seed is there.
        seeds: (T,) how many seeds there are at each point.
    """

    label: str
    x: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seeds: np.ndarray

    @property
    def most(self) -> int:
        """Seeds where the most are."""
        return int(self.seeds.max())


def curves_of(groups: Sequence[Group], task: str, *, axis: Axis, center: str) -> list[Curve]:
    """The curves of all groups that have points on a task."""
    found = (
        curve_of(group.label, group.of_task(task), axis=axis, center=center) for group in groups
    )
    return [each for each in found if each is not None]


def curve_of(label: str, runs: Sequence[Series], *, axis: Axis, center: str) -> Curve | None:
    """One curve of several seeds; None where none has a point.

    Between its points a run is a straight line, and beyond its last one it is not there, so that fewer seeds are left;
    a run that diverged stays at the last return that it had: leaving it out would make the others' mean the group's.
    Seeds are joined at the same step. Against time, each point stands at the median of the times that these seeds took
    to get there.
    """
    points = [each for each in (_points(run) for run in runs) if each is not None]
    if not points:
        return None
    end = max(each.steps[-1] for each in points)
    grid = _grid([each.steps for each in points])
    values, times = (np.full((len(points), len(grid)), np.nan) for _ in range(2))
    for row, time, each in zip(values, times, points, strict=True):
        inside = (grid >= each.steps[0]) & (grid <= (end if each.stays else each.steps[-1]))
        row[inside] = np.interp(grid[inside], each.steps, each.returns)
        time[inside] = np.interp(grid[inside], each.steps, each.seconds)
    curve = _banded(label, grid, values, center)
    if axis == "steps":
        return curve
    known = np.isfinite(times).any(axis=0)
    if not known.all():
        return None
    return replace(curve, x=np.maximum.accumulate(np.nanmedian(times, axis=0)))


def unit_of(curves: Sequence[Curve], axis: Axis) -> tuple[float, str]:
    """(what x is divided by, the name of the axis)."""
    if axis == "steps":
        return 1.0, "environment steps"
    longest = max((float(curve.x[-1]) for curve in curves), default=0.0)
    if longest >= 3 * _HOURS:
        return _HOURS, "hours of training"
    return (
        (_MINUTES, "minutes of training")
        if longest >= 3 * _MINUTES
        else (1.0, "seconds of training")
    )


@dataclass(frozen=True, eq=False)
class _Points:
    """A run's steps, returns and seconds (T,), and whether it stays at its last return."""

    steps: np.ndarray
    returns: np.ndarray
    seconds: np.ndarray
    stays: bool


def _points(run: Series) -> _Points | None:
    """None without a return; training returns are averaged, evaluations are not."""
    if not len(run.returns):
        return None
    steps = run.steps.astype(np.float64)
    if run.source == "training" and len(steps) > _MOST_POINTS:
        x, returns = average_groups(list(steps), list(run.returns))
        _, seconds = average_groups(list(steps), list(run.seconds))
        return _Points(np.array(x), np.array(returns), np.array(seconds), run.state == "diverged")
    return _Points(steps, run.returns, run.seconds, run.state == "diverged")


def _grid(every: Sequence[np.ndarray]) -> np.ndarray:
    """The points that some run has, or as many as a picture can show."""
    points = np.unique(np.concatenate(every))
    if len(points) <= _MOST_POINTS:
        return points
    return np.linspace(points[0], points[-1], _MOST_POINTS)


def _banded(label: str, grid: np.ndarray, values: np.ndarray, center: str) -> Curve:
    there = np.isfinite(values)
    value, low, high = (np.full(len(grid), np.nan) for _ in range(3))
    for pattern in np.unique(there, axis=1).T:
        if pattern.any():
            at = (there == pattern[:, None]).all(axis=0)
            value[at], low[at], high[at] = band(values[np.ix_(pattern, at)], CENTERS[center])
    seeds = there.sum(axis=0)
    shown = seeds > 0
    return Curve(label, *(each[shown] for each in (grid, value, low, high, seeds)))
