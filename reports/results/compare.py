"""Two groups of runs: is one better, by how much, and how sure is that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.errors import ConfigurationError
from helpers.run_folder.capsule import of_environments
from reports.collect import Collected, collect, common_label
from reports.foreign.others import Others
from reports.page.tables import Table
from reports.page.words import SHORT_CENTERS, joined, number, with_interval
from reports.results.groups import Grouping, group_runs, labelled
from reports.results.references import Scale
from reports.results.scores import TaskScores
from reports.series import Series, Source
from reports.statistics import estimates
from reports.statistics.estimates import CENTERS
from reports.statistics.intervals import Interval, difference, interval, two_samples
from reports.statistics.tests import (
    LEAST_PAIRS,
    MOST_SEEDS,
    SIGNIFICANCE,
    Permutation,
    permutation_test,
    seeds_needed,
)

OVERALL = "over tasks"


@dataclass(frozen=True, eq=False)
class Comparison:
    """What is known of the difference of two groups on a task, or over tasks.

    Attributes:
        place: the task, or `OVERALL`.
        ours, others: the centers of the first and of the second group.
        gap: the first minus the second.
        improvement: the probability that a run of the first is better.
        permutation: whether chance alone makes such a difference.
        seeds: needed to see a difference as large; None where it is more than 1,000 or unknown.
        counts: seeds of either, of the task that has the fewest.
    """

    place: str
    ours: Interval
    others: Interval
    gap: Interval
    improvement: Interval
    permutation: Permutation
    seeds: int | None
    counts: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Compared:
    """Two groups, task by task and over tasks.

    Attributes:
        labels: of the groups.
        tasks: a comparison of each task that both have.
        overall: over these; None of a single task.
        scaled_by: what scores are divided by over tasks, in words.
        apart: tasks that one group alone has, in words.
    """

    labels: tuple[str, str]
    tasks: tuple[Comparison, ...]
    overall: Comparison | None
    scaled_by: str = ""
    apart: tuple[str, ...] = ()

    @property
    def main(self) -> Comparison:
        """What the verdict is about."""
        return self.overall or self.tasks[0]


def two_groups(
    names: Sequence[str],
    *,
    by: Sequence[str],
    of: Sequence[str],
    source: Source | None,
    allow_mixed: bool,
    others: Others | None = None,
) -> tuple[Collected, Grouping]:
    """The runs that were named as two groups.

    Two names are the groups, unless `by` or `of` says otherwise; then all named runs are grouped, and `of` chooses.

    Raises:
        ConfigurationError: there are not two groups, or the runs cannot be read or compared.
    """
    if len(names) == 2 and not by and not of:
        each = [collect([name], source=source, others=others) for name in names]
        return _of_two_names(*each, allow_mixed=allow_mixed)
    collected = collect(names, source=source, others=others)
    grouping = group_runs(collected.series, by=by, allow_mixed=allow_mixed)
    labels = [group.label for group in grouping.groups]
    chosen = [_chosen(each, labels) for each in of] if of else labels
    if len(set(chosen)) != 2:
        shown = ", ".join(labels[:8]) + (" ..." if len(labels) > 8 else "")
        raise ConfigurationError(
            f"There {'is 1 group' if len(labels) == 1 else f'are {len(labels)} groups'} to compare: {shown}.",
            (
                "Group by another setting (--by p_lr), or name two swarms or runs."
                if len(labels) < 2
                else f"Choose two: --of '{labels[0]}' --of '{labels[1]}'."
            ),
        )
    kept = {
        run.name: group.label
        for group in grouping.groups
        for run in group.runs
        if group.label in chosen
    }
    ordered = [run for label in chosen for run in collected.series if kept.get(run.name) == label]
    return (
        Collected(collected.label, tuple(ordered), {}, collected.notes),
        labelled(ordered, kept, by=by, allow_mixed=allow_mixed),
    )


def _of_two_names(
    one: Collected,
    other: Collected,
    *,
    allow_mixed: bool,
) -> tuple[Collected, Grouping]:
    shared = {run.name for run in one.series} & {run.name for run in other.series}
    if shared:
        raise ConfigurationError(
            f"{joined(sorted(shared), most=2)} would be in both groups.",
            "Name two groups that share no run, or one swarm with --by algo.",
        )
    series = [*one.series, *other.series]
    labels = _own_labels(one, other) or {
        run.name: label
        for each, label in ((one, one.label), (other, other.label))
        for run in each.series
    }
    label = f"{common_label([one.label])}_vs_{common_label([other.label])}"
    notes = (*one.notes, *other.notes)
    return (
        Collected(label, tuple(series), {}, notes),
        labelled(series, labels, allow_mixed=allow_mixed),
    )


def _own_labels(one: Collected, other: Collected) -> dict[str, str] | None:
    """By run, what a report would call it, where that names each side by one word."""
    series = [*one.series, *other.series]
    grouping = group_runs(series, allow_mixed=True)
    labels = {run.name: group.label for group in grouping.groups for run in group.runs}
    sides = [{labels[run.name] for run in each.series} for each in (one, other)]
    return labels if all(len(side) == 1 for side in sides) and sides[0] != sides[1] else None


def _chosen(wanted: str, labels: Sequence[str]) -> str:
    fitting = [label for label in labels if label == wanted or label.endswith(f"={wanted}")]
    if len(fitting) != 1:
        raise ConfigurationError(
            f"--of {wanted}: no group is called so.",
            f"Give one of: {', '.join(labels[:8])}.",
        )
    return fitting[0]


def compare(
    scores: Sequence[TaskScores],
    labels: tuple[str, str],
    scales: Mapping[str, Scale],
    *,
    center: str,
) -> Compared:
    """The comparison of two groups.

    Raises:
        ConfigurationError: they share no task on which both have a score.
    """
    by_task: dict[str, dict[str, TaskScores]] = {}
    for each in scores:
        if len(each.values):
            by_task.setdefault(each.task, {})[each.label] = each
    shared = [task for task, found in by_task.items() if len(found) == 2]
    if not shared:
        raise ConfigurationError(
            f"{labels[0]} and {labels[1]} have no task on which both have a score.",
            f"Compare groups of one task; here are {joined(by_task, most=6) or 'no scores'}.",
        )
    pairs = {task: (by_task[task][labels[0]], by_task[task][labels[1]]) for task in shared}
    tasks = [_comparison(task, [pair], [1.0], center) for task, pair in pairs.items()]
    overall, scaled_by = None, ""
    if len(shared) > 1:
        units, scaled_by = _units(pairs, scales)
        overall = _comparison(OVERALL, list(pairs.values()), units, center)
    apart = tuple(
        f"{task}: only {next(iter(found))} has a score, so it is not compared."
        for task, found in by_task.items()
        if len(found) == 1
    )
    return Compared(labels, tuple(tasks), overall, scaled_by, apart)


def _units(
    pairs: Mapping[str, tuple[TaskScores, TaskScores]],
    scales: Mapping[str, Scale],
) -> tuple[list[float], str]:
    """What each task's scores are divided by, so that tasks weigh alike."""
    if all(task in scales for task in pairs):
        units = [scales[task].target - scales[task].random for task in pairs]
        return units, "normalised: 0 is random actions, 1 the reference"
    units = [
        float(np.std(np.concatenate([one.values, other.values]))) or 1.0
        for one, other in pairs.values()
    ]
    return units, "in standard deviations of a task's scores, for not all tasks have a reference"


