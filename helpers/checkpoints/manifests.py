"""The layout of a checkpoint folder, and the manifest that proves what lies in it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.durable import Proof, UnprovenError
from helpers.errors import CheckpointError

# Of the manifest and of the files; that a manifest proves itself stays as it is for ever. 1: shards are files
# of the checkpoint's folder, in "files", and "shards" has their versions. 2: they lie in packs beside it.
SCHEMA = 2
_WITHOUT_SHARDS = 1  # so that older programs read it, too
LATEST, BEST = "latest", "best"  # links to checkpoints
MANIFEST = "manifest.json"
SHARED = "shared.safetensors"
REPLACED = ".replaced"  # ends the name of a checkpoint that another one of its iteration replaces
_SEAL = "sha256"
_FOLDER = re.compile(rf"iter_([0-9]{{6,}})({re.escape(REPLACED)})?")


def name_of(iteration: int) -> str:
    """The name of a checkpoint's folder."""
    return f"iter_{iteration:06d}"


def worker_file(rank: int) -> str:
    """The file of what only this worker had."""
    return f"worker_{rank:03d}.safetensors"


def list_checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(iteration, path) of the checkpoints in a folder, newest first; whether they are good is open.

    One that was being replaced when its process died stands in for the missing new one.
    """
    found: dict[int, Path] = {}
    for path in sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []:
        match = _FOLDER.fullmatch(path.name)  # "iter_000620" comes after "iter_000620.replaced"
        if match:
            found[int(match[1])] = path
    return sorted(found.items(), reverse=True)


def iteration_of(path: Path) -> int | None:
    """The iteration in a folder's name; None if this is no checkpoint's name."""
    match = _FOLDER.fullmatch(path.name)
    return int(match[1]) if match else None


class PackedShard(Proof):
    """Where a shard lies in its worker's pack, from which byte on, and which content it is."""

    at: int
    version: str


def pack_file(rank: int) -> str:
    """The file beside all checkpoints that holds a worker's shards."""
    return f"worker_{rank:03d}.shards"


def contents_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint holds: a proof by name, wherever the bytes lie."""
    found = dict(manifest["files"])
    for name, shard in manifest.get("shards", {}).items():
        if not isinstance(shard, str):
            found[name] = {"bytes": shard["bytes"], "sha256": shard["sha256"]}
    return found


def make_manifest(
    *,
    iteration: int,
    world_size: int,
    identity: Mapping[str, Any],
    files: Mapping[str, Proof],
    shards: Mapping[str, PackedShard] | None = None,
) -> bytes:
    """The content of a manifest: JSON whose last entry is the sha256 of all before it.

    Args:
        iteration: the last one that was finished.
        world_size: the number of workers.
        identity: see `helpers.checkpoints.store`.
        files: all files, with their proofs.
        shards: all shards by name; without any there is no such entry.
    """
    packed = {"shards": dict(sorted(shards.items()))} if shards else {}
    return _seal(
        {
            "schema": SCHEMA if shards else _WITHOUT_SHARDS,
            "iteration": iteration,
            "world_size": world_size,
            "identity": dict(identity),
            "files": {name: files[name] for name in sorted(files)},
            **packed,
        },
    )


def read_manifest(checkpoint: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, proven byte by byte.

    Raises:
        UnprovenError: it is missing, unreadable or altered.
    """
    try:
        content = (checkpoint / MANIFEST).read_bytes()
    except OSError as error:
        raise UnprovenError(f"{MANIFEST}: {error.strerror}") from error
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise UnprovenError(f"{MANIFEST} is damaged") from error
    if not isinstance(manifest, dict):
        raise UnprovenError(f"{MANIFEST} is damaged")
    if _seal({key: manifest[key] for key in manifest if key != _SEAL}) != content:
        raise UnprovenError(f"{MANIFEST} is altered: its sha256 is not its own")
    return manifest


def check_schema(manifest: Mapping[str, Any], checkpoint: Path) -> None:
    """Refuse what a newer program wrote.

    Raises:
        CheckpointError: it did.
    """
    if manifest["schema"] > SCHEMA:
        raise CheckpointError(
            f"{checkpoint} has format {manifest['schema']}; this program reads up to {SCHEMA}.",
            "Use the program that wrote it, or a newer one.",
        )


def _seal(manifest: Mapping[str, Any]) -> bytes:
    seal = hashlib.sha256(_serialize(manifest)).hexdigest()
    return _serialize({**manifest, _SEAL: seal})


def _serialize(manifest: Mapping[str, Any]) -> bytes:
    """The one spelling of a manifest."""
    return (json.dumps(manifest, indent=1) + "\n").encode()


def target_of(link: Path) -> str | None:
    """The name that a link stands for; None if it is none."""
    return os.readlink(link) if link.is_symlink() else None
