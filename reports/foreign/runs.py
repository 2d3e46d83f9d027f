"""What the results of other libraries become: runs as `Series`, with what their files do not tell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers.errors import ConfigurationError
from reports.foreign.others import Others
from reports.series import Series, Source, State

_SEED = re.compile(r"(?:^|[^A-Za-z0-9])(?:seed|s)[ _=.-]?(\d+)(?![A-Za-z0-9])", re.IGNORECASE)
_TASK = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*-v\d+")
_CLEANRL = re.compile(r"(.+)__(.+?)__(\d+)__\d+")  # env__exp__seed__time
_COUNTER = re.compile(r"_(\d+)$")
# Folders that are called so tell nothing of what is in them.
_PLAIN = re.compile(
    r"(?:eval(?:uation)?s?|logs?|tb|tensorboard(?:_logs?)?|runs?|results?|data)?",
    re.IGNORECASE,
)
_LOOKED_AT = 4  # folders of a path, from the innermost


@dataclass(frozen=True)
class Words:
    """What the folders of a run tell: its task and seed where they do, and a name."""

    task: str | None
    seed: int | None
    name: str


@dataclass(frozen=True, eq=False)
class Found:
    """One run of another library, before it is known what it is called.

    Attributes:
        place: its folder or file.
        library: whose.
        group: what it is a run of: "CleanRL: ppo".
        task, seed: None where nothing tells them.
        source: of the returns.
        steps, returns, seconds: (T,) as they were read, in any order; seconds NaN where they are not known.
        last_step: of all that was written, with a return or without.
        num_timesteps: how many were asked for; 0 where that is not known.
        settings: which are recorded.
        torn: records that cannot be read.
        notes: what a reader should know of it; told once for all runs of the group.
        part: of the place, where it holds several runs.
    """

    place: Path
    library: str
    group: str
    task: str | None
    seed: int | None
    source: Source
    steps: np.ndarray
    returns: np.ndarray
    seconds: np.ndarray
    last_step: int = 0
    num_timesteps: int = 0
    settings: Mapping[str, str | None] = field(default_factory=dict)
    torn: int = 0
    notes: tuple[str, ...] = ()
    part: str = ""


def words_of(folder: Path) -> Words:
    """What the names of a run's folder and of those around it tell, the innermost first."""
    return words_in(folder.resolve().parts[-_LOOKED_AT:])


def words_in(names: Sequence[str]) -> Words:
    """The same of names, the outermost first."""
    if named := _CLEANRL.fullmatch(names[-1]):
        return Words(named[1], int(named[3]), named[2])
    task, seed, name = None, None, ""
    for rest in reversed(names):
        if found := _SEED.search(rest):
            seed = int(found[1]) if seed is None else seed
            rest = rest[: found.start()] + rest[found.end() :]
        if named := _TASK.search(rest):
            task = named[0] if task is None else task
            rest = rest[: named.start()] + rest[named.end() :]
        rest = _COUNTER.sub("", rest).strip("._- ")
        if not name and not _PLAIN.fullmatch(rest):
            name = rest
    return Words(task, seed, name)


def series_of(found: Sequence[Found], root: Path, others: Others) -> list[Series]:
    """The runs of one name on the command line.

    Seeds that nobody tells are numbered, and said not to be known.

    Args:
        found: the runs, in their order.
        root: what was named; runs are called after their place in it.
        others: what the command line tells.

    Raises:
        ConfigurationError: a run without a task, or two of one seed.
    """
    numbers: dict[tuple[str, str], int] = {}
    seen: dict[tuple[object, ...], Found] = {}
    made = []
    for each in found:
        task = each.task or others.task
        if not task:
            raise ConfigurationError(
                f"The task of {_shown(each)} is not recorded.",
                "Name it: --other_task Hopper-v5; or name a folder around it so.",
            )
        seed = each.seed if each.seed is not None else others.seed
        if seed is None:
            number = numbers.get((each.group, task), 0)
            numbers[each.group, task] = number + 1
        else:
            number = seed
            key = (each.group, task, seed, tuple(sorted(each.settings.items())))
            if key in seen:
                raise ConfigurationError(
                    f"Two runs are seed {seed} of {each.group} on {task}: {_shown(seen[key])} and {_shown(each)}.",
                    "Name the folders of those that count, one by one; or tell groups apart: 'NAME=FOLDER'.",
                )
            seen[key] = each
        made.append(_series(each, _name(each, root), task, number, is_known=seed is not None))
    return made


def notes_of(found: Sequence[Found], others: Others) -> list[str]:
    """What is to be said of them, once a group."""
    told: dict[str, dict[str, None]] = {}
    for each in found:
        told.setdefault(each.group, {}).update(dict.fromkeys(each.notes))
    for each in found:
        if each.seed is None and others.seed is None:
            told[each.group]["Seeds are not recorded: its runs are numbered."] = None
    return [f"{group}: {' '.join(notes)}" for group, notes in told.items() if notes]


def _shown(found: Found) -> str:
    return f"{found.place}{f' ({found.part})' if found.part else ''}"


def _name(found: Found, root: Path) -> str:
    place, root = found.place.resolve(), root.resolve()
    inside = place.relative_to(root).as_posix() if place.is_relative_to(root) else ""
    name = f"{root.name}/{inside}" if inside not in ("", ".") else root.name
    return f"{name} {found.part}" if found.part else name


def _series(found: Found, name: str, task: str, seed: int, *, is_known: bool) -> Series:
    order = np.argsort(found.steps, kind="stable")
    steps, returns, seconds = (a[order] for a in (found.steps, found.returns, found.seconds))
    finite = np.isfinite(returns)
    last = max(found.last_step, int(steps[-1]) if len(steps) else 0)
    state, reason = _state(steps, returns, last, found.num_timesteps)
    return Series(
        name=name,
        group=found.group,
        task=task,
        seed=seed,
        algorithm=found.group,
        source=found.source,
        steps=steps[finite].astype(np.int64),
        returns=returns[finite],
        seconds=seconds[finite],
        state=state,
        reason=reason,
        last_step=last,
        num_timesteps=found.num_timesteps,
        settings=found.settings,
        folder=found.place,
        not_finite=int(np.count_nonzero(~finite)),
        torn=found.torn,
        library=found.library,
        seed_is_known=is_known,
    )


def _state(steps: np.ndarray, returns: np.ndarray, last: int, wanted: int) -> tuple[State, str]:
    """Whether it ended: it did not where another point or two would have been written before its end."""
    if len(returns) and not np.isfinite(returns[-1]):
        return "diverged", f"its last return is {returns[-1]}"
    gap = int(np.diff(steps, prepend=0).max()) if len(steps) else 0
    if wanted and last + 2 * gap < wanted:
        return "stopped", f"after {last:,} of {wanted:,} steps"
    return "done", ""
