"""Run folders with checkpoints that can be loaded, and what is left of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from helpers.checkpoints.manifests import list_checkpoints
from helpers.checkpoints.shards import Shard
from helpers.checkpoints.store import Checkpoint, Checkpoints
from helpers.parallel.workers import Workers
from tests.reports.stage import make_run

LAST, BEST = 50, 20


def checkpoints_of(folder: Path) -> Checkpoints:
    """As the run opens them."""
    identity = {"algo": "ppo"}
    return Checkpoints(folder / "checkpoints", workers=Workers.solo(), keep=0, identity=identity)


def trained(runs: Path, name: str = "a.seed00", **settings: Any) -> Path:
    """A run with the checkpoints 10, 20 (best), 30, 40 and 50, each with a memory of its own in the pack."""
    folder = make_run(runs, name, [1.0, 2.0], settings=settings)
    shutil.rmtree(folder / "checkpoints")
    store = checkpoints_of(folder)
    for i in range(10, LAST + 1, 10):
        memory = Shard(str(i), np.full(3000, i, np.float32))
        store.save(
            i,
            shared={"i": i},
            local={"w": np.ones(500)},
            shards={"m": memory},
            best=i == BEST,
        )
    return folder


def latest_of(folder: Path) -> Checkpoint:
    """What the run would go on from."""
    found = checkpoints_of(folder).load_latest()
    assert found is not None
    return found


def there(folder: Path) -> list[int]:
    """The iterations that have a checkpoint."""
    return sorted(number for number, _ in list_checkpoints(folder / "checkpoints"))


def damage(folder: Path, iteration: int) -> None:
    """Change a checkpoint in a way that sizes do not show."""
    file = folder / "checkpoints" / f"iter_{iteration:06d}" / "worker_000.safetensors"
    file.write_bytes(file.read_bytes()[:-8] + b"somebody")


def content(folder: Path) -> dict[str, object]:
    """Every path below a folder, with what it holds and when that was written."""
    return {
        str(path): (
            os.readlink(path)
            if path.is_symlink()
            else (path.stat().st_mtime_ns, path.is_dir() or path.read_bytes())
        )
        for path in folder.rglob("*")
    }
