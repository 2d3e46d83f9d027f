"""Shards of checkpoints: proven like all else, written only when they changed, whole after any death."""

from __future__ import annotations

import errno
import importlib.util
import io
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from helpers import durable
from helpers.checkpoints import Checkpoint, Checkpoints, read_shared
from helpers.errors import CheckpointError, StorageError
from helpers.manifests import read_manifest, sealed_manifest
from helpers.shards import Shard, npy_array, npy_parts
from helpers.workers import Workers
from tests.agents.memories import assert_same_memory, memory, transitions
from tests.helpers.faulty_disk import Death, damaged, die_at, in_process, watch
from tests.mpi.start import run

needs_mpi = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None,
    reason="MPI is not installed",
)


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


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


def file(path: Path, number: int) -> Path:
    return path / f"worker_000.memory.{number:04d}.npy"


# Files


RECORD = np.dtype(
    {"names": ["a", "b"], "formats": [("f4", 3), "?"], "offsets": [0, 12], "itemsize": 16},
)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.arange(6).reshape(2, 3).T,
        np.zeros((0, 4), np.uint8),
        np.array(2.5),
        np.array([[True, False]]),
        np.zeros((3, 2), RECORD),
        np.arange(10)[::3],
    ],
    ids=lambda array: f"{array.dtype.name}{array.shape}",
)
def test_an_array_is_a_npy_file_and_comes_back(array: np.ndarray) -> None:
    content = bytearray(b"".join(npy_parts(array)))
    for back in (npy_array(content), np.load(io.BytesIO(content), allow_pickle=False)):
        assert back.dtype == array.dtype and back.shape == array.shape
        assert (back == array).all()
    assert npy_array(content).tobytes() == array.tobytes()
    npy_array(content)[...] = 0  # it may be changed


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"a/b": Shard("1", np.zeros(1))}, ValueError),
        ({"..": Shard("1", np.zeros(1))}, ValueError),
        ({"a": Shard("1", np.array([None]))}, TypeError),
    ],
)
def test_what_cannot_be_a_file_leaves_no_trace(
    bad: dict[str, Shard],
    error: type[Exception],
    tmp_path: Path,
) -> None:
    with pytest.raises(error):
        opened(tmp_path).save(1, shared={}, local={}, shards=bad)
    assert not list(tmp_path.iterdir())


# Saving


def test_shards_come_back_and_the_manifest_proves_them(tmp_path: Path) -> None:
    path = save(opened(tmp_path), 1, 7, 8)
    assert contents(latest(tmp_path).shards) == [7, 8]
    manifest = json.loads((path / "manifest.json").read_text())
    names = [f"worker_000.memory.{i:04d}.npy" for i in range(2)]
    assert manifest["shards"] == dict(zip(names, ("7", "8"), strict=True))
    assert manifest["schema"] == 1 and set(names) < set(manifest["files"])
    assert (np.load(path / names[1]) == 8).all()
    assert read_shared(path)[0] == 1


def test_a_checkpoint_without_shards_is_what_it_was(tmp_path: Path) -> None:
    path = opened(tmp_path).save(1, shared={"a": 1}, local={})
    manifest = read_manifest(path)
    assert list(manifest) == ["schema", "iteration", "world_size", "identity", "files", "sha256"]
    assert (
        sealed_manifest(
            iteration=1,
            world_size=1,
            identity={"algo": "sac"},
            files=manifest["files"],
        )
        == (path / "manifest.json").read_bytes()
    )
    assert dict(latest(tmp_path).shards) == {}


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path)
    first = save(checkpoints, 1, 1, 2, 3)
    second = save(checkpoints, 2, 1, 9, 3, 4)
    same = [file(first, i).samefile(file(second, i)) for i in range(3)]
    assert same == [True, False, True]
    assert contents(latest(tmp_path).shards) == [1, 9, 3, 4]
    third = save(checkpoints, 3, 1, 9)
    assert file(third, 0).stat().st_nlink == 3 and file(third, 1).samefile(file(second, 1))
    assert len(list(third.glob("*.npy"))) == 2


def test_the_same_iteration_again_is_linked_with_the_one_it_replaces(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path)
    before = file(save(checkpoints, 1, 1, 2), 0).stat().st_ino
    path = save(checkpoints, 1, 1, 3)
    assert file(path, 0).stat().st_ino == before
    assert contents(latest(tmp_path).shards) == [1, 3]


def test_pruning_leaves_what_others_need(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path, keep=1)
    inodes = {
        file(save(checkpoints, i, 1, i), 0).stat().st_ino for i in range(2, 6)
    }  # each goes when the next has come
    assert len(inodes) == 1 and len(list(tmp_path.glob("iter_*"))) == 1
    assert contents(latest(tmp_path).shards) == [1, 5]


def test_a_run_that_goes_on_links_what_it_has_read(tmp_path: Path) -> None:
    first = save(opened(tmp_path), 1, 1, 2)
    again = opened(tmp_path)
    checkpoint = again.load_latest()
    assert checkpoint is not None and contents(checkpoint.shards) == [1, 2]
    second = save(again, 2, 1, 3)
    assert file(first, 0).samefile(file(second, 0))


def test_equal_versions_of_another_process_mean_nothing(tmp_path: Path) -> None:
    """A run that never asked for the old content has its own, whatever it calls it."""
    save(opened(tmp_path), 1, 1, 2)
    again = opened(tmp_path)
    assert again.load_latest() is not None
    mine = {name: Shard(each.version, each.array + 10) for name, each in shards(1, 2).items()}
    again.save(2, shared={}, local={}, shards=mine)
    assert contents(latest(tmp_path).shards) == [11, 12]


@pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP])
def test_without_hard_links_all_is_written(
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoints = opened(tmp_path)
    first = save(checkpoints, 1, 1, 2)
    monkeypatch.setattr(os, "link", Mock(side_effect=OSError(number, "no")))
    second = save(checkpoints, 2, 1, 2)
    assert not file(first, 0).samefile(file(second, 0))
    assert contents(latest(tmp_path).shards) == [1, 2]


def test_a_file_that_is_gone_or_cut_is_written_again(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path)
    path = save(checkpoints, 1, 1, 2, 3)
    file(path, 0).unlink()
    os.truncate(file(path, 1), 100)
    save(checkpoints, 2, 1, 2, 3)
    checkpoint = latest(tmp_path)
    assert checkpoint.iteration == 2 and contents(checkpoint.shards) == [1, 2, 3]


def test_a_save_that_failed_leaves_nothing_to_link(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoints = opened(tmp_path)
    save(checkpoints, 1, 1, 2)
    with monkeypatch.context() as patch, pytest.raises(StorageError, match="No space left"):
        patch.setattr(os, "write", Mock(side_effect=OSError(errno.ENOSPC, "No space left")))
        save(checkpoints, 2, 1, 3)
    assert contents(latest(tmp_path).shards) == [1, 2]
    save(checkpoints, 2, 1, 3)
    assert contents(latest(tmp_path).shards) == [1, 3]


def test_a_save_that_failed_after_it_replaced_another_is_not_linked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoints = opened(tmp_path)
    save(checkpoints, 1, 1, 2)
    with monkeypatch.context() as patch, pytest.raises(StorageError, match="I/O"):
        patch.setattr(durable, "point", Mock(side_effect=OSError(errno.EIO, "I/O error")))
        save(checkpoints, 1, 1, 3)  # the folder of the first holds another content now
    save(checkpoints, 2, 1, 2)
    checkpoint = latest(tmp_path)
    assert checkpoint.iteration == 2 and contents(checkpoint.shards) == [1, 2]


# Trust


@pytest.mark.parametrize("kind", ["flip", "truncate", "zero", "remove", "append", "missing"])
@pytest.mark.parametrize("place", [3, 60, 150])
def test_an_altered_shard_is_seen(kind: str, place: int, tmp_path: Path) -> None:
    checkpoints = opened(tmp_path)
    save(checkpoints, 1, 1, 2)
    path = file(save(checkpoints, 2, 1, 3), 1)
    if kind == "missing":
        path.unlink()
    else:
        path.write_bytes(damaged(path.read_bytes(), kind, place))
    checkpoint = latest(tmp_path)
    assert checkpoint.iteration == 1 and contents(checkpoint.shards) == [1, 2]
    (warning,) = checkpoint.warnings
    assert warning.startswith("iter_000002 is refused: worker_000.memory.0001.npy")


def test_a_shard_that_changes_while_it_is_read_ends_the_run(tmp_path: Path) -> None:
    path = file(save(opened(tmp_path), 1, 1), 0)
    checkpoint = latest(tmp_path)
    path.write_bytes(damaged(path.read_bytes(), "flip", 150))
    with pytest.raises(CheckpointError, match="iter_000001 has changed while it was read"):
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


# The memory


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each file that is written."""
    sizes: list[int] = []
    write = durable.write_file

    def counting(path: Path, chunks: list) -> durable.Proof:
        proof = write(path, chunks)
        sizes.append(proof["bytes"])
        return proof

    monkeypatch.setattr(durable, "write_file", counting)
    return sizes


@pytest.mark.parametrize("exponent", [0.0, 0.6])
def test_one_percent_of_new_rows_costs_no_tenth_of_a_save(
    exponent: float,
    tmp_path: Path,
    written: list[int],
) -> None:
    rng = np.random.default_rng(0)
    # as many bytes as make as many blocks as a large one has
    made = memory(
        rows=25_000,
        environments=4,
        observation_shape=(17,),
        action_shape=(6,),
        priority_exponent=exponent,
    )
    made.add(transitions(rng, 25_000, environments=4, observation_shape=(17,), action_shape=(6,)))
    checkpoints = opened(tmp_path, keep=2)

    def saved_bytes(iteration: int) -> int:
        written.clear()
        state = made.state_dict()
        checkpoints.save(iteration, shared={}, local={"memory": state}, shards=made.shards())
        return sum(written)

    full = saved_bytes(0)
    assert full > 25_000 * 4 * 166
    for iteration in range(1, 6):
        part = transitions(rng, 250, environments=4, observation_shape=(17,), action_shape=(6,))
        made.add(part)
        if exponent:
            batch = made.sample(rng.random((4, 64)))
            made.update_priorities(batch["index"], rng.random(256))
        assert saved_bytes(iteration) <= 0.10 * full
    checkpoint = latest(tmp_path)
    restored = memory(
        rows=25_000,
        environments=4,
        observation_shape=(17,),
        action_shape=(6,),
        priority_exponent=exponent,
    )
    restored.load(checkpoint.local["memory"], checkpoint.shards)
    assert_same_memory(made, restored)
    checkpoints = opened(tmp_path, keep=2)
    loaded = checkpoints.load_latest()
    assert loaded is not None
    restored.load(loaded.local["memory"], loaded.shards)
    assert saved_bytes(6) <= 0.10 * full  # also by the process that goes on


@needs_mpi
def test_workers_save_and_load_their_own(tmp_path: Path) -> None:
    ended = run(2, "shards_together.py", tmp_path / "checkpoints")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")
