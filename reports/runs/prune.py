"""What may be deleted of runs, and deleting it: nothing that a run needs to resume or to be evaluated, unless asked."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from helpers import durable
from helpers.checkpoints.manifests import BEST, LATEST, list_checkpoints, target_of
from helpers.checkpoints.proving import prove
from helpers.checkpoints.shards import packs
from helpers.durable import TEMPORARY, UnprovenError
from helpers.errors import CheckpointError, ConfigurationError, StorageError
from helpers.run_folder import run_lock
from reports.runs.entry import Entry, measure
from reports.runs.find import DOOMED
from reports.runs.uses import Use
from swarm.backends.base import DeploymentError
from swarm.plan import PLAN_FILE, load
from swarm.status import OWNER_FILE, UNDER_WAY, run_statuses

_FOLDER = "checkpoints"


@dataclass(frozen=True)
class Rule:
    """What is to go of the runs that were chosen.

    Attributes:
        whole: run folders, not checkpoints.
        keep: how many of the newest checkpoints stay.
        everything: also what stays otherwise: the last and best checkpoint, runs that have one, what others need.
    """

    whole: bool = False
    keep: int = 1
    everything: bool = False


@dataclass(frozen=True)
class Doomed:
    """What would be deleted of a run.

    Attributes:
        entry: the run.
        paths: links to them, checkpoints, oldest first, and what belongs to all; or the run folder alone.
        bytes: that they take on the disk.
        words: what they are, and what stays.
        warnings: what deleting them breaks elsewhere.
    """

    entry: Entry
    paths: tuple[Path, ...]
    bytes: int
    words: str
    warnings: tuple[str, ...] = ()


@dataclass
class Plan:
    """What would be deleted, and why the rest of what was chosen stays.

    Attributes:
        doomed: a run each.
        kept: names of runs by the reason that keeps them.
        idle: how many runs have nothing to delete.
    """

    doomed: list[Doomed] = field(default_factory=list)
    kept: dict[str, list[str]] = field(default_factory=dict)
    idle: int = 0


class KeptError(Exception):
    """Why a run, or all of its checkpoints, stay."""


def plan(
    entries: Sequence[Entry],
    rule: Rule,
    uses: Mapping[Path, Sequence[Use]],
    linked: Collection[Path],
) -> Plan:
    """What would go; nothing is changed.

    Args:
        entries: the runs that were chosen.
        rule: what is to go of them.
        uses: by run folder, who needs something in it.
        linked: run folders that a symbolic link leads to.
    """
    found, busy = Plan(), busy_in_swarms([entry.folder for entry in entries])
    for entry in entries:
        try:
            if entry.folder in linked or entry.folder.is_symlink():
                raise KeptError("a link leads there: name the folder itself")
            check_lock(entry.folder)
            if entry.folder in busy:
                raise KeptError(busy[entry.folder])
            doomed = doomed_of(entry, rule, uses.get(entry.folder, ()), sizes_alone=True)
        except KeptError as why:
            found.kept.setdefault(str(why), []).append(entry.name)
            continue
        if doomed is None:
            found.idle += 1
        else:
            found.doomed.append(doomed)
    return found


def check_lock(folder: Path) -> None:
    """Refuse a run that somebody trains, here or maybe on another machine.

    Raises:
        KeptError: says who.
    """
    if run_lock.is_trained_here(folder):
        raise KeptError("running")
    host = run_lock.holder_elsewhere(folder)
    if host is not None:
        raise KeptError(
            f"held by {host}, which cannot be seen from here: delete {run_lock.LOCK_FILE} there if it has ended",
        )


def busy_in_swarms(folders: Sequence[Path]) -> dict[Path, str]:
    """The runs that a swarm has submitted and that have not ended, each with the reason; one question a swarm."""
    members: dict[Path, list[Path]] = {}
    for folder in folders:
        try:
            owner = json.loads((folder / OWNER_FILE).read_text(encoding="utf-8"))
            members.setdefault(Path(str(owner["folder"])), []).append(folder)
        except (OSError, ValueError, LookupError, TypeError):
            continue  # of no swarm
    busy: dict[Path, str] = {}
    for place, theirs in members.items():
        if not (place / PLAN_FILE).exists():
            continue  # the swarm is gone: nobody submits them
        try:
            swarm = load(place)
            by_name = {each.name: each for each in theirs if each.name in swarm.by_name}
            runs = [swarm.by_name[name] for name in by_name]
            for name, status in run_statuses(swarm, runs).items():
                if status.state in (*UNDER_WAY, "claimed"):
                    busy[by_name[name]] = f"{status.state} in the swarm {swarm.name}"
        except (ConfigurationError, DeploymentError, StorageError) as error:
            busy |= {each: f"its swarm does not answer: {error.problem}" for each in theirs}
    return busy


def doomed_of(
    entry: Entry,
    rule: Rule,
    uses: Sequence[Use],
    *,
    sizes_alone: bool,
) -> Doomed | None:
    """What would go of a run; None where that is nothing.

    Args:
        entry: the run.
        rule: what is to go.
        uses: who needs something in it.
        sizes_alone: whether checkpoints that stay are believed by the sizes of their files.

    Raises:
        KeptError: it stays as it is.
    """
    doomed = (
        _whole(entry, rule, uses) if rule.whole else _checkpoints(entry, rule, uses, sizes_alone)
    )
    return doomed if doomed is not None and doomed.paths else None


def delete(doomed: Doomed, rule: Rule, uses: Sequence[Use]) -> Doomed | None:
    """Delete what was shown, as far as it may still go; what was deleted, None where nothing was.

    Each folder gets a temporary name first, so that an interruption leaves none that looks whole. The run is locked
    meanwhile, and what stays is proven byte by byte.

    Raises:
        KeptError: the run stays as it is.
        OSError: something cannot be deleted.
    """
    folder = doomed.entry.folder
    check_lock(folder)
    if measure(folder).written > doomed.entry.written:
        raise KeptError("written to since it was shown")
    try:
        run_lock.take(folder)
    except ConfigurationError as error:
        raise KeptError("running") from error
    try:
        now = doomed_of(doomed.entry, rule, uses, sizes_alone=False)
        if rule.whole:
            assert now is not None
            target = folder.with_name(f"{DOOMED}{durable.temporary_name().removeprefix(TEMPORARY)}")
            durable.rename(folder, target)
            remove_doomed(target)
            return now
        durable.remove_unfinished(folder / _FOLDER)
        paths = [path for path in doomed.paths if now is not None and path in now.paths]
        for path in paths:
            _remove(path)
        return now if paths else None
    finally:
        run_lock.release(folder)


def remove_doomed(folder: Path) -> None:
    """Remove a run folder that has its temporary name; another prune may be at it, too.

    Raises:
        OSError: it cannot be removed.
    """
    while os.path.lexists(folder):
        try:
            durable.remove_folder(folder)
        except FileNotFoundError:
            continue


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        durable.remove_folder(path)
    else:
        path.unlink(missing_ok=True)


def _whole(entry: Entry, rule: Rule, uses: Sequence[Use]) -> Doomed:
    inner = measure(entry.folder).inner
    if inner:
        raise KeptError(f"another run lies inside: {inner[0].relative_to(entry.folder)}")
    there = list_checkpoints(entry.folder / _FOLDER)
    if not rule.everything:
        if uses:
            raise KeptError(f"needed by {_users(uses)}")
        if there:
            raise KeptError("with its last checkpoint, which only --all deletes")
    words = f"the run, with {_count(len(there))}" if there else "the run; it has no checkpoint"
    warnings = (f"{_users(uses)} needs it",) if uses else ()
    return Doomed(entry, (entry.folder,), entry.size, words, warnings)


def _checkpoints(
    entry: Entry,
    rule: Rule,
    uses: Sequence[Use],
    sizes_alone: bool,
) -> Doomed | None:
    folder = entry.folder / _FOLDER
    if folder.is_symlink():
        raise KeptError("its checkpoints are a link to elsewhere")
    there = list_checkpoints(folder)
    if not there:
        return None
    staying = {} if rule.everything else _staying(folder, there, rule, uses, sizes_alone)
    gone = [(number, path) for number, path in reversed(there) if path not in staying]
    plain = [(number, path) for number, path in gone if not path.is_symlink()]
    paths = [path for _, path in plain]
    if rule.everything and len(plain) == len(there):
        paths = [folder / LATEST, folder / BEST, *paths, *packs(folder)]
    paths = [path for path in paths if os.path.lexists(path)]
    size = sum(_size(path) for path in paths)
    numbers = [number for number, _ in plain]
    words = f"{len(plain)} of {_count(len(there))}: {_iterations(numbers)}"
    stays = [f"{number} ({staying[path]})" for number, path in reversed(there) if path in staying]
    words += f"; stays: {', '.join(stays)}" if stays else "; none stays, and it cannot resume"
    needed = [use for use in uses if any(use.path.is_relative_to(path.resolve()) for path in paths)]
    warnings = (f"{_users(needed)} needs one of them",) if needed else ()
    return Doomed(entry, tuple(paths), size, words, warnings)


def _staying(
    folder: Path,
    there: Sequence[tuple[int, Path]],
    rule: Rule,
    uses: Sequence[Use],
    sizes_alone: bool,
) -> dict[Path, str]:
    """The checkpoints that stay, with the reason: what resumes the run, what it is evaluated by, what others need."""
    staying: dict[Path, str] = {}
    whole = 0
    for _, path in there:
        trouble = _trouble(path, sizes_alone)
        staying[path] = f"damaged: {trouble}" if trouble else "" if whole else "last"
        whole += not trouble
        if whole == rule.keep:
            break
    if not whole:
        raise KeptError("with no checkpoint that is whole")
    by_name = {path.name: path for _, path in there}
    best = by_name.get(target_of(folder / BEST) or "")
    if best is not None:
        if trouble := _trouble(best, sizes_alone):
            raise KeptError(f"its best checkpoint is damaged: {trouble}")
        staying[best] = " and ".join(filter(None, (staying.get(best), "best")))
    latest = by_name.get(target_of(folder / LATEST) or "")
    if latest is not None:
        staying.setdefault(latest, "latest")
    for _, path in there:
        needed = [use for use in uses if use.path.is_relative_to(path.resolve())]
        if needed:
            staying[path] = f"needed by {_users(needed)}"
    return {path: why or "kept" for path, why in staying.items()}


def _trouble(checkpoint: Path, sizes_alone: bool) -> str:
    """Why a checkpoint cannot be trusted; "" where it can."""
    try:
        prove(checkpoint, sizes_alone=sizes_alone)
    except UnprovenError as error:
        return str(error)
    except CheckpointError as error:
        raise KeptError(error.problem) from error
    return ""


def _size(path: Path) -> int:
    return (
        measure(path).bytes
        if path.is_dir() and not path.is_symlink()
        else path.lstat().st_blocks * 512
    )


def _users(uses: Sequence[Use]) -> str:
    """Who needs it."""
    words = list(dict.fromkeys(use.words for use in uses))
    return ", ".join(words[:3]) + (f" and {len(words) - 3} more" if len(words) > 3 else "")


def _count(number: int) -> str:
    return "1 checkpoint" if number == 1 else f"{number} checkpoints"


def _iterations(numbers: Sequence[int]) -> str:
    if len(numbers) > 4:
        return f"iterations {numbers[0]}, {numbers[1]} ... {numbers[-1]}"
    return f"iteration{'s' if len(numbers) != 1 else ''} {', '.join(map(str, numbers))}"
