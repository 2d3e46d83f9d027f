"""The run folder of a trial: its generations, and how it takes over another trial's checkpoint.

    config.yaml, metrics.jsonl, checkpoints/     the current generation: a run like any other
    lineage.jsonl                                 a line for each take-over: from whom, which iteration, which settings
    lineage/000/{config.yaml,metrics.jsonl,checkpoints}   what the trial was before the first take-over, whole

`metrics.jsonl` is the history of the weights in `checkpoints`: after a take-over its first rows are the donor's. What
is moved is moved by renaming; a death at any moment is mended by `tidy`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from helpers import durable
from helpers.checkpoints.manifests import (
    BEST,
    LATEST,
    MANIFEST,
    list_checkpoints,
    make_manifest,
    name_of,
    read_manifest,
)
from helpers.config.run import RunConfig
from helpers.config.schema import dump_config, identity_of
from helpers.errors import CheckpointError
from helpers.trackers.jsonl import parse_row

CONFIG, METRICS, CHECKPOINTS = "config.yaml", "metrics.jsonl", "checkpoints"
LINEAGE, LINEAGE_FILE = "lineage", "lineage.jsonl"
_STAGING, _ROW = ".taking_over", "row.json"
_PARTS = (CONFIG, METRICS, CHECKPOINTS)


@dataclass(frozen=True)
class Reference:
    """A checkpoint of a trial, which stays wherever the trial goes.

    Attributes:
        trial: its name in Ray.
        folder: of its run.
        generation: how often it had taken over before.
        iteration: of the checkpoint.
    """

    trial: str
    folder: str
    generation: int
    iteration: int

    @property
    def home(self) -> Path:
        """The folder of that generation: the run folder itself, or one below `lineage`."""
        folder = Path(self.folder)
        if self.generation == generation_of(folder):
            return folder
        return folder / LINEAGE / f"{self.generation:03d}"

    @property
    def checkpoint(self) -> Path:
        """The checkpoint's folder."""
        return self.home / CHECKPOINTS / name_of(self.iteration)

    def to_json(self) -> dict[str, Any]:
        """As Ray's checkpoint keeps it."""
        return asdict(self)


def lineage_of(folder: Path) -> list[dict[str, Any]]:
    """The take-overs of a trial, the first one first."""
    try:
        lines = (folder / LINEAGE_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


def generation_of(folder: Path) -> int:
    """How often a trial has taken over."""
    return len(lineage_of(folder))


def go_back(folder: Path, iteration: int) -> None:
    """Resume a run from one of its checkpoints: newer ones are removed, as their iterations are done again, exactly.

    Raises:
        CheckpointError: there is no such checkpoint.
    """
    checkpoints = folder / CHECKPOINTS
    found = list_checkpoints(checkpoints)
    if iteration not in dict(found):
        raise CheckpointError(
            f"{checkpoints} has no checkpoint of iteration {iteration}.",
            "It was removed by hand? Start the search anew under another --name.",
        )
    for number, path in found:
        if number > iteration:
            durable.remove_folder(path)
    for link in (LATEST, BEST):
        if (checkpoints / link).is_symlink() and not (checkpoints / link).exists():
            (checkpoints / link).unlink()
    durable.replace_link(checkpoints / LATEST, name_of(iteration))


def take_over(
    folder: Path,
    donor: Reference,
    config: RunConfig,
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    trial: str,
) -> None:
    """Put a donor's checkpoint and history in the place of a trial's own, which are kept.

    Args:
        folder: the trial's run folder.
        donor: where the checkpoint is.
        config: the trial's settings from now on.
        before, after: what is searched, for the lineage.
        trial: the trial's name in Ray.

    Raises:
        CheckpointError: the donor's checkpoint is gone or altered.
    """
    staging = folder / _STAGING
    source = donor.checkpoint
    try:
        manifest = read_manifest(source)
    except durable.UnprovenError as error:
        raise CheckpointError(
            f"{source} cannot be taken over: {error}.",
            "It was removed by hand? Start the search anew under another --name.",
        ) from error
    target = staging / CHECKPOINTS / name_of(donor.iteration)
    target.mkdir(parents=True)
    for name in manifest["files"]:
        _link(source / name, target / name)
    for pack in sorted((donor.home / CHECKPOINTS).glob("*.shards")) if "shards" in manifest else ():
        shutil.copyfile(pack, staging / CHECKPOINTS / pack.name)
    text = make_manifest(
        iteration=manifest["iteration"],
        world_size=manifest["world_size"],
        identity=json.loads(json.dumps(identity_of(config))),
        files=manifest["files"],
        shards=manifest.get("shards"),
    )
    (target / MANIFEST).write_bytes(text)
    os.symlink(target.name, staging / CHECKPOINTS / LATEST)
    rows = (donor.home / METRICS).read_bytes().splitlines(keepends=True)
    kept = [
        line for line in rows if (row := parse_row(line)) and row["iteration"] <= donor.iteration
    ]
    (staging / METRICS).write_bytes(b"".join(kept))
    dump_config(config, staging / CONFIG)
    row = {
        "trial": trial,
        "generation": generation_of(folder) + 1,
        "donor": donor.trial,
        "donor_folder": donor.folder,
        "donor_generation": donor.generation,
        "iteration": donor.iteration,
        "shared_sha256": manifest["files"]["shared.safetensors"]["sha256"],
        "before": dict(before),
        "after": dict(after),
    }
    durable.sync_folder(target)
    durable.write_atomically(staging / _ROW, json.dumps(row) + "\n")
    tidy(folder)


def tidy(folder: Path) -> None:
    """Finish a take-over that was committed when its process died; drop one that was not."""
    staging = folder / _STAGING
    if not staging.exists():
        return
    if not (staging / _ROW).exists():
        durable.remove_folder(staging)
        return
    row = json.loads((staging / _ROW).read_text(encoding="utf-8"))
    past = folder / LINEAGE / f"{row['generation'] - 1:03d}"
    if generation_of(folder) < row["generation"]:
        past.mkdir(parents=True, exist_ok=True)
        for name in _PARTS:
            if not (past / name).exists() and (folder / name).exists():
                os.rename(folder / name, past / name)
            if (staging / name).exists():
                os.rename(staging / name, folder / name)
        lines = [json.dumps(each) + "\n" for each in [*lineage_of(folder), row]]
        durable.write_atomically(folder / LINEAGE_FILE, "".join(lines))
    durable.remove_folder(staging)


def _link(source: Path, target: Path) -> None:
    """The same file at another place; a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
