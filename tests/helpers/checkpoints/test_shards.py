"""Shards of checkpoints: proven like all else, written only when they changed, whole after any death."""

from __future__ import annotations

import errno
import importlib.util
import io
import itertools
import json
import os
import shutil
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from helpers import durable
from helpers.checkpoints.manifests import contents_of, make_manifest, read_manifest
from helpers.checkpoints.resolve import read_shared
from helpers.checkpoints.shards import Shard, npy_array, npy_parts
from helpers.checkpoints.store import Checkpoints
from helpers.errors import CheckpointError, StorageError
from helpers.parallel.workers import Workers
from tests.agents.replay.cases import assert_same_memory, memory, transitions
from tests.helpers.checkpoints.packs import (
    contents,
    latest,
    old_style,
    opened,
    pack,
    place,
    save,
    shards,
)
from tests.mpi.start import run

needs_mpi = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None,
    reason="MPI is not installed",
)


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


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
    assert [manifest["shards"][name]["version"] for name in names] == ["7", "8"]
    assert manifest["schema"] == 2 and set(names) < set(contents_of(manifest))
    start, stop = place(path, 1)
    assert (np.load(io.BytesIO(pack(path).read_bytes()[start:stop])) == 8).all()
    assert read_shared(path)[0] == 1


def test_a_checkpoint_without_shards_is_what_it_was(tmp_path: Path) -> None:
    path = opened(tmp_path).save(1, shared={"a": 1}, local={})
    manifest = read_manifest(path)
    assert list(manifest) == ["schema", "iteration", "world_size", "identity", "files", "sha256"]
    assert (
        make_manifest(
            iteration=1,
            world_size=1,
            identity={"algo": "sac"},
            files=manifest["files"],
        )
        == (path / "manifest.json").read_bytes()
    )
    assert dict(latest(tmp_path).shards) == {}


def test_only_what_changed_is_written_and_a_worker_has_one_file(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path)
    first = save(checkpoints, 1, 1, 2, 3)
    second = save(checkpoints, 2, 1, 9, 3, 4)
    assert [place(first, i) == place(second, i) for i in range(3)] == [True, False, True]
    assert contents(latest(tmp_path).shards) == [1, 9, 3, 4]
    third = save(checkpoints, 3, 1, 9)
    assert place(third, 0) == place(first, 0) and place(third, 1) == place(second, 1)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["worker_000.shards"]
    for path in (second, first):  # each is whole, whichever other is removed
        assert contents(latest(tmp_path).shards) == [1, 9]
        shutil.rmtree(path)


def test_the_same_iteration_again_keeps_what_the_one_it_replaces_has(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path)
    before = place(save(checkpoints, 1, 1, 2), 0)
    path = save(checkpoints, 1, 1, 3)
    assert place(path, 0) == before
    assert contents(latest(tmp_path).shards) == [1, 3]


def test_what_no_checkpoint_needs_is_written_over(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path, keep=1)
    paths = [save(checkpoints, i, 1, i) for i in range(2, 8)]  # each goes when the next has come
    assert len(list(tmp_path.glob("iter_*"))) == 1
    assert contents(latest(tmp_path).shards) == [1, 7]
    assert pack(paths[-1]).stat().st_size <= 3 * 4096
    checkpoints.save(8, shared={}, local={}, shards={"memory.0000": shards(1)["memory.0000"]})
    save(checkpoints, 9, 1)
    assert pack(paths[-1]).stat().st_size <= 4096


def test_shards_that_grow_do_not_touch_each_other(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path, keep=2)
    rng = np.random.default_rng(0)
    for iteration in range(1, 30):
        sizes = rng.integers(1, 30_000, 5)
        made = {f"m.{i}": Shard(f"{i}.{n % 7}", np.full(n, n % 7)) for i, n in enumerate(sizes)}
        made["kept"] = Shard("1", np.arange(3000))
        kept = made if iteration % 3 else {"kept": made["kept"]}
        checkpoints.save(iteration, shared={}, local={}, shards=kept)
        for path in tmp_path.glob("iter_*"):
            ends = [
                (each["at"], each["at"] + each["bytes"])
                for each in read_manifest(path)["shards"].values()
            ]
            assert all(a[1] <= b[0] for a, b in itertools.pairwise(sorted(ends)))
        loaded = Checkpoints(tmp_path, workers=Workers.solo(), keep=2, identity={"algo": "sac"})
        checkpoint = loaded.load_latest()
        assert checkpoint is not None and not checkpoint.warnings
        assert (checkpoint.shards["kept"] == np.arange(3000)).all()
    assert pack(path).stat().st_size < 4 * 5 * 30_000 * 8


