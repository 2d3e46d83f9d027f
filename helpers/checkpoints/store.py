"""Checkpoints: committed by one rename, proven by one manifest, saved and loaded by all workers together.

    checkpoints/latest -> iter_000620        checkpoints/best -> iter_000480
    checkpoints/iter_000620/manifest.json    sizes and sha256 of all files, and of itself
                            shared.safetensors, worker_000.safetensors, worker_001.safetensors ...
    checkpoints/worker_000.shards ...            what is large, of all checkpoints, see helpers.checkpoints.shards

A save writes into a temporary folder, syncs every file, writes the manifest last and renames the folder.
Whenever the process dies, or the power goes, what lies under `iter_*` is whole or is refused.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from helpers import durable
from helpers.checkpoints.manifests import (
    BEST,
    LATEST,
    MANIFEST,
    REPLACED,
    SHARED,
    check_schema,
    iteration_of,
    list_checkpoints,
    make_manifest,
    name_of,
    read_manifest,
    target_of,
    worker_file,
)
from helpers.checkpoints.shards import (
    Shard,
    StoredShards,
    check_shards,
    places_taken,
    write_shards,
)
from helpers.checkpoints.state_files import State, pack, unpack
from helpers.durable import UnprovenError
from helpers.errors import CheckpointError, StorageError
from helpers.parallel.workers import Workers

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Checkpoint:
    """What a run is resumed from.

    Attributes:
        path: its folder.
        iteration: the last one that was finished.
        shared: what all workers have in common.
        local: what this worker alone had.
        shards: its large arrays by name, each read when it is asked for, once.
        warnings: which newer checkpoints were refused, and why; the same on every worker.
    """

    path: Path
    iteration: int
    shared: dict[str, Any]
    local: dict[str, Any]
    shards: Mapping[str, np.ndarray] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Checkpoints:
    """The checkpoints of one run. Every public method is collective.

    Attributes:
        folder: made by the first save.
        keep: how many of the newest stay, 0 for all; those that `latest` and `best` stand for always do.
        identity: what a checkpoint must agree with to be loaded; one that is older than a word had its default, and
            may have it under a former name. In `changed` words the run's own checkpoints differ.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: Workers,
        keep: int,
        identity: Mapping[str, Scalar],
        defaults: Mapping[str, Scalar] | None = None,
        former: Mapping[str, str] | None = None,
        changed: frozenset[str] = frozenset(),
    ) -> None:
        """Clear what an earlier process left unfinished.

        Raises:
            StorageError: the folder cannot be written; as by every method, on every worker.
        """
        self.folder, self.keep = folder, keep
        self.identity: dict[str, Scalar] = json.loads(json.dumps(identity))
        self._defaults: dict[str, Scalar] = json.loads(json.dumps(defaults or {}))
        self._former, self._workers, self._changed = dict(former or {}), workers, changed
        self._stored: StoredShards | None = None  # of the checkpoint saved or loaded last
        self._on_root(self._tidy)

    # Saving

    def save(
        self,
        iteration: int,
        *,
        shared: State,
        local: State,
        shards: Mapping[str, Shard] | None = None,
        best: bool = False,
    ) -> Path:
        """Commit a checkpoint, replacing one of the same iteration, and let `latest` stand for it.

        Args:
            iteration: the last one that was finished.
            shared: the same on every worker; the root's is written.
            local, shards: this worker's own; a large array that is unchanged is not written again.
            best: whether `best` stands for it too.

        Raises:
            StorageError: a worker cannot write. No earlier checkpoint is touched.
            TypeError: a state holds what a file cannot, see `helpers.checkpoints.state_files`.
        """
        rank = self._workers.rank
        large = check_shards(shards)
        files = {worker_file(rank): pack(local)}
        if self._workers.is_root:
            files[SHARED] = pack(shared)
        name, taken = self._on_root(self._new_staging)
        staging, places = self.folder / name, {"rank": rank, "before": self._stored, "taken": taken}
        self._stored = None  # of a save that fails nothing is kept
        try:
            written = self._on_all(
                lambda: {
                    "files": {
                        n: durable.write_file(staging / n, data) for n, data in files.items()
                    },
                    "shards": write_shards(self.folder, large, **places),
                },
            )
            self._on_root(lambda: self._commit(staging, iteration, written, best=best))
        except StorageError:
            if self._workers.is_root:
                with contextlib.suppress(OSError):  # the error that matters is on its way
                    self._tidy()
            raise
        path = self.folder / name_of(iteration)
        self._stored = StoredShards(path, rank, written[rank])
        self._stored.known.update(self._stored)
        return path

    def _new_staging(self) -> tuple[str, Any]:
        durable.make_folder(self.folder)
        staging = self.folder / durable.temporary_name()
        durable.make_folder(staging, at_once=False)  # it counts from its new name on
        return staging.name, places_taken(self.folder)

    def _commit(
        self,
        staging: Path,
        iteration: int,
        written: list[dict[str, dict[str, Any]]],
        *,
        best: bool,
    ) -> None:
        manifest = make_manifest(
            iteration=iteration,
            world_size=self._workers.size,
            identity=self.identity,
            files={name: proof for each in written for name, proof in each["files"].items()},
            shards={name: place for each in written for name, place in each["shards"].items()},
        )
        durable.write_file(staging / MANIFEST, [manifest])
        durable.sync_folder(staging)
        target = self.folder / name_of(iteration)
        replaced = target.with_name(target.name + REPLACED)
        if target.exists():
            if replaced.exists():
                durable.remove_folder(replaced)
            durable.rename(target, replaced)
        durable.rename(staging, target)
        for link in [LATEST, BEST] if best else [LATEST]:
            durable.replace_link(self.folder / link, target.name)
        if replaced.exists():
            durable.remove_folder(replaced)
        self._prune(iteration)

    def _prune(self, iteration: int) -> None:
        """Remove all but the newest; those beyond `iteration` were refused, and will be replaced."""
        if not self.keep:
            return
        linked = {target_of(self.folder / LATEST), target_of(self.folder / BEST)}
        past = [path for number, path in list_checkpoints(self.folder) if number <= iteration]
        for path in past[self.keep :]:
            if path.name not in linked:
                durable.remove_folder(path)

    def _tidy(self) -> None:
        if not self.folder.is_dir():
            return
        durable.remove_unfinished(self.folder)
        for replaced in self.folder.glob(f"*{REPLACED}"):
            target = replaced.with_name(replaced.name.removesuffix(REPLACED))
            if target.exists():
                durable.remove_folder(replaced)
            else:
                durable.rename(replaced, target)  # the process died between the two renames

    # Loading

    def load_latest(self) -> Checkpoint | None:
        """The newest checkpoint that every worker can prove; None if there is none at all.

        Raises:
            CheckpointError: there are some but none can be trusted, or the newest that can is of
                another run, world size or newer program.
        """
        refused: list[str] = []
        for name in self._on_root(lambda: [path.name for _, path in list_checkpoints(self.folder)]):
            checkpoint, trouble = self._load(self.folder / name)
            if checkpoint is not None:
                return replace(checkpoint, warnings=refused)
            refused.append(f"{name} is refused: {trouble}")
        if refused:
            raise CheckpointError(
                f"No checkpoint in {self.folder} is intact: {'; '.join(refused)}.",
                "Restore one from a copy, or move that folder away to start over.",
            )
        return None

    def _load(self, path: Path) -> tuple[Checkpoint | None, str | None]:
        """(checkpoint, None) or (None, why it cannot be trusted); which, every worker agrees on."""
        manifest, trouble = self._on_root(lambda: _attempt(read_manifest, path))
        if manifest is None:
            return None, trouble
        check_schema(manifest, path)
        if manifest["iteration"] != iteration_of(path):
            return None, f"its manifest is of iteration {manifest['iteration']}"
        self._check_identity(manifest, path)
        files = [SHARED, worker_file(self._workers.rank)]
        shards = StoredShards(path, self._workers.rank, manifest)
        states, trouble = _attempt(_read_states, path, manifest, files)
        if not trouble:
            _, trouble = _attempt(shards.verify)
        trouble = ", ".join(dict.fromkeys(filter(None, self._workers.allgather_json(trouble))))
        if trouble:
            return None, trouble
        self._stored = shards
        shared, local = states
        return Checkpoint(path, manifest["iteration"], shared, local, shards), None

    def _check_identity(self, manifest: Mapping[str, Any], path: Path) -> None:
        theirs, ours = manifest["world_size"], self._workers.size
        if theirs != ours:
            start = f"with mpiexec -n {theirs}" if theirs > 1 else "without mpiexec"
            raise CheckpointError(
                f"world_size is {ours} here, but {theirs} in {path}.",
                f"Start it {start}, or start another run with --uuid.",
            )
        there = {self._former.get(key, key): each for key, each in manifest["identity"].items()}
        saved = self._defaults | there
        for key in dict.fromkeys([*self.identity, *saved]):
            here, before = (repr(each.get(key, "(absent)")) for each in (self.identity, saved))
            if here != before and key not in self._changed:
                raise CheckpointError(
                    f"{key} is {here} here, but {before} in {path}.",
                    f"Continue with the {key} of that run, or start another one with --uuid.",
                )

    # Together

    def _on_root(self, work: Callable[[], Any]) -> Any:
        """What `work` gives on the root, as JSON, on every worker; the others do not call it."""
        return self._on_all(lambda: work() if self._workers.is_root else None)[0]

    def _on_all(self, work: Callable[[], Any]) -> list[Any]:
        """What `work` gives on every worker, as JSON.

        Raises:
            StorageError: on every worker, if `work` has met an `OSError` on any.
        """
        try:
            outcome = {"value": work()}
        except OSError as error:
            outcome = _storage_failure(error, self.folder, self._workers)
        outcomes = self._workers.allgather_json(outcome)
        for each in outcomes:
            if "problem" in each:
                raise StorageError(each["problem"], each["remedy"])
        return [each["value"] for each in outcomes]


def _read_states(path: Path, manifest: Mapping[str, Any], names: list[str]) -> list[dict[str, Any]]:
    return [unpack(durable.read_file(path / name, manifest["files"][name])) for name in names]


def _attempt(read: Callable[..., Any], *arguments: Any) -> tuple[Any, str | None]:
    """(what was read, None) or (None, why it cannot be trusted)."""
    try:
        return read(*arguments), None
    except UnprovenError as error:
        return None, str(error)


def _storage_failure(error: OSError, folder: Path, workers: Workers) -> dict[str, str]:
    """The problem and the remedy, with the space that is left."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**20
    who = f" by worker {workers.rank}" if workers.size > 1 else ""
    is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
    cure = "Free space or quota there" if is_full else "Mend the disk or its permissions"
    return {
        "problem": (
            f"{error.filename or folder} cannot be written{who}: "
            f"{error.strerror or error} ({free:.1f} MiB free)."
        ),
        "remedy": f"{cure}, then start the same command again: earlier checkpoints are untouched.",
    }