def _comparison(
    place: str,
    pairs: Sequence[tuple[TaskScores, TaskScores]],
    units: Sequence[float],
    center: str,
) -> Comparison:
    ours = [one.values / unit for (one, _), unit in zip(pairs, units, strict=True)]
    others = [other.values / unit for (_, other), unit in zip(pairs, units, strict=True)]
    is_paired = all(
        one.seeds == other.seeds
        and len(set(one.seeds)) == len(one.seeds) >= LEAST_PAIRS
        and one.seeds_of == other.seeds_of
        and one.seeds_of is not None
        for one, other in pairs
    )
    estimate = CENTERS[center]
    return Comparison(
        place=place,
        ours=interval(ours, estimate),
        others=interval(others, estimate),
        gap=difference(ours, others, estimate, pairs=is_paired),
        improvement=two_samples(ours, others, estimates.improvement, pairs=is_paired),
        permutation=permutation_test(ours, others, pairs=is_paired),
        seeds=seeds_needed(ours, others),
        counts=(min(map(len, ours)), min(map(len, others))),
    )


def verdict(compared: Compared) -> str:
    """One sentence that claims what the interval shows, and no more."""
    found, (one, other) = compared.main, compared.labels
    where = (
        found.place
        if compared.overall is None
        else f"over {joined((c.place for c in compared.tasks), most=4)}"
    )
    runs = (
        f"{found.counts[0]} and {found.counts[1]} runs"
        if len(set(found.counts)) > 1
        else f"{found.counts[0]} runs each"
    )
    if not found.gap.is_known:
        return (
            f"Nothing can be said of {one} and {other} on {where}: the scores differ by {number(found.gap.value)}, "
            "but one seed does not show how much chance there is."
        )
    told = f"{number(found.gap.value)}, 95 % interval {number(found.gap.low)} to {number(found.gap.high)}, {runs}"
    if not found.gap.excludes(0.0):
        more = (
            f" About {found.seeds:,} seeds of each would show a difference of this size."
            if found.seeds is not None and found.seeds > min(found.counts)
            else ""
        )
        return f"These runs do not show that {one} and {other} differ on {where}: the difference is {told}.{more}"
    better, worse = (one, other) if found.gap.value > 0 else (other, one)
    claim = f"{better} scores higher than {worse} on {where}: the difference of {one} and {other} is {told}"
    if found.permutation.p > SIGNIFICANCE:
        return f"{claim}; a permutation test does not confirm it ({p_words(found.permutation)}), so take it as a hint."
    return f"{claim} ({p_words(found.permutation)})."