def test_a_run_that_goes_on_keeps_what_it_has_read(tmp_path: Path) -> None:
    first = save(opened(tmp_path), 1, 1, 2)
    again = opened(tmp_path)
    checkpoint = again.load_latest()
    assert checkpoint is not None and contents(checkpoint.shards) == [1, 2]
    second = save(again, 2, 1, 3)
    assert place(first, 0) == place(second, 0)


def test_a_checkpoint_of_an_older_version_is_read_and_gone_on_from(tmp_path: Path) -> None:
    old = old_style(save(opened(tmp_path), 1, 1, 2))
    again = opened(tmp_path)
    checkpoint = again.load_latest()
    assert checkpoint is not None and contents(checkpoint.shards) == [1, 2]
    assert (
        contents_of(read_manifest(save(again, 2, 1, 3))).keys()
        == contents_of(
            read_manifest(old),
        ).keys()
    )
    assert contents(latest(tmp_path).shards) == [1, 3]
    (old / "worker_000.memory.0001.npy").write_bytes(b"bad")
    shutil.rmtree(tmp_path / "iter_000002")
    with pytest.raises(CheckpointError, match="worker_000.memory.0001.npy"):
        latest(tmp_path)


def test_equal_versions_of_another_process_mean_nothing(tmp_path: Path) -> None:
    """A run that never asked for the old content has its own, whatever it calls it."""
    save(opened(tmp_path), 1, 1, 2)
    again = opened(tmp_path)
    assert again.load_latest() is not None
    mine = {name: Shard(each.version, each.array + 10) for name, each in shards(1, 2).items()}
    again.save(2, shared={}, local={}, shards=mine)
    assert contents(latest(tmp_path).shards) == [11, 12]


def test_a_pack_that_is_gone_or_cut_is_written_again(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path)
    path = save(checkpoints, 1, 1, 2, 3)
    os.truncate(pack(path), place(path, 1)[0] + 10)
    second = save(checkpoints, 2, 1, 2, 3)
    assert place(path, 0) == place(second, 0) and place(path, 1) != place(second, 1)
    assert contents(latest(tmp_path).shards) == [1, 2, 3]
    pack(path).unlink()
    save(checkpoints, 3, 1, 2, 3)
    checkpoint = latest(tmp_path)
    assert checkpoint.iteration == 3 and contents(checkpoint.shards) == [1, 2, 3]


def test_a_save_that_failed_leaves_nothing_to_keep(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoints = opened(tmp_path)
    save(checkpoints, 1, 1, 2)
    with monkeypatch.context() as patch, pytest.raises(StorageError, match="No space left"):
        patch.setattr(os, "pwrite", Mock(side_effect=OSError(errno.ENOSPC, "No space left")))
        save(checkpoints, 2, 1, 3)
    assert contents(latest(tmp_path).shards) == [1, 2]
    save(checkpoints, 2, 1, 3)
    assert contents(latest(tmp_path).shards) == [1, 3]


def test_a_save_that_failed_after_it_replaced_another_is_not_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoints = opened(tmp_path)
    save(checkpoints, 1, 1, 2)
    with monkeypatch.context() as patch, pytest.raises(StorageError, match="I/O"):
        patch.setattr(durable, "replace_link", Mock(side_effect=OSError(errno.EIO, "I/O error")))
        save(checkpoints, 1, 1, 3)  # the folder of the first holds another content now
    save(checkpoints, 2, 1, 2)
    checkpoint = latest(tmp_path)
    assert checkpoint.iteration == 2 and contents(checkpoint.shards) == [1, 2]


# The memory


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each shard that is written."""
    sizes: list[int] = []
    write = durable.write_parts

    def counting(path: Path, parts: list, *, end: int) -> list[durable.Proof]:
        proofs = write(path, parts, end=end)
        sizes.extend(proof["bytes"] for proof in proofs)
        return proofs

    monkeypatch.setattr(durable, "write_parts", counting)
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
    assert len(made.shards()) >= 60
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["worker_000.shards"]
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
