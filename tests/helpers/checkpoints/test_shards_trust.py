"""What was done to shards on the disk is seen, and a death while they are written hurts no checkpoint."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from helpers.checkpoints.store import Checkpoints
from helpers.errors import CheckpointError
from tests.helpers.checkpoints.faulty_disk import Death, damaged, die_at, in_process, watch
from tests.helpers.checkpoints.packs import contents, latest, opened, pack, place, save


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.mark.parametrize("kind", ["flip", "truncate", "zero", "remove", "missing"])
@pytest.mark.parametrize("byte", [3, 60, 150])
def test_an_altered_shard_is_seen(kind: str, byte: int, tmp_path: Path) -> None:
    checkpoints = opened(tmp_path)
    save(checkpoints, 1, 1, 2)
    path = save(checkpoints, 2, 1, 3)
    content, (start, stop) = pack(path).read_bytes(), place(path, 1)
    if kind == "missing":
        pack(path).write_bytes(content[:start])
    else:
        pack(path).write_bytes(content[:start] + damaged(content[start:stop], kind, byte))
    checkpoint = latest(tmp_path)
    assert checkpoint.iteration == 1 and contents(checkpoint.shards) == [1, 2]
    (warning,) = checkpoint.warnings
    assert warning.startswith("iter_000002 is refused: worker_000.memory.0001.npy")


def test_a_pack_that_is_gone_refuses_all(tmp_path: Path) -> None:
    pack(save(opened(tmp_path), 1, 1)).unlink()
    with pytest.raises(CheckpointError, match=r"0000.npy worker_000.shards: No such file"):
        latest(tmp_path)


def test_a_shard_that_changes_while_it_is_read_ends_the_run(tmp_path: Path) -> None:
    path = save(opened(tmp_path), 1, 1)
    checkpoint = latest(tmp_path)
    pack(path).write_bytes(damaged(pack(path).read_bytes(), "flip", 150))
    with pytest.raises(CheckpointError, match="iter_000001 changed while it was read"):
        checkpoint.shards["memory.0000"]
    with pytest.raises(KeyError):
        checkpoint.shards["memory.0001"]


KILLED: dict[str, Callable[[Checkpoints], object]] = {
    "a new one": lambda checkpoints: save(checkpoints, 3, 1, 4, 5),
    "the same iteration": lambda checkpoints: save(checkpoints, 2, 1, 4, 5),
}


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("kind", KILLED)
def test_death_at_any_point_leaves_the_old_or_the_new(
    kind: str,
    keep: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[list[float]] = []
    finished = False
    while not finished:
        folder = tmp_path / f"{len(found)}"
        checkpoints = opened(folder, keep)
        save(checkpoints, 1, 1, 2)
        save(checkpoints, 2, 1, 3)
        with monkeypatch.context() as patch:
            watch(patch, die_at(len(found) + 1, Mock(side_effect=Death)))
            finished = in_process(KILLED[kind], checkpoints)
        again = opened(folder, keep)
        checkpoint = again.load_latest()
        assert checkpoint is not None and not checkpoint.warnings
        found.append(contents(checkpoint.shards))
        save(again, 4, *map(int, found[-1]), 6)
        assert contents(latest(folder).shards) == [*found[-1], 6]
        shutil.rmtree(folder)
    assert len(found) > 40
    old, new = [1.0, 3.0], [1.0, 4.0, 5.0]
    assert found == [old] * found.count(old) + [new] * found.count(new) and new in found
