"""Run under mpiexec: several workers save, load and fall back together.

usage: checkpoints_together.py FOLDER MODE
"""

import errno
import logging
import os
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from helpers.checkpoints.resolve import read_shared
from helpers.checkpoints.store import Checkpoint, Checkpoints
from helpers.errors import StorageError
from helpers.parallel.crash import install_crash_handler
from helpers.parallel.workers import Workers


def save(checkpoints: Checkpoints, workers: Workers, iteration: int) -> Path:
    return checkpoints.save(
        iteration,
        shared={"iteration": iteration, "w": np.full(1000, iteration)},
        local={"rank": workers.rank, "noise": np.full(50 + workers.rank, iteration)},
    )


def check(checkpoint: Checkpoint | None, workers: Workers, iteration: int) -> None:
    assert checkpoint is not None
    assert checkpoint.iteration == checkpoint.shared["iteration"] == iteration
    assert checkpoint.local["rank"] == workers.rank
    assert checkpoint.local["noise"].tolist() == [iteration] * (50 + workers.rank)


def fall_back(folder: Path, checkpoints: Checkpoints, workers: Workers) -> None:
    """Only one worker's file is bad, and only that worker reads it."""
    last = workers.size - 1
    if workers.is_root:
        path = folder / "iter_000002" / f"worker_{last:03d}.safetensors"
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"x")
    workers.barrier()
    checkpoint = checkpoints.load_latest()
    check(checkpoint, workers, 1)
    name = f"worker_{last:03d}.safetensors"
    reason = f"iter_000002 is refused: {name} is altered: its sha256 is not the recorded one"
    assert checkpoint is not None and checkpoint.warnings == [reason]
    workers.barrier()
    if workers.is_root:
        path.write_bytes(content)
    workers.barrier()
    check(checkpoints.load_latest(), workers, 2)


def refuse(folder: Path, checkpoints: Checkpoints, workers: Workers) -> None:
    """Only the last worker's disk is full."""
    last = workers.size - 1
    with pytest.MonkeyPatch.context() as patch, pytest.raises(StorageError) as failure:
        if workers.rank == last:
            full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            patch.setattr(os, "write", Mock(side_effect=full))
        save(checkpoints, workers, 3)
    assert workers.allgather_json(str(failure.value)) == [str(failure.value)] * workers.size
    for words in (
        f"worker_{last:03d}.safetensors",
        f"by worker {last}",
        "No space left",
        "MiB free",
    ):
        assert words in failure.value.problem
    assert sorted(os.listdir(folder)) == ["iter_000001", "iter_000002", "latest"]
    check(checkpoints.load_latest(), workers, 2)


def main() -> None:
    folder, mode = Path(sys.argv[1]), sys.argv[2]
    logging.disable()
    workers = Workers.connect()
    install_crash_handler(workers, folder.parent)
    checkpoints = Checkpoints(folder, workers=workers, keep=0, identity={"algo": "ppo"})
    if mode == "all":
        assert checkpoints.load_latest() is None
        for iteration in (1, 2):
            assert save(checkpoints, workers, iteration) == folder / f"iter_{iteration:06d}"
        check(checkpoints.load_latest(), workers, 2)
        fall_back(folder, checkpoints, workers)
        refuse(folder, checkpoints, workers)
        assert len(read_shared(folder / "iter_000002")[2]["files"]) == workers.size + 1
    elif mode == "die":
        save(checkpoints, workers, 3)
        if workers.rank == 1:
            setattr(os, "fsync", lambda _: os._exit(9))  # noqa: B010 - with its own file half saved
        save(checkpoints, workers, 4)
    elif mode == "load":
        check(checkpoints.load_latest(), workers, 3)
        assert not list(folder.glob(".tmp-*"))
    if workers.is_root:
        print("done")


if __name__ == "__main__":
    main()
