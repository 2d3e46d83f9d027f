"""The tables of a report: results, scores over tasks, settings that differ, the ranking of a sweep, every run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from helpers.display.numbers import format_duration
from reports.page.tables import Table, to_csv, to_latex, to_markdown
from reports.page.words import SHORT_CENTERS, joined, number, with_interval
from reports.results.groups import NOT_RECORDED, NOT_USED, Grouping, task_of
from reports.results.scores import ESTIMATES, Aggregates, Score, TaskScores, score_of
from reports.results.sweep import Sweep
from reports.series import Series
from reports.statistics.intervals import Interval


def tables_of(
    grouping: Grouping,
    scores: Sequence[TaskScores],
    aggregates: Aggregates | None,
    sweep: Sweep | None,
    center: str,
) -> list[Table]:
    """All that there are, in their order."""
    tables = [results(grouping, scores, center)]
    if sweep is not None:
        tables.insert(0, ranking(sweep, center))
    if aggregates is not None and len(aggregates.table) > 1:
        tables.append(over_tasks(aggregates))
        tables.append(improvements(aggregates))
    tables += settings(grouping)
    return tables


def results(grouping: Grouping, scores: Sequence[TaskScores], center: str) -> Table:
    """A row a task and group."""
    rows = []
    for each in scores:
        runs = next(g for g in grouping.groups if g.label == each.label).of_task(each.task)
        found = each.centre(center)
        rows.append(
            (
                each.task,
                each.label + ("†" if each.is_unfinished else ""),
                str(len(each.values)) + (f" of {each.planned}" if each.left_out else ""),
                "" if found is None else with_interval(found),
                _mean_and_deviation(each.values),
                number(float(each.values.min())) if len(each.values) else "",
                number(float(each.values.max())) if len(each.values) else "",
                f"{max((run.last_step for run in runs), default=0):,}",
                _duration(runs),
            ),
        )
    name = SHORT_CENTERS[center]
    dagger = any(each.is_unfinished for each in scores)
    return Table(
        name="results",
        title="Returns",
        head=("task", "group", "n", f"{name} [95 %]", "mean ± sd", "min", "max", "steps", "time"),
        rows=tuple(rows),
        words=frozenset({0, 1}),
        note="† No run has reached its end: returns so far." if dagger else "",
    )


def over_tasks(aggregates: Aggregates) -> Table:
    """A row a group, a column an estimate."""

    def three(value: float) -> str:
        return f"{value:.3f}"

    rows = [
        (label, *(with_interval(found[name], figure=three) for name in ESTIMATES))
        for label, found in aggregates.table.items()
    ]
    return Table(
        name="over_tasks",
        title=f"Normalised scores over {joined(aggregates.tasks, most=8)}, with 95 % intervals",
        head=("group", *ESTIMATES),
        rows=tuple(rows),
    )


def improvements(aggregates: Aggregates) -> Table:
    """A row a pair of groups."""

    def two(value: float) -> str:
        return f"{value:.2f}"

    rows = [
        (one, other, with_interval(found, figure=two))
        for (one, other), found in aggregates.improvement.items()
    ]
    return Table(
        name="improvement",
        title="Probability that a run of the first group is better than one of the second",
        head=("group", "over", "probability [95 %]"),
        rows=tuple(rows),
        words=frozenset({0, 1}),
    )


def settings(grouping: Grouping) -> list[Table]:
    """The settings in which groups differ that several of them have; in a second table those that one alone has."""
    labels = [group.label for group in grouping.groups]
    shared: list[tuple[str, ...]] = []
    alone: list[tuple[str, ...]] = []
    for key, values in grouping.differing.items():
        row = (key, *(values[label] for label in labels))
        has_it = sum(values[label] not in (NOT_USED, NOT_RECORDED) for label in labels)
        (shared if has_it > 1 or len(labels) == 1 else alone).append(row)
    made = []
    for name, title, rows in (
        ("settings", "Settings that differ", shared),
        ("own_settings", "Settings that one group alone has", alone),
    ):
        if rows:
            every = frozenset(range(len(labels) + 1))
            made.append(Table(name, title, ("setting", *labels), tuple(rows), words=every))
    return made


def ranking(sweep: Sweep, center: str) -> Table:
    """The settings of a sweep, the best one first."""
    name = SHORT_CENTERS[center]
    several = len(sweep.tasks) > 1
    head = ["rank", *sweep.keys, "runs"]
    head += [f"normalised {name} [95 %]"] if several else []
    head += [f"{task} {name} [95 %]" if several else f"{name} [95 %]" for task in sweep.tasks]
    head += ["best run"]
    rows = []
    for place, each in enumerate(sweep.settings, start=1):
        first = next(
            i for i, s in enumerate(sweep.settings, 1) if s.overall.value == each.overall.value
        )
        row = [f"{first}=" if first < place else str(place), *each.values.values(), str(each.seeds)]
        row += [with_interval(each.overall)] if several else []
        row += [_centre(found, center) for found in each.scores]
        rows.append((*row, each.best_run.name))
    return Table(
        name="ranking",
        title=f"{len(sweep.settings)} settings, the best first",
        head=tuple(head),
        rows=tuple(rows),
        words=frozenset({len(head) - 1}),
        note=lead_sentence(sweep),
    )


def lead_sentence(sweep: Sweep) -> str:
    """How sure the first place is."""
    if sweep.lead is None:
        return "There is one setting, so nothing was compared."
    told = with_interval(sweep.lead)
    if not sweep.lead.is_known:
        return f"The best is ahead of the second by {told}; with one seed each nothing can be said about chance."
    tied = sum(each.overall.value == sweep.best.overall.value for each in sweep.settings)
    if tied > 1:
        return f"The first {tied} have the same score: these runs do not show which is best."
    if sweep.lead.excludes(0.0):
        return f"The best is ahead of the second by {told}. The best of many is flattered by chance: train it anew."
    return (
        f"The best is ahead of the second by {told}: chance alone could have made that order. "
        "The best of many is flattered by chance: train the first ones with seeds of their own."
    )


def ranked(scores: Sequence[TaskScores], center: str) -> list[str]:
    """Labels by their mean rank over tasks, the best first."""
    places: dict[str, list[int]] = {}
    for task in dict.fromkeys(each.task for each in scores):
        found = [
            (interval.value, each.label)
            for each in scores
            if each.task == task and (interval := each.centre(center)) is not None
        ]
        for place, (_, label) in enumerate(sorted(found, reverse=True)):
            places.setdefault(label, []).append(place)
    return sorted(places, key=lambda label: float(np.mean(places[label])))


def files_of(
    tables: Sequence[Table],
    grouping: Grouping,
    score: Score,
) -> Iterator[tuple[str, str]]:
    """(name, text) of the files: each table three times, and every run."""
    for table in tables:
        yield f"{table.name}.md", to_markdown(table)
        yield f"{table.name}.tex", to_latex(table)
        yield f"{table.name}.csv", to_csv(table.head, table.rows)
    yield "runs.csv", _runs(grouping, score)


def _runs(grouping: Grouping, score: Score) -> str:
    """Every run with its score, for an analysis of one's own."""
    head = (
        "task",
        "group",
        "seed",
        "run",
        "state",
        "reason",
        "source",
        "score",
        "steps",
        "seconds",
    )
    rows = []
    for group in grouping.groups:
        for run in group.runs:
            value, seconds = score_of(run, score), run.final_seconds
            row = [task_of(run), group.label, run.seed, run.name, run.state, run.reason, run.source]
            row += ["" if value is None else repr(value), run.last_step]
            rows.append([*row, "" if seconds is None else f"{seconds:.1f}"])
    return to_csv(head, rows)


def _centre(scores: TaskScores, center: str) -> str:
    found: Interval | None = scores.centre(center)
    return "" if found is None else with_interval(found)


def _mean_and_deviation(values: np.ndarray) -> str:
    if not len(values):
        return ""
    if len(values) == 1:
        return number(float(values[0]))
    return f"{number(float(values.mean()))} ± {number(float(values.std(ddof=1)))}"


def _duration(runs: Sequence[Series]) -> str:
    seconds = [each for run in runs if (each := run.final_seconds) is not None]
    return format_duration(float(np.median(seconds))) if seconds else ""
