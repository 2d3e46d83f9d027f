"""Run folders: below a folder, however deep, or by the names on a command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from helpers.data_root import find, place
from helpers.durable import TEMPORARY
from helpers.errors import ConfigurationError
from helpers.run_folder.experiment import CONFIG_FILE
from reports.collect import RUNS, folders_of
from reports.series import is_run_folder
from swarm.control import find_swarm
from swarm.plan import PLAN_FILE

DOOMED = f"{TEMPORARY}pruned-"  # begins the name of a run folder that is being removed


@dataclass
class Found:
    """What lies below some folders.

    Attributes:
        runs: the run folders, each once, in the order of their paths; none inside another.
        linked: those of them that a symbolic link leads to: they lie elsewhere.
        leftovers: run folders whose removal was interrupted.
        unreadable: folders that could not be looked into, with the reason.
    """

    runs: list[Path] = field(default_factory=list)
    linked: set[Path] = field(default_factory=set)
    leftovers: list[Path] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def find_runs(roots: Sequence[Path]) -> Found:
    """All run folders that are, or lie below, some folders. Links are followed last: each run counts where it lies."""
    found, seen, links = Found(), set[Path](), list[Path]()
    for root in roots:
        found.runs += _walk(root, found, seen, links)
    while links:
        linked = list(_walk(links.pop(), found, seen, links))
        found.runs += linked
        found.linked.update(linked)
    found.runs.sort()
    return found


def find_named(names: Sequence[str], runs_dir: str | None = None) -> Found:
    """The run folders of names: folders of runs, runs, patterns or swarms; without any, all below the usual place.

    Raises:
        ConfigurationError: a name that is none of these, or no run.
    """
    roots: list[Path] = []
    for name in names:
        path = next((each for each in (find(name), place(RUNS) / name) if each.is_dir()), None)
        if path is not None and not (path / PLAN_FILE).exists():
            roots.append(path)
            continue
        folders = folders_of(name)
        if folders is None or path is not None:
            folders = [run.folder for run in find_swarm(name).runs if is_run_folder(run.folder)]
        roots += folders
    found = find_runs(roots if names else [usual_place(runs_dir)])
    if not found.runs and not found.leftovers:
        where = ", ".join(names) or str(usual_place(runs_dir))
        why = f" ({found.unreadable[0]})" if found.unreadable and not names else ""
        raise ConfigurationError(
            f"There are no runs in {where}{why}.",
            "Give a folder of runs, a run or a swarm; or start one: python main.py -h.",
        )
    return found


def usual_place(runs_dir: str | None) -> Path:
    """The folder of all runs.

    Raises:
        ConfigurationError: it was named and is not there.
    """
    folder = place(runs_dir or RUNS)
    if runs_dir is not None and not folder.is_dir():
        raise ConfigurationError(
            f"--runs_dir {runs_dir} is no folder.",
            f"Give a folder of runs; the usual one is {place(RUNS)}.",
        )
    return folder


def _walk(root: Path, found: Found, seen: set[Path], links: list[Path]) -> Iterator[Path]:
    """The run folders at or below a folder; the links to folders that lie there are put aside."""
    waiting = [(root, root.resolve())]
    while waiting:
        folder, real = waiting.pop()
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(folder) as listed:
                entries = list(listed)
        except OSError as error:
            found.unreadable.append(f"{folder} cannot be read: {error.strerror}")
            continue
        if any(entry.name == CONFIG_FILE and entry.is_file() for entry in entries):
            yield folder
            continue
        for entry in entries:
            path, is_folder = folder / entry.name, entry.is_dir(follow_symlinks=False)
            if entry.name.startswith(TEMPORARY):
                found.leftovers += [path] * (is_folder and entry.name.startswith(DOOMED))
            elif is_folder:
                waiting.append((path, real / entry.name))
            elif entry.is_dir():
                links.append(path)
