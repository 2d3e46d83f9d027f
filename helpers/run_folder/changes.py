"""What a run has changed in on its way: files that it reads, and settings; what may change, and what is recorded.

The capsule's `changes` has one entry each: `kind` ("file" or "setting"), `name`, `before`, `after`, `time`, and
`iteration`, the last one that was trained before; of a file also `role` and `difference`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from helpers.config.run import RunConfig
from helpers.config.settings import Scalar, show
from helpers.errors import ConfigurationError
from helpers.run_folder.capsule import versions
from helpers.run_folder.inputs import (
    Change,
    Input,
    binding,
    changes_between,
    differences,
    in_words,
)

FILE, SETTING = "file", "setting"
CHANGES, INPUTS = "changes", "inputs"
_CAPSULE = "capsule.json"
_PACKAGES = ("torch", "numpy")  # beside those that simulate environments
_UNKNOWN = (
    "The capsule of this run has no hashes of the files that it reads: nothing is known of whether they changed. "
    "From now on they are recorded."
)


@dataclass(frozen=True)
class Start:
    """What a start of a run brings along.

    Attributes:
        inputs: the files that it reads; None where nobody has looked (an import of weights).
        iteration: of the newest checkpoint; None where there is none, and the run begins.
        overridden: settings that `--override` names.
        lineage: what it begins from, where `--init_from` names something.
        packages: the distributions that simulate environments, whose versions are recorded.
    """

    inputs: Sequence[Input] | None = None
    iteration: int | None = None
    overridden: frozenset[str] = frozenset()
    lineage: Mapping[str, Any] | None = None
    packages: Sequence[str] = ()


def changed_settings(
    config: RunConfig,
    there: Mapping[str, Scalar],
    here: Mapping[str, Scalar],
    overridden: frozenset[str],
) -> tuple[list[str], str]:
    """(keys that differ and may not, why they may not where that is not plain)."""
    differing = [key for key in there if there[key] != here[key]]
    refused, why = [], ""
    for key in differing:
        if key in overridden:
            continue
        longer = key == "num_timesteps" and _is_more(here[key], there[key])
        if longer and not config.schedules:
            continue
        refused.append(key)
        if longer:
            why = f" {' and '.join(config.schedules)} ends with num_timesteps, so that more steps are another training."
    return refused, why


def _is_more(here: Scalar, there: Scalar) -> bool:
    return isinstance(here, int) and isinstance(there, int) and here > there


def record(
    capsule: dict[str, Any],
    start: Start,
    settings: Mapping[str, tuple[Scalar, Scalar]],
    *,
    accepts: bool,
    where: Path,
) -> list[str]:
    """Record in a resumed run's capsule what this start changes; lines that report it.

    Args:
        capsule: of the run; changed in place.
        start: this start.
        settings: (before, after) of the settings that differ, by name.
        accepts: whether the files may have changed.
        where: the run folder.

    Raises:
        ConfigurationError: files have changed, and that is not accepted.
    """
    lines, stamp = [], {"time": datetime.now(UTC).isoformat(), "iteration": start.iteration}
    if start.inputs is not None:
        made, reported = _record_files(capsule, start, accepts=accepts, where=where)
        lines += reported
        capsule.setdefault(CHANGES, []).extend({**each, **stamp} for each in made)
    for key, (before, after) in settings.items():
        lines.append(f"{key} is {show(after)} from here on; it was {show(before)}.")
        entry = {"kind": SETTING, "name": key, "before": before, "after": after, **stamp}
        capsule.setdefault(CHANGES, []).append(entry)
    if start.iteration is None and start.lineage is not None:
        capsule["lineage"] = dict(start.lineage)
    return lines + _other_versions(capsule, start.packages)


def _other_versions(capsule: Mapping[str, Any], packages: Sequence[str]) -> list[str]:
    """A line where packages that make a task or its numbers are others than when the run began."""
    before, now = capsule.get("versions", {}), versions(packages)
    reported = [
        f"{name} {before[name]} -> {now.get(name, 'none')}"
        for name in (*_PACKAGES, *packages)
        if name in before and before[name] != now.get(name)
    ]
    return (
        [f"Packages have changed since this run began: {', '.join(reported)}."] if reported else []
    )


def _record_files(
    capsule: dict[str, Any],
    start: Start,
    *,
    accepts: bool,
    where: Path,
) -> tuple[list[dict[str, Any]], list[str]]:
    assert start.inputs is not None
    saved = capsule.get(INPUTS)
    now = [each.to_json() for each in start.inputs]
    if start.iteration is None or saved is None:
        capsule[INPUTS] = now
        return [], [_UNKNOWN] if saved is None and start.iteration is not None else []
    changes = changes_between(saved, start.inputs)
    bound = binding(changes)
    if bound and not accepts:
        raise refusal(where, bound)
    reported = [each for each in changes if each not in bound and each.after is not None]
    lines = [
        f"{each.name} ({each.role}) is another file now; what this run has taken from it stays."
        for each in reported
    ]
    if bound:
        lines.append(f"Resumes with other files, as --accept_changes allows: {in_words(bound)}.")
        capsule[INPUTS] = now
    return [_entry(each) for each in bound], lines


def _entry(change: Change) -> dict[str, Any]:
    return {"kind": FILE, **vars(change)}


def refusal(folder: Path, changes: Sequence[Change]) -> ConfigurationError:
    """That a run was trained with other files, and which, with the difference."""
    return ConfigurationError(
        f"{folder} was trained with other files: {in_words(changes)}.",
        "Restore them, start another run with --uuid, or accept and record the change: --accept_changes.",
        detail=differences(changes),
    )


# Looking back


def read_capsule(folder: Path) -> dict[str, Any]:
    """The capsule of a run; empty where there is none that can be read."""
    try:
        capsule = json.loads((folder / _CAPSULE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return capsule if isinstance(capsule, dict) else {}


def changes_since(folder: Path, inputs: Sequence[Input]) -> list[Change]:
    """What became of the files of a run, of those roles that `inputs` has; nothing where it recorded none."""
    saved = read_capsule(folder).get(INPUTS)
    if saved is None:
        return []
    roles = {each.role for each in inputs}
    return binding(changes_between([each for each in saved if each["role"] in roles], inputs))


def changes_in_words(folder: Path) -> list[str]:
    """A line for each moment at which a run changed; for people who look back at it."""
    moments: dict[int, list[str]] = {}
    for each in read_capsule(folder).get(CHANGES, []):
        words = each["name"]
        if each["kind"] == SETTING:
            words += f" {show(each['before'])} -> {show(each['after'])}"
        moments.setdefault(int(each["iteration"] or 0), []).append(words)
    return [
        f"changed after iteration {iteration}: {', '.join(words)}"
        for iteration, words in sorted(moments.items())
    ]


def changed_keys(folder: Path) -> frozenset[str]:
    """Settings that a run has changed: its checkpoints do not agree in them."""
    changes = read_capsule(folder).get(CHANGES, [])
    return frozenset(each["name"] for each in changes if each["kind"] == SETTING)


def last_change(folder: Path) -> int:
    """The iteration after which a run changed last; 0 where it has not."""
    return max(
        (int(each["iteration"] or 0) for each in read_capsule(folder).get(CHANGES, [])),
        default=0,
    )


def has_other_files_since(folder: Path, iteration: int) -> bool:
    """Whether a run has accepted other files after this iteration or a later one."""
    found = (each for each in read_capsule(folder).get(CHANGES, []) if each["kind"] == FILE)
    return any(int(each["iteration"] or 0) >= iteration for each in found)
