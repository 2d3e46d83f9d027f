"""What a report says in sentences: how it was measured, on what, and what is not in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from helpers.display.numbers import format_duration
from helpers.run_folder.capsule import of_environments
from reports.page.phrases import joined, number
from reports.results.groups import Grouping, plain_value
from reports.results.references import Scale
from reports.results.scores import TRAINING_SHARE, Score, TaskScores
from reports.series import Series
from reports.statistics.intervals import RESAMPLES, Interval

CENTER_NAMES = {"iqm": "interquartile mean (IQM)", "mean": "mean"}
SHORT_CENTERS = {"iqm": "IQM", "mean": "mean"}
ENOUGH_SEEDS = 5  # of which intervals are known to hold (docs/results/statistics.md)


def with_interval(found: Interval, *, figure: Any = number) -> str:
    """ "412 [380, 441]"; of a single seed the number alone."""
    value = figure(found.value)
    return f"{value} [{figure(found.low)}, {figure(found.high)}]" if found.is_known else value


def methods(
    grouping: Grouping,
    scores: Sequence[TaskScores],
    *,
    center: str,
    score: Score,
    scales: Mapping[str, Scale],
) -> list[str]:
    """The paragraph of methods, in sentences that stand for themselves."""
    runs = [run for group in grouping.groups for run in group.runs]
    told = [_trained(grouping, scores), *_measured(runs, score)]
    told.append(
        f"Lines and points are the {CENTER_NAMES[center]} over seeds; bands and brackets are 95 % intervals of the "
        f"stratified bootstrap over seeds ({RESAMPLES:,} resamples, 1,000 for curves; expanded percentiles, "
        "Hesterberg 2014). A single seed has no interval.",
    )
    if scales:
        each = (
            f"{task} ({number(s.random)}; {number(s.target)}, {s.source})"
            for task, s in scales.items()
        )
        told.append(
            "A normalised score is 0 for random actions and 1 for the reference (random; reference): "
            f"{joined(each, most=20)}.",
        )
    return [*told, *hardware(runs), *code(runs), *_others(grouping)]


def _trained(grouping: Grouping, scores: Sequence[TaskScores]) -> str:
    counts = Counter(len(each.values) for each in scores)
    seeds = joined(str(count) for count in sorted(counts))
    lengths = []
    for task in grouping.tasks:
        runs = [run for group in grouping.groups for run in group.of_task(task)]
        steps = sorted({run.num_timesteps or run.last_step for run in runs})
        lengths.append(f"{task} {joined(f'{each:,}' for each in steps)}")
    return (
        f"{joined((group.label for group in grouping.groups), most=8)} on {joined(grouping.tasks, most=8)}; "
        f"{seeds} seeds of each; environment steps: {'; '.join(lengths)}."
    )


def _measured(runs: Sequence[Series], score: Score) -> list[str]:
    told = []
    if any(run.source == "evaluation" and len(run.returns) for run in runs):
        of = [run for run in runs if run.source == "evaluation" and len(run.returns)]
        episodes = joined(
            plain_value(run.settings["eval_episodes"])
            for run in of
            if "eval_episodes" in run.settings and not run.library
        )
        which = (
            "The score of a run is the return of its final policy"
            if score == "final"
            else "The score of a run is the best return of all its evaluations, which chance flatters"
        )
        told.append(
            f"{which}, evaluated without exploration"
            + (
                f" (mean of {episodes} episodes, on seeds that training never sees)."
                if episodes
                else "."
            ),
        )
    training = [run for run in runs if run.source == "training" and len(run.returns)]
    if training:
        told.append(
            f"{len(training)} of {len(runs)} runs have no evaluation: their returns are those of training, with "
            f"exploration, and their score is the mean of the last {TRAINING_SHARE:.0%} of the rows.",
        )
    return told


def _others(grouping: Grouping) -> list[str]:
    """Which groups were trained with another library."""
    groups = [g.label for g in grouping.groups if any(run.library for run in g.runs)]
    if not groups:
        return []
    return [
        f"Trained with other libraries, and read from their files: {joined(groups, most=8)}; versions and hardware of "
        "these are not recorded, and how they were measured is said above.",
    ]


def hardware(runs: Sequence[Series]) -> list[str]:
    """On what was trained, and how long a run took."""
    machines: Counter[str] = Counter()
    for run in runs:
        found = run.facts.get("hardware", {})
        if found:
            words = [found.get("cpu"), found.get("processor"), found.get("instruction_set")]
            workers = run.facts.get("world_size")
            machines[
                ", ".join(str(each) for each in words if each) + f"; {workers} worker(s) a run"
            ] += 1
    told = [f"Hardware: {joined(machines)}." if machines else "The hardware is not recorded."]
    seconds = [each for run in runs if (each := run.final_seconds) is not None]
    if seconds:
        low, high = (format_duration(each) for each in (min(seconds), max(seconds)))
        told.append(f"A run took {low}." if low == high else f"A run took {low} to {high}.")
    return told


def code(runs: Sequence[Series]) -> list[str]:
    """Which code and versions."""
    commits: dict[str, None] = {}
    for run in runs:
        start = run.facts.get("code", {})
        if start.get("commit"):
            dirty = ""
            if start.get("dirty"):
                diff = str(start.get("diff_sha256"))[:7]
                dirty = (
                    f" with uncommitted changes {diff}" if start.get("diff") else " with new files"
                )
            commits[f"{str(start['commit'])[:10]}{dirty}"] = None
    recorded = [run.facts.get("versions", {}) for run in runs]
    simulate = dict.fromkeys(name for each in recorded for name in of_environments(each))
    versions = []
    for package in ("python", "torch", "numpy", *simulate, "mpich"):
        found = {str(each.get(package) or "") for each in recorded} - {""}
        if found:
            versions.append(f"{package} {joined(sorted(found))}")
    told = [
        f"Code: MiloZero, commit {joined(commits)}." if commits else "The commit is not recorded.",
    ]
    return [*told, f"Versions: {', '.join(versions)}."] if versions else told


def not_in_it(
    grouping: Grouping,
    scores: Sequence[TaskScores],
    notes: Sequence[str],
) -> list[str]:
    """Everything that a reader would otherwise miss: runs that do not count, lengths that differ, rows left out."""
    told = []
    for each in scores:
        place = f"{each.label} on {each.task}"
        if each.left_out:
            told.append(
                f"{place}: {len(each.values)} of {each.planned} runs count; not {joined(each.left_out, most=6)}.",
            )
        if each.carried:
            told.append(
                f"{place}: {joined(each.carried, most=6)}; they count with the last return that they had.",
            )
        if each.is_unfinished:
            told.append(f"{place}: no run has reached its end; these are the returns so far (†).")
        if len(each.values) == 1:
            told.append(f"{place}: one seed, so there is no interval.")
    few = sorted({len(each.values) for each in scores if 1 < len(each.values) < ENOUGH_SEEDS})
    if few:
        told.append(
            f"Intervals of {joined(map(str, few))} seeds hold less often than 95 % (docs/results/statistics.md).",
        )
    told += _kinds(scores)
    told += _lengths(grouping)
    told += _missing_groups(grouping, scores)
    told += _rows_left_out(grouping)
    return [*told, *grouping.within, *notes]


def _rows_left_out(grouping: Grouping) -> list[str]:
    told = []
    for run in (run for group in grouping.groups for run in group.runs):
        if run.not_finite:
            told.append(f"{run.name}: {run.not_finite} returns are not finite and not drawn.")
        if run.torn and run.library:
            told.append(
                f"{run.name}: its event file is cut short or damaged, and read up to there.",
            )
        elif run.torn:
            told.append(f"{run.name}: {run.torn} damaged lines of metrics.jsonl are left out.")
    return told


_KINDS = {
    "evaluation": "evaluations",
    "training": "returns of training, with exploration",
}


def _kinds(scores: Sequence[TaskScores]) -> list[str]:
    """Tasks on which groups are measured in two ways."""
    told = []
    for task in dict.fromkeys(each.task for each in scores):
        by_kind: dict[str, list[str]] = {}
        for each in scores:
            if each.task == task and len(each.values):
                by_kind.setdefault(each.source, []).append(each.label)
        if len(by_kind) > 1:
            each_kind = " and ".join(
                f"{joined(labels)} by {_KINDS[kind]}" for kind, labels in by_kind.items()
            )
            told.append(
                f"{task}: groups are measured in different ways, {each_kind}: a difference may be of the measure.",
            )
    return told


def _lengths(grouping: Grouping) -> list[str]:
    told = []
    for task in grouping.tasks:
        lengths = {
            group.label: joined(sorted({f"{run.num_timesteps or run.last_step:,}" for run in runs}))
            for group in grouping.groups
            if (runs := group.of_task(task))
        }
        if len(set(lengths.values())) > 1:
            each = (f"{label} {steps}" for label, steps in lengths.items())
            told.append(
                f"{task}: groups were trained for different numbers of steps: {joined(each, most=8)}.",
            )
    return told


def _missing_groups(grouping: Grouping, scores: Sequence[TaskScores]) -> list[str]:
    there = {(each.label, each.task) for each in scores if len(each.values)}
    told = []
    for group in grouping.groups:
        lacking = [task for task in grouping.tasks if (group.label, task) not in there]
        if lacking and len(lacking) < len(grouping.tasks):
            told.append(
                f"{group.label} has no score on {joined(lacking)}: it is in no score over tasks.",
            )
    return told
