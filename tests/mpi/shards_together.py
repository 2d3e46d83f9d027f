"""Run under mpiexec: workers save, keep and load shards of their own, and fall back together.

usage: shards_together.py FOLDER
"""

import logging
import sys
from pathlib import Path

import numpy as np

from helpers.checkpoints.manifests import read_manifest
from helpers.checkpoints.shards import Shard
from helpers.checkpoints.store import Checkpoint, Checkpoints
from helpers.parallel.crash import install_crash_handler
from helpers.parallel.workers import Workers


def save(checkpoints: Checkpoints, rank: int, iteration: int) -> Path:
    """The first shard never changes, the second always does; the last worker has one more."""
    shards = {
        "memory.0": Shard("1", np.full(100, rank)),
        "memory.1": Shard(str(iteration), np.full(50 + rank, iteration)),
    }
    if rank == checkpoints._workers.size - 1:
        shards["memory.2"] = Shard("1", np.zeros(3))
    return checkpoints.save(iteration, shared={}, local={"rank": rank}, shards=shards)


def check(checkpoint: Checkpoint | None, workers: Workers, iteration: int) -> None:
    assert checkpoint is not None and checkpoint.iteration == iteration
    assert len(checkpoint.shards) == 2 + (workers.rank == workers.size - 1)
    assert checkpoint.shards["memory.0"].tolist() == [workers.rank] * 100
    assert checkpoint.shards["memory.1"].tolist() == [iteration] * (50 + workers.rank)


def main() -> None:
    folder = Path(sys.argv[1])
    logging.disable()
    workers = Workers.connect()
    install_crash_handler(workers, folder.parent)
    checkpoints = Checkpoints(folder, workers=workers, keep=2, identity={})
    paths = [save(checkpoints, workers.rank, iteration) for iteration in (1, 2, 3)]
    workers.barrier()
    mine = f"worker_{workers.rank:03d}.memory."
    earlier, later = (read_manifest(path)["shards"] for path in paths[1:])
    assert earlier[f"{mine}0.npy"] == later[f"{mine}0.npy"]
    assert earlier[f"{mine}1.npy"]["at"] != later[f"{mine}1.npy"]["at"]
    check(checkpoints.load_latest(), workers, 3)
    workers.barrier()
    if workers.is_root:  # a shard of the other worker alone
        last = f"worker_{workers.size - 1:03d}"
        place = later[f"{last}.memory.1.npy"]
        with (folder / f"{last}.shards").open("r+b") as pack:
            pack.seek(place["at"] + place["bytes"] - 1)
            pack.write(b"x")
    workers.barrier()
    checkpoint = checkpoints.load_latest()
    check(checkpoint, workers, 2)
    assert checkpoint is not None and "memory.1.npy is altered" in checkpoint.warnings[0]
    save(checkpoints, workers.rank, 3)
    check(checkpoints.load_latest(), workers, 3)
    if workers.is_root:
        print("done")


if __name__ == "__main__":
    main()
