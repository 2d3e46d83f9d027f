"""Checkpoints on a bad day: death at every point of a save, full disks, altered files."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from helpers.checkpoints.manifests import list_checkpoints
from helpers.checkpoints.resolve import read_shared, resolve_checkpoint
from helpers.checkpoints.store import Checkpoints
from helpers.errors import CheckpointError, StorageError
from helpers.parallel.workers import Workers
from tests.helpers.checkpoints.cases import assert_same
from tests.helpers.checkpoints.faulty_disk import (
    OPERATIONS,
    Death,
    damaged,
    die_at,
    fail_from,
    in_child,
    in_process,
    tree,
    watch,
)


def opened(folder: Path, keep: int = 0) -> Checkpoints:
    return Checkpoints(folder, workers=Workers.solo(), keep=keep, identity={"algo": "ppo"})


def state(number: int) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    return {"w": rng.normal(size=20), "b": {"seen": number, "on": rng.normal(size=3) > 0}}


def save(folder: Path, iteration: int, number: int, *, keep: int = 0, best: bool = False) -> Path:
    return opened(folder, keep).save(
        iteration,
        shared=state(number),
        local={"noise": state(number + 100)},
        best=best,
    )


def loaded_number(folder: Path, keep: int = 0) -> int:
    """Which of the states above a run would go on from; fails if it is none of them."""
    checkpoint = opened(folder, keep).load_latest()
    assert checkpoint is not None
    number = checkpoint.shared["b"]["seen"]
    assert_same(checkpoint.shared, state(number))
    assert_same(checkpoint.local, {"noise": state(number + 100)})
    assert checkpoint.warnings == []
    return number


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The checkpoints of iterations 1 and 2; `best` is 1."""
    save(tmp_path / "checkpoints", 1, 1, best=True)
    save(tmp_path / "checkpoints", 2, 2)
    return tmp_path / "checkpoints"


# Each begins with iterations 1 and 2 on the disk, and would bring state 3.
SAVES: dict[str, Callable[[Path], object]] = {
    "a new one": lambda folder: save(folder, 3, 3),
    "a new one, best, and pruning": lambda folder: save(folder, 3, 3, keep=1, best=True),
    "another one of the same iteration": lambda folder: save(folder, 2, 3),
}


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without waiting for the disk: a process that dies leaves to the kernel what it wrote."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


def number_after(copy: Path) -> int:
    """The state that a run would go on from after a death, when everything there has been looked at."""
    # Whoever only reads sees good ones, before anybody tidies.
    for iteration, path in list_checkpoints(copy):
        assert read_shared(path)[0] == iteration
    _, shared, _ = read_shared(resolve_checkpoint(copy, "latest"))
    assert_same(shared, state(shared["b"]["seen"]))
    number = loaded_number(copy)
    assert read_shared(resolve_checkpoint(copy, "best"))[0] in {1, 3}
    assert not [name for name in os.listdir(copy) if name.startswith(".") or "replaced" in name]
    save(copy, 4, 4)
    assert loaded_number(copy) == 4
    return number


