"""A quick look at runs: a line each, or a line a group of seeds, and what a reader should know of them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from helpers.errors import ConfigurationError
from reports.collect import Collected, collect
from reports.results.curves import Axis, Curve, curve_of
from reports.series import KEYS, Series, metrics_of
from swarm.table import common_prefix

CENTER = "iqm"
MOST_LINES = 6  # runs that have a line each; more are drawn as groups
_MOST_NOTES = 8


@dataclass(frozen=True)
class Look:
    """What is drawn.

    Attributes:
        label: of all of it.
        curves: by task.
        ylabel: what the lines are.
        notes: what a reader should know, a line each.
        axis: what they are against.
    """

    label: str
    curves: dict[str, list[Curve]]
    ylabel: str
    notes: list[str]
    axis: Axis

    @property
    def has_points(self) -> bool:
        """Whether there is anything to draw."""
        return any(self.curves.values())


def look_at(names: Sequence[str], *, key: str | None, axis: Axis, each: bool | None) -> Look:
    """The curves of runs, as they are now.

    Args:
        names: as `collect` takes them.
        key: the metric; None: the return of evaluations, and of training where a run has none.
        axis: what they are against.
        each: whether every run has its line; None: where they are few.

    Raises:
        ConfigurationError: no runs, or a metric that none has.
    """
    collected = _collected(names, key)
    if key is not None:
        _check_key(key, collected.series)
    is_grouped = len(collected.series) > MOST_LINES if each is None else not each
    prefix = common_prefix([run.name for run in collected.series])
    curves: dict[str, list[Curve]] = {}
    for task, runs in _by_task(collected.series).items():
        members: dict[str, list[Series]] = {}
        for run in runs:
            label = run.group if is_grouped else run.name.removeprefix(prefix)
            members.setdefault(label, []).append(run)
        found = (curve_of(label, m, axis=axis, center=CENTER) for label, m in members.items())
        curves[task] = [curve for curve in found if curve is not None]
    label = collected.label
    if key is not None and key not in KEYS.values():
        label += f".{key.replace('/', '_')}"
    return Look(
        label=label + (".time" if axis == "seconds" else ""),
        curves=curves,
        ylabel=_ylabel(key, collected.series),
        notes=_notes(collected, curves, axis, is_grouped=is_grouped, key=key),
        axis=axis,
    )


def _collected(names: Sequence[str], key: str | None) -> Collected:
    """A metric is averaged as training returns are, since it has a value in each row."""
    source = next((source for source, each in KEYS.items() if each == key), None)
    if key is None or source is not None:
        return collect(names, source=source, is_scored=False)
    collected = collect(names, source="training", key=key)
    if key.startswith("eval/"):
        series = tuple(replace(run, source="evaluation") for run in collected.series)
        return replace(collected, series=series)
    return collected


def _check_key(key: str, runs: Sequence[Series]) -> None:
    if any(len(run.returns) or run.not_finite for run in runs):
        return
    folders = [run.folder for run in runs if run.folder is not None]
    known = set().union(*map(metrics_of, folders[:20]))
    if not known or key in known or key in KEYS.values():
        return  # there is nothing yet
    near = difflib.get_close_matches(key, sorted(known), n=3, cutoff=0.4)
    raise ConfigurationError(
        f"--key {key} is no metric of these runs.",
        f"Did you mean {' or '.join(near)}?" if near else "Give one of docs/metrics.md.",
    )


def _by_task(runs: Sequence[Series]) -> dict[str, list[Series]]:
    found: dict[str, list[Series]] = {}
    for run in runs:
        found.setdefault(run.task, []).append(run)
    return found


def _ylabel(key: str | None, runs: Sequence[Series]) -> str:
    if key is not None and key not in KEYS.values():
        return key
    sources = {run.source for run in runs if len(run.returns)} or {run.source for run in runs}
    if len(sources) > 1:
        return "return"
    return "return of evaluations" if sources == {"evaluation"} else "return of training episodes"


def _notes(
    collected: Collected,
    curves: dict[str, list[Curve]],
    axis: Axis,
    *,
    is_grouped: bool,
    key: str | None,
) -> list[str]:
    notes = list(collected.notes)
    if is_grouped:
        told = [f"{curve.label} {curve.most}" for each in curves.values() for curve in each]
        notes.append(
            f"{len(collected.series)} runs in groups, IQM of the seeds, 95 % intervals in a picture; seeds: "
            f"{', '.join(told)}",
        )
        if any(curve.most == 1 for each in curves.values() for curve in each):
            notes.append("a group of one seed has no interval")
    sources = {run.source for run in collected.series if len(run.returns)}
    lines = []
    for run in collected.series:
        told = _said_of(run, axis)
        if key is None and len(sources) > 1 and run.source == "training" and len(run.returns):
            told.append("no evaluation: its return of training episodes")
        if told:
            lines.append(f"{run.name}: {'; '.join(told)}")
    more = len(lines) - _MOST_NOTES
    return notes + lines[:_MOST_NOTES] + ([f"and {more} more runs like these"] if more > 0 else [])


def _said_of(run: Series, axis: Axis) -> list[str]:
    """What is to be known of a run."""
    told = []
    if run.state == "running":
        told.append(f"running, {run.last_step:,} of {run.num_timesteps:,} steps")
    elif run.state != "done":
        told.append(run.state + (f", {run.reason}" if run.reason else ""))
    if not len(run.returns) and run.state not in ("missing",):
        told.append("no value yet")
    if run.not_finite:
        told.append(f"{run.not_finite} values are not finite and left out")
    if run.torn:
        told.append(f"{run.torn} damaged lines are left out")
    if run.is_cut and run.state != "running":
        told.append("its last line is cut and left out")
    if axis == "seconds" and len(run.returns) and run.final_seconds is None:
        told.append("no times")
    return told
