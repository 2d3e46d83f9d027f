"""Whether a checkpoint is what it was written as, without loading it; no workers."""

from __future__ import annotations

from pathlib import Path

from helpers import durable
from helpers.checkpoints.manifests import check_schema, iteration_of, read_manifest
from helpers.checkpoints.shards import StoredShards
from helpers.durable import UnprovenError


def prove(checkpoint: Path, *, sizes_alone: bool = False) -> None:
    """Compare all files and shards of a checkpoint with its manifest.

    Args:
        checkpoint: its folder.
        sizes_alone: whether the files' contents are believed; reads nothing but the manifest.

    Raises:
        UnprovenError: something is missing or altered.
        CheckpointError: a newer program wrote it.
    """
    manifest = read_manifest(checkpoint)
    check_schema(manifest, checkpoint)
    if manifest["iteration"] != iteration_of(checkpoint):
        raise UnprovenError(f"its manifest is of iteration {manifest['iteration']}")
    for name, proof in manifest["files"].items():
        if not sizes_alone:
            durable.read_file(checkpoint / name, proof)
        elif _size(checkpoint / name) != proof["bytes"]:
            raise UnprovenError(f"{name} does not have {proof['bytes']} bytes")
    for rank in range(manifest["world_size"]):
        shards = StoredShards(checkpoint, rank, manifest)
        if not sizes_alone:
            shards.verify()
        elif not shards.are_there():
            raise UnprovenError(f"shards of worker {rank} are missing")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
