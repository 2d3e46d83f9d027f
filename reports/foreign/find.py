"""Where results of other libraries lie, recognised by their layout."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from helpers.errors import ConfigurationError
from reports.foreign import csv_files, evaluations, event_runs
from reports.foreign.event_files import event_files
from reports.foreign.others import Others
from reports.foreign.runs import Found, notes_of, series_of
from reports.series import Series, Source, is_run_folder

_DEEPEST = 6  # folders below what was named
LAYOUTS = "a folder with event files or evaluations.npz, or a CSV file"


@dataclass(frozen=True)
class Named:
    """What a word of the command line names.

    Attributes:
        path: a folder or a file.
        label: of the group, of NAME=PATH; "" where the files tell it.
    """

    path: Path
    label: str = ""


def named(word: str) -> Named | None:
    """What a word names that can be another library's alone: a file, or NAME=PATH; else None."""
    path = Path(word).expanduser()
    if path.exists():
        is_file = path.is_file() and (path.suffix == csv_files.SUFFIX or _run_of(path.parent))
        return Named(path) if is_file else None
    label, sign, rest = word.partition("=")
    path = Path(rest).expanduser()
    return Named(path, label.strip()) if sign and label.strip() and path.exists() else None


def read(
    what: Named,
    source: Source | None,
    others: Others,
) -> tuple[list[Series], list[str]]:
    """(the runs, what is to be said of them) of a file, or of a folder and all below it; empty where there are none.

    Raises:
        ConfigurationError: a file cannot be read, a run has no task, or two are one.
    """
    if what.path.suffix == csv_files.SUFFIX and what.path.is_file():
        found = csv_files.read_file(what.path, others, label=what.label)
        return series_of(found, what.path, others), notes_of(found, others)
    root = what.path if what.path.is_dir() else what.path.parent
    found = [_read_run(folder, source) for folder in _folders(root)]
    if what.label:
        found = [replace(each, group=what.label) for each in found]
    return series_of(found, root, others), notes_of(found, others)


def refuse_names_of_ours(series: Iterable[Series]) -> None:
    """A group that is called as one of our own is not drawn as one with it.

    Raises:
        ConfigurationError: there is one.
    """
    every = list(series)
    ours = {run.algorithm or run.group for run in every if not run.library}
    for run in every:
        if run.library and run.algorithm in ours:
            raise ConfigurationError(
                f"{run.algorithm} is a group of {run.folder} and one of this project's runs.",
                f"Call it otherwise: '{run.library}: {run.algorithm}={run.folder}'.",
            )


def _read_run(folder: Path, source: Source | None) -> Found:
    """EvalCallback's file comes first; with event files beside it, training returns are theirs."""
    has_events = bool(event_files(folder))
    if (folder / evaluations.FILE).is_file() and not (source == "training" and has_events):
        return evaluations.read_run(folder, source)
    return event_runs.read_run(folder, source)


def _run_of(folder: Path) -> bool:
    """Whether another library's results lie directly in a folder."""
    return (folder / evaluations.FILE).is_file() or bool(event_files(folder))


def _folders(root: Path) -> list[Path]:
    """All folders with results of others, by name, without what lies in runs of this project."""
    found = []
    for place, inside, _ in os.walk(root):
        folder = Path(place)
        depth = len(folder.relative_to(root).parts)
        if is_run_folder(folder):
            inside.clear()
            continue
        inside[:] = sorted(inside) if depth < _DEEPEST else []
        if _run_of(folder):
            found.append(folder)
    return sorted(found)
