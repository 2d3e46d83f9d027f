"""Which runs others need: what their settings name, and the files that their capsules record."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.checkpoints.manifests import name_of
from helpers.config.yaml_files import read_yaml
from helpers.data_root import find
from helpers.errors import ConfigurationError
from helpers.run_folder.changes import INPUTS, read_capsule
from helpers.run_folder.experiment import CONFIG_FILE
from swarm.places import swarm_places
from swarm.plan import PLAN_FILE

_FROM = "init_from"
_ITERATIONS = {
    _FROM: "init_iter_num",
    "expert_policy": "expert_iter_num",
}  # of the run that a setting names
_OWN = (
    "runs_dir",
    "data_root",
    "model_path",
    "export_dir",
    "save_traj_dir",
    "experiment_directory",
)


@dataclass(frozen=True)
class Use:
    """That a run needs something of another one.

    Attributes:
        by: the run that needs it.
        how: the setting that names it, or the role of the file.
        path: what it needs; resolved.
    """

    by: str
    how: str
    path: Path

    @property
    def words(self) -> str:
        """In a few."""
        return f"{self.by} ({self.how})"


def uses_of(runs: Sequence[Path], users: Iterable[Path]) -> dict[Path, list[Use]]:
    """By run folder, who needs something in it: other runs, and those that swarms plan.

    Args:
        runs: the folders in question.
        users: run folders whose settings and capsules are read; one that is damaged says what can be read of it.
    """
    real = {os.path.realpath(folder): folder for folder in runs}
    found: dict[Path, list[Use]] = {}
    for name, own, needs in [*map(_needs_of, users), *_planned()]:
        for how, text in needs:
            path = os.path.realpath(find(text))
            folder = _owner(path, real)
            if folder is not None and os.path.realpath(folder) != own:
                use = Use(name, how, Path(path))
                if use not in found.setdefault(folder, []):
                    found[folder].append(use)
    return found


_Needs = tuple[str, str, list[tuple[str, str]]]


def _needs_of(folder: Path) -> _Needs:
    """(name, its folder, (how, path) of each file that a run reads)."""
    capsule = read_capsule(folder)
    needs = [
        (str(each.get("role")), str(each["path"]))
        for each in _list(capsule.get(INPUTS))
        if isinstance(each, dict) and each.get("path")
    ]
    lineage = capsule.get("lineage")
    if isinstance(lineage, dict) and lineage.get("file"):
        needs.append((_FROM, str(lineage["file"])))
    try:
        settings: Mapping[str, Any] = read_yaml(folder / CONFIG_FILE).values
    except ConfigurationError:
        settings = {}
    return folder.name, os.path.realpath(folder), [*_named(settings), *needs]


def _planned() -> Iterator[_Needs]:
    """The runs of swarms that have not begun: nothing but a plan tells what they will read."""
    for place in swarm_places():
        for path in sorted(place.glob(f"*/{PLAN_FILE}")):
            try:
                runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
            except (OSError, ValueError, LookupError, TypeError):
                continue  # a damaged plan starts nothing
            for run in filter(lambda each: isinstance(each, dict), _list(runs)):
                folder = Path(str(run.get("folder")))
                if not (folder / CONFIG_FILE).exists():
                    name = f"{run.get('name')} of the swarm {path.parent.name}"
                    yield name, os.path.realpath(folder), _named(run.get("settings") or {})


def _named(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Settings that may name a file or folder to read; of a run and an iteration, the checkpoint."""
    needs = []
    for key, value in settings.items():
        if not isinstance(value, str) or key in _OWN or not ("/" in value or key in _ITERATIONS):
            continue
        needs.append((key, value))
        iteration = str(settings.get(_ITERATIONS.get(key, "")))
        if iteration.isdecimal():
            needs.append((key, f"{value}/checkpoints/{name_of(int(iteration))}"))
    return needs


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _owner(path: str, runs: Mapping[str, Path]) -> Path | None:
    """The run folder that a path is, or lies in."""
    while path not in runs:
        above = os.path.dirname(path)
        if above == path:
            return None
        path = above
    return runs[path]
