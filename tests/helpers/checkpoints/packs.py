"""Checkpoints with shards, and where these lie in the pack."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from helpers.checkpoints.manifests import _seal, read_manifest
from helpers.checkpoints.shards import Shard
from helpers.checkpoints.store import Checkpoint, Checkpoints
from helpers.parallel.workers import Workers


def opened(folder: Path, keep: int = 0) -> Checkpoints:
    return Checkpoints(folder, workers=Workers.solo(), keep=keep, identity={"algo": "sac"})


def shards(*versions: int) -> dict[str, Shard]:
    """One for each version, whose content it decides."""
    return {
        f"memory.{i:04d}": Shard(str(version), np.full((5, 3), version, np.float32))
        for i, version in enumerate(versions)
    }


def save(checkpoints: Checkpoints, iteration: int, *versions: int) -> Path:
    return checkpoints.save(iteration, shared={}, local={}, shards=shards(*versions))


def latest(folder: Path) -> Checkpoint:
    checkpoint = opened(folder).load_latest()
    assert checkpoint is not None
    return checkpoint


def contents(loaded: Mapping[str, np.ndarray]) -> list[float]:
    """Which versions came back; fails if one is not wholly there."""
    for array in loaded.values():
        assert array.dtype == np.float32 and array.shape == (5, 3) and (array == array[0, 0]).all()
    return [float(loaded[name][0, 0]) for name in sorted(loaded)]


def place(path: Path, number: int) -> tuple[int, int]:
    """(first, last + 1) byte of a shard in the pack."""
    found = read_manifest(path)["shards"][f"worker_000.memory.{number:04d}.npy"]
    return found["at"], found["at"] + found["bytes"]


def pack(path: Path) -> Path:
    return path.parent / "worker_000.shards"


def old_style(path: Path) -> Path:
    """The checkpoint as an older version wrote it: a file a shard, in its own folder."""
    manifest = read_manifest(path)
    content, versions, files = pack(path).read_bytes(), {}, dict(manifest["files"])
    for name, shard in manifest["shards"].items():
        part = content[shard["at"] : shard["at"] + shard["bytes"]]
        (path / name).write_bytes(part)
        versions[name] = shard["version"]
        files[name] = {"bytes": shard["bytes"], "sha256": shard["sha256"]}
    known = {key: manifest[key] for key in ("iteration", "world_size", "identity")}
    sealed = {"schema": 1, **known, "files": dict(sorted(files.items())), "shards": versions}
    (path / "manifest.json").write_bytes(_seal(sealed))
    pack(path).unlink()
    return path
