"""Which runs belong together: groups that are compared, tasks that are panels, and what differs between them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agents.algorithms import SCHEMA
from helpers.config.settings import show
from helpers.errors import ConfigurationError
from helpers.run_folder.capsule import of_environments
from reports.series import Series

NOT_USED, NOT_RECORDED = "not used", "not recorded"
_ALGORITHM = "algo"
_NOT_COMPARED = ("env_id", "seed", "uuid", "env_options")
_MIXED = (
    "num_timesteps",
    "eval_episodes",
    "eval_frequency",
)  # in which a group's runs of a task must agree
_LONGEST_LABEL = 48


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seeds and tasks alone, as far as the report is concerned.

    Attributes:
        label: what it is called in figures and tables.
        runs: of all tasks and seeds, by seed.
    """

    label: str
    runs: tuple[Series, ...]

    def of_task(self, task: str) -> list[Series]:
        """Its runs on one task, by seed."""
        return [run for run in self.runs if task_of(run) == task]


@dataclass(frozen=True)
class Grouping:
    """Groups and tasks, each in the order in which they are shown.

    Attributes:
        groups: by label.
        tasks: panels.
        differing: the settings in which groups of a task differ: by key, the value of each label.
        within: settings in which runs of one group and task differ, in words.
        by: the settings that groups were made by; empty where the runs' own settings made them.
    """

    groups: tuple[Group, ...]
    tasks: tuple[str, ...]
    differing: Mapping[str, Mapping[str, str]]
    within: tuple[str, ...] = ()
    by: tuple[str, ...] = ()


def group_runs(
    series: Sequence[Series],
    *,
    by: Sequence[str] = (),
    allow_mixed: bool = False,
) -> Grouping:
    """Groups of runs.

    Without `by` they follow from the settings: a group is an algorithm, and where a task has several
    configurations of one, the settings in which these differ are part of the name.

    Args:
        series: the runs.
        by: settings that alone make the groups.
        allow_mixed: whether runs of a group may have other lengths, evaluations or versions of their environments.

    Raises:
        ConfigurationError: a setting that no run has, or a group that is mixed.
    """
    for key in by:
        if not any(key in run.settings for run in series) and key != _ALGORITHM:
            known = sorted({key for run in series for key in run.settings})
            raise ConfigurationError(
                f"--by {key}: no run has a setting of this name.",
                f"Give one of theirs: {', '.join(differing_keys(series)[:8] or known[:8])}.",
            )
    labels = {run.name: _label_by(run, by) for run in series} if by else _labels(series)
    return labelled(series, labels, by=by, allow_mixed=allow_mixed)


def labelled(
    series: Sequence[Series],
    labels: Mapping[str, str],
    *,
    by: Sequence[str] = (),
    allow_mixed: bool = False,
) -> Grouping:
    """Groups of runs, by the label that each run has.

    Raises:
        ConfigurationError: a group that is mixed.
    """
    members: dict[str, list[Series]] = {}
    for run in sorted(series, key=lambda each: (task_of(each), each.seed, each.name)):
        members.setdefault(labels[run.name], []).append(run)
    ordered = dict.fromkeys(labels[run.name] for run in series)
    groups = tuple(Group(label, tuple(members[label])) for label in ordered)
    tasks = tuple(dict.fromkeys(task_of(run) for run in series))
    if not allow_mixed:
        _refuse_mixed(groups, tasks)
    return Grouping(groups, tasks, _differing(groups, tasks), _within(groups, tasks), tuple(by))


def task_of(run: Series) -> str:
    """What its panel is called: its environment, with the options that make it another task."""
    options = run.settings.get("env_options")
    return f"{run.task} {options}" if options else run.task


def plain_value(text: str | None) -> str:
    """A setting's value as it is shown and compared: 1.0e-05 and 1e-05 are one."""
    if text is None:
        return "none"
    try:
        number = float(text)
    except ValueError:
        return text
    return f"{number:.10g}" if math.isfinite(number) else text


def differing_keys(series: Iterable[Series]) -> list[str]:
    """Settings that are part of what a run is, and not the same for all, in the order of the files."""
    runs = list(series)
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    return [
        key for key in keys if _is_compared(key) and len({_value(run, key) for run in runs}) > 1
    ]


def _is_compared(key: str) -> bool:
    setting = SCHEMA.vocabulary.settings.get(key)
    return key not in _NOT_COMPARED and (setting is None or setting.identity)


def _value(run: Series, key: str) -> str:
    """Its value; of a run that is older than the setting, or does not have it, the setting's default."""
    if key == _ALGORITHM:
        return run.algorithm
    if key in run.settings:
        return plain_value(run.settings[key])
    if run.library:
        return NOT_USED if run.settings else NOT_RECORDED
    kind = SCHEMA.algorithms.get(run.algorithm)
    own = {} if kind is None else kind.settings_for({})
    return plain_value(show(own[key].default)) if key in own else NOT_USED