@pytest.mark.parametrize("kind", SAVES)
def test_death_at_any_point_leaves_the_old_or_the_new(
    kind: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers: list[int] = []
    finished = False
    while not finished:
        copy = tmp_path / f"copy_{len(numbers)}"
        shutil.copytree(folder, copy, symlinks=True)
        with monkeypatch.context() as patch:
            watch(patch, die_at(len(numbers) + 1, Mock(side_effect=Death)))
            finished = in_process(SAVES[kind], copy)
        numbers.append(number_after(copy))
        shutil.rmtree(copy)
    assert len(numbers) > 50
    assert set(numbers) == {2, 3} and numbers == sorted(numbers)  # once new, always new


@pytest.mark.parametrize("kind", SAVES)
def test_a_process_that_is_killed_leaves_the_old_or_the_new(
    kind: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for point in range(3, 63, 10):
        copy = tmp_path / f"copy_{point}"
        shutil.copytree(folder, copy, symlinks=True)
        with monkeypatch.context() as patch:
            watch(patch, die_at(point, lambda: os.kill(os.getpid(), signal.SIGKILL)))
            assert not in_child(SAVES[kind], copy)
        assert number_after(copy) in {2, 3}


@pytest.mark.parametrize("times", [1, 1_000_000], ids=["once", "from then on"])
@pytest.mark.parametrize("kind", SAVES)
def test_a_failure_at_any_point_leaves_the_old_or_the_new(
    kind: str,
    times: int,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    numbers: list[int] = []
    while True:
        copy = tmp_path / f"copy_{len(numbers)}"
        shutil.copytree(folder, copy, symlinks=True)
        with monkeypatch.context() as patch:
            point = len(numbers) + 1
            watch(patch, fail_from(point, errno.EIO, times=times, operations=OPERATIONS))
            try:
                SAVES[kind](copy)
            except StorageError as error:
                assert "Input/output error" in error.problem
                finished = False
            else:
                finished = True
        _, shared, _ = read_shared(resolve_checkpoint(copy, "latest"))
        assert_same(shared, state(shared["b"]["seen"]))
        numbers.append(loaded_number(copy))
        shutil.rmtree(copy)
        if finished:
            break
    assert len(numbers) > 25
    assert set(numbers) == {2, 3} and numbers == sorted(numbers)


@pytest.mark.parametrize(
    "number",
    [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS],
)
@pytest.mark.parametrize("operation", ["open", "write", "fsync", "mkdir", "rename"])
def test_a_failed_save_is_told_and_undone(
    number: int,
    operation: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = tree(folder)
    with monkeypatch.context() as patch:
        watch(patch, fail_from(1, number, times=1, operations=(operation,)))
        with pytest.raises(StorageError) as failure:
            save(folder, 3, 3)
    assert failure.value.exit_code == 5
    assert os.strerror(number) in failure.value.problem
    assert str(folder) in failure.value.problem and "MiB free" in failure.value.problem
    assert "start the same command again" in failure.value.remedy
    assert tree(folder) == before
    assert save(folder, 3, 3).name == "iter_000003" and loaded_number(folder) == 3


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on a disk of 256 KiB; without the right to mount, one that counts what is written."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    mounted = shutil.which("mount") and subprocess.run(mount, capture_output=True).returncode == 0
    if not mounted:
        watch(monkeypatch, fail_from(60, errno.ENOSPC, times=10**6, operations=("write",)))
    yield place
    if mounted:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_leaves_the_earlier_checkpoints(small_disk: Path) -> None:
    folder = small_disk / "checkpoints"
    with pytest.raises(StorageError, match="No space left on device") as failure:
        for number in range(1, 100):
            opened(folder).save(number, shared=state(number), local={"noise": state(number + 100)})
    assert str(folder) in failure.value.problem
    assert loaded_number(folder) == number - 1 >= 2
    assert os.readlink(folder / "latest") == f"iter_{number - 1:06d}"
    assert not list(folder.glob(".tmp-*"))


def test_the_order_of_a_save_survives_a_power_cut(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[tuple[str, str]] = []

    def note(operation: str, path: str, is_done: bool) -> None:
        if is_done:
            done.append((operation, path))

    with monkeypatch.context() as patch:
        watch(patch, note)
        save(folder, 3, 3, best=True)
    staging = next(path for operation, path in done if operation == "mkdir")
    committed = done.index(("rename", staging))
    written = {path for operation, path in done if operation == "write"}
    assert {Path(path).name for path in written} == {
        "manifest.json",
        "shared.safetensors",
        "worker_000.safetensors",
    }
    for path in written:
        last_write = max(i for i, each in enumerate(done) if each == ("write", path))
        assert last_write < done.index(("fsync", path)) < committed
    manifest = f"{staging}/manifest.json"
    data = [("fsync", path) for path in written if path != manifest]
    assert max(map(done.index, data)) < done.index(("open", manifest))  # it proves what is there
    last_of_staging = max(i for i, each in enumerate(done) if each == ("fsync", staging))
    assert done.index(("fsync", manifest)) < last_of_staging < committed
    links = [i for i, (operation, _) in enumerate(done) if operation == "replace"]
    assert len(links) == 2
    synced = [i for i, each in enumerate(done) if each == ("fsync", str(folder))]
    for i in [committed, *links]:
        # the parent reaches the disk before anything else is changed
        changes = [
            j for j, (what, _) in enumerate(done) if j > i and what in {"symlink", "replace"}
        ]
        assert any(i < j < min(changes, default=len(done)) for j in synced)


KINDS = ("flip", "truncate", "zero", "remove", "append", "repeat")


def test_every_alteration_is_seen(folder: Path) -> None:
    """240 of them, over all files of the newest checkpoint."""
    rng = random.Random(0)
    checkpoints = opened(folder)
    files = sorted((folder / "iter_000002").iterdir())
    assert len(files) == 3
    for i in range(240):
        path, kind = files[i % 3], KINDS[i // 3 % len(KINDS)]
        content = path.read_bytes()
        # half of them in the first 100 bytes, where a header is
        place = rng.randrange(len(content) if i % 2 else min(len(content), 100))
        path.write_bytes(damaged(content, kind, place))
        checkpoint = checkpoints.load_latest()
        assert checkpoint is not None
        assert checkpoint.iteration == 1, f"{kind} at {place} of {path.name} was not seen"
        assert_same(checkpoint.shared, state(1))
        (warning,) = checkpoint.warnings
        assert warning.startswith(f"iter_000002 is refused: {path.name}")
        path.write_bytes(content)
    assert loaded_number(folder) == 2


def test_every_bit_of_a_manifest_counts(folder: Path) -> None:
    path = folder / "iter_000002" / "manifest.json"
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(damaged(content, "flip", place))
        with pytest.raises(CheckpointError, match="is damaged"):
            read_shared(path.parent)


@pytest.mark.parametrize("name", ["manifest.json", "shared.safetensors", "worker_000.safetensors"])
def test_a_missing_file_is_seen(name: str, folder: Path) -> None:
    (folder / "iter_000002" / name).unlink()
    checkpoint = opened(folder).load_latest()
    assert checkpoint is not None and checkpoint.iteration == 1
    (warning,) = checkpoint.warnings
    assert warning == f"iter_000002 is refused: {name}: No such file or directory"


def test_a_folder_under_another_iterations_name_is_refused(folder: Path) -> None:
    shutil.copytree(folder / "iter_000001", folder / "iter_000009")
    checkpoint = opened(folder).load_latest()
    assert checkpoint is not None and checkpoint.iteration == 2
    assert checkpoint.warnings == ["iter_000009 is refused: its manifest is of iteration 1"]


def test_if_none_is_good_the_run_does_not_begin_afresh(folder: Path) -> None:
    for path in folder.glob("iter_*/shared.safetensors"):
        path.write_bytes(damaged(path.read_bytes(), "flip", 300))
    before = tree(folder)
    with pytest.raises(CheckpointError, match="No checkpoint in .* is intact") as refusal:
        opened(folder).load_latest()
    assert refusal.value.exit_code == 4
    assert "iter_000002 is refused: shared.safetensors is altered" in refusal.value.problem
    assert "iter_000001 is refused" in refusal.value.problem
    assert tree(folder) == before


def test_refused_ones_do_not_count_as_the_newest(folder: Path) -> None:
    for iteration in (3, 4, 5):
        save(folder, iteration, iteration)
        path = folder / f"iter_{iteration:06d}" / "shared.safetensors"
        path.write_bytes(damaged(path.read_bytes(), "truncate", 50))
    run = opened(folder, keep=2)
    checkpoint = run.load_latest()
    assert checkpoint is not None and checkpoint.iteration == 2
    run.save(3, shared=state(3), local={"noise": state(103)})
    assert {iteration for iteration, _ in list_checkpoints(folder)} == {
        1,
        2,
        3,
        4,
        5,
    }  # 1 is the best
    reloaded = opened(folder, keep=2).load_latest()
    assert reloaded is not None and (reloaded.iteration, len(reloaded.warnings)) == (3, 2)
    for iteration in (4, 5):
        run.save(iteration, shared=state(iteration), local={"noise": state(iteration + 100)})
    assert loaded_number(folder) == 5
    assert {iteration for iteration, _ in list_checkpoints(folder)} == {1, 4, 5}