def p_words(test: Permutation) -> str:
    """ "p = 0.012"; never less than so few runs can show."""
    return f"p = {test.p:.2g}" if test.p >= 1e-4 else "p < 0.0001"


def comparison_table(compared: Compared, center: str) -> Table:
    """A row a task, and one over tasks."""
    one, other = compared.labels
    name = SHORT_CENTERS[center]
    rows = []
    for each in (*compared.tasks, *([compared.overall] if compared.overall else [])):
        rows.append(
            (
                each.place,
                " / ".join(str(n) for n in each.counts),
                with_interval(each.ours),
                with_interval(each.others),
                with_interval(each.gap),
                with_interval(each.improvement, figure=lambda value: f"{value:.2f}"),
                f"{each.permutation.p:.2g}" + (" (pairs)" if each.permutation.pairs else ""),
                (
                    f"{each.seeds:,}"
                    if each.seeds is not None
                    else f"> {MOST_SEEDS:,}" if each.gap.is_known else ""
                ),
            ),
        )
    scaled = f" Over tasks scores are {compared.scaled_by}." if compared.scaled_by else ""
    return Table(
        name="comparison",
        title=f"{one} compared with {other}",
        head=(
            "task",
            "n",
            one,
            other,
            "difference [95 %]",
            "P(first > second) [95 %]",
            "p",
            "seeds needed",
        ),
        rows=tuple(rows),
        note=f"{name} with 95 % intervals; p is of a permutation test of means{_of_pairs(compared)}; seeds needed of "
        f"each group to see a difference of this size (5 %, power 80 %).{scaled}",
    )


def _of_pairs(compared: Compared) -> str:
    if compared.main.permutation.pairs:
        return ", runs of one seed exchanged with each other"
    least = compared.main.permutation.least
    return f", at least {least:.2g} with so few runs" if least > SIGNIFICANCE / 10 else ""


def commits_table(grouping: Grouping) -> Table:
    """What each group's code was."""
    rows = [
        (
            group.label,
            joined(sorted({_commit(run) for run in group.runs}), most=3),
            joined(sorted({_version(run) for run in group.runs}), most=3),
            joined(sorted({str(run.facts.get("world_size", "")) for run in group.runs})),
        )
        for group in grouping.groups
    ]
    return Table(
        name="code",
        title="Code, versions and workers",
        head=("group", "commit", "versions", "workers"),
        rows=tuple(rows),
        words=frozenset(range(4)),
    )


def _commit(run: Series) -> str:
    code = run.facts.get("code", {})
    if not code.get("commit"):
        return "not recorded"
    changed = f" + changes {str(code.get('diff_sha256'))[:7]}" if code.get("diff") else ""
    return f"{str(code['commit'])[:10]}{changed}"


def _version(run: Series) -> str:
    versions = run.facts.get("versions", {})
    told = [
        f"{name} {versions[name]}"
        for name in ("torch", *of_environments(versions))
        if versions.get(name)
    ]
    return ", ".join(told) or "not recorded"