def _label_by(run: Series, by: Sequence[str]) -> str:
    told = [_value(run, key) if key == _ALGORITHM else f"{key}={_value(run, key)}" for key in by]
    return " ".join(told) or run.algorithm


def _labels(series: Sequence[Series]) -> dict[str, str]:
    """By run: its algorithm, and the settings that distinguish it from others of the same algorithm and task."""
    families: dict[tuple[str, str], list[Series]] = {}
    for run in series:
        families.setdefault((run.algorithm or run.group, task_of(run)), []).append(run)
    keys: dict[str, list[str]] = {}
    for (algorithm, _), runs in families.items():
        told = keys.setdefault(algorithm, [])
        told += [key for key in differing_keys(runs) if key not in told and key not in _MIXED]
    labels = {}
    for run in series:
        algorithm = run.algorithm or run.group
        words = [f"{key}={_value(run, key)}" for key in keys[algorithm]]
        is_alone = len(keys) == 1 and words  # then the algorithm's name adds nothing
        labels[run.name] = " ".join(words if is_alone else [algorithm, *words])
    return _distinguished(series, labels)


def _distinguished(series: Sequence[Series], labels: dict[str, str]) -> dict[str, str]:
    """Labels with the first part of the runs' names where two experiments are otherwise alike; and none too long."""
    seen: dict[tuple[str, str, int], set[str]] = {}
    for run in series:
        seen.setdefault((labels[run.name], task_of(run), run.seed), set()).add(run.group)
    doubled = {label for (label, _, _), groups in seen.items() if len(groups) > 1}
    for run in series:
        if labels[run.name] in doubled:
            labels[run.name] = f"{labels[run.name]} ({run.group.split('.')[0]})"
    numbers: dict[str, str] = {}
    for label in dict.fromkeys(labels.values()):
        short = label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 5]}..."
        taken = Counter(each.split(" #")[0] for each in numbers.values())[short]
        numbers[label] = short if not taken else f"{short} #{taken + 1}"
    return {name: numbers[label] for name, label in labels.items()}


def _refuse_mixed(groups: Sequence[Group], tasks: Sequence[str]) -> None:
    for group in groups:
        for task in tasks:
            runs = group.of_task(task)
            for what, values in _conditions(runs).items():
                if len(values) > 1:
                    told = " and ".join(
                        f"{value} ({names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''})"
                        for value, names in list(values.items())[:3]
                    )
                    raise ConfigurationError(
                        f"{group.label} on {task} mixes runs: {what} is {told}.",
                        (
                            f"Tell them apart with --by {what}, report them separately, or mix them: --allow_mixed."
                            if what in _MIXED
                            else "Report them separately, or mix them: --allow_mixed."
                        ),
                    )


def _conditions(runs: Sequence[Series]) -> dict[str, dict[str, list[str]]]:
    """By condition and value, the runs that have it."""
    found: dict[str, dict[str, list[str]]] = {}
    for run in runs:
        conditions = {key: plain_value(run.settings[key]) for key in _MIXED if key in run.settings}
        versions = run.facts.get("versions", {})
        for package in of_environments(versions):
            if versions.get(package):
                conditions[f"version of {package}"] = str(versions[package])
        if len(run.returns):
            conditions["return"] = f"of {run.source}"
        for what, value in conditions.items():
            found.setdefault(what, {}).setdefault(value, []).append(run.name)
    return found


def _differing(
    groups: Sequence[Group],
    tasks: Sequence[str],
) -> dict[str, dict[str, str]]:
    keys: dict[str, None] = {}
    for task in tasks:
        runs = [run for each in groups for run in each.of_task(task)]
        for library in dict.fromkeys(
            run.library for run in runs
        ):  # names of settings are a library's own
            keys |= dict.fromkeys(differing_keys(run for run in runs if run.library == library))
    return {
        key: {
            group.label: ", ".join(dict.fromkeys(_value(run, key) for run in group.runs))
            for group in groups
        }
        for key in keys
    }


def _within(groups: Sequence[Group], tasks: Sequence[str]) -> tuple[str, ...]:
    told = []
    for group in groups:
        for task in tasks:
            runs = group.of_task(task)
            keys = differing_keys(runs) if runs else []
            versions = [what for what, values in _conditions(runs).items() if len(values) > 1]
            keys = list(dict.fromkeys([*keys, *versions]))
            if keys:
                told.append(f"Runs of {group.label} on {task} differ in {', '.join(keys)}.")
    return tuple(told)
