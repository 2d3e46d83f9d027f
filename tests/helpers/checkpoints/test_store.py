"""Checkpoints: saving, pruning, loading, identity, choosing one; alone and under mpiexec."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

from helpers.checkpoints import manifests
from helpers.checkpoints.resolve import read_shared, resolve_checkpoint
from helpers.checkpoints.store import Checkpoints
from helpers.errors import CheckpointError
from helpers.parallel.workers import Workers
from tests.helpers.checkpoints.cases import assert_same, full_state
from tests.mpi.start import run

needs_mpi = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None,
    reason="MPI is not installed",
)


def opened(folder: Path, keep: int = 0, **identity: Any) -> Checkpoints:
    identity = {"algo": "ppo", "p_lr": 3e-4, "layers": None} | identity
    return Checkpoints(folder, workers=Workers.solo(), keep=keep, identity=identity)


def save(folder: Path, *iterations: int, keep: int = 0, best: int | None = None) -> None:
    checkpoints = opened(folder, keep)
    for iteration in iterations:
        checkpoints.save(iteration, shared={"i": iteration}, local={}, best=iteration == best)


def names(folder: Path) -> set[str]:
    return set(os.listdir(folder))


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run with checkpoints 0, 10, 620 and 1000000; 10 is the best."""
    save(tmp_path / "run" / "checkpoints", 0, 10, 620, 1_000_000, best=10)
    return tmp_path / "run"


# Saving and loading


def test_a_state_comes_back_bit_for_bit(tmp_path: Path) -> None:
    checkpoints = opened(tmp_path / "run" / "checkpoints")
    assert checkpoints.load_latest() is None
    path = checkpoints.save(7, shared=full_state(1), local=full_state(2))
    assert path == tmp_path / "run" / "checkpoints" / "iter_000007"
    checkpoint = checkpoints.load_latest()
    assert checkpoint is not None
    assert (checkpoint.path, checkpoint.iteration, checkpoint.warnings) == (path, 7, [])
    assert_same(checkpoint.shared, full_state(1))
    assert_same(checkpoint.local, full_state(2))
    iteration, shared, manifest = read_shared(path)
    assert iteration == manifest["iteration"] == 7
    assert_same(shared, full_state(1))


def test_a_manifest_says_what_is_there(run_folder: Path) -> None:
    folder = run_folder / "checkpoints" / "iter_000620"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["schema"] == 1
    assert manifest["world_size"] == 1
    assert manifest["identity"] == {"algo": "ppo", "p_lr": 3e-4, "layers": None}
    assert names(folder) == {"manifest.json", *manifest["files"]}
    for name, proof in manifest["files"].items():
        assert (folder / name).stat().st_size == proof["bytes"]


def test_links_are_relative_and_stand_for_the_last_and_the_best(run_folder: Path) -> None:
    folder = run_folder / "checkpoints"
    assert os.readlink(folder / "latest") == "iter_1000000"
    assert os.readlink(folder / "best") == "iter_000010"


def test_the_newest_is_loaded_even_if_its_link_was_not_set(run_folder: Path) -> None:
    folder = run_folder / "checkpoints"
    for link in ("iter_000010", "gone"):
        (folder / "latest").unlink()
        (folder / "latest").symlink_to(link)
        checkpoint = opened(folder).load_latest()
        assert checkpoint is not None and checkpoint.iteration == 1_000_000


def test_saving_an_iteration_again_replaces_it(run_folder: Path) -> None:
    folder = run_folder / "checkpoints"
    before = names(folder)
    opened(folder).save(620, shared={"i": "new"}, local={}, best=True)
    assert names(folder) == before
    assert read_shared(folder / "iter_000620")[1] == {"i": "new"}
    assert os.readlink(folder / "latest") == os.readlink(folder / "best") == "iter_000620"


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (0, {1, 2, 3, 4, 5}),
        (1, {2, 5}),
        (2, {2, 4, 5}),
        (4, {2, 3, 4, 5}),
        (9, {1, 2, 3, 4, 5}),
    ],
)
def test_the_newest_and_the_best_are_kept(keep: int, kept: set[int], tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 3, 4, 5, keep=keep, best=2)
    assert names(tmp_path) == {"latest", "best"} | {f"iter_{i:06d}" for i in kept}


def test_what_a_dead_process_left_is_removed(run_folder: Path) -> None:
    folder = run_folder / "checkpoints"
    before = names(folder)
    (folder / ".tmp-0123").mkdir()
    (folder / ".tmp-0123" / "shared.safetensors").write_bytes(b"half")
    (folder / ".tmp-4567").symlink_to("iter_000010")
    (folder / "iter_000010").rename(folder / "iter_000010.replaced")
    (folder / "notes.txt").write_text("mine")
    opened(folder)
    assert names(folder) == before | {"notes.txt"}


def test_a_state_that_cannot_be_held_leaves_no_trace(run_folder: Path) -> None:
    before = names(run_folder / "checkpoints")
    with pytest.raises(TypeError, match="cannot hold a tuple"):
        opened(run_folder / "checkpoints").save(1, shared={"a": (1, 2)}, local={})
    assert names(run_folder / "checkpoints") == before


# Identity


def test_a_setting_that_is_newer_than_a_checkpoint_had_its_default(tmp_path) -> None:
    opened(tmp_path).save(1, shared={}, local={})

    def newer(value: float) -> Checkpoints:
        identity = {"algo": "ppo", "p_lr": 3e-4, "layers": None, "new": value}
        return Checkpoints(
            tmp_path,
            workers=Workers.solo(),
            keep=0,
            identity=identity,
            defaults={"new": 0.5, "p_lr": 1.0},
        )

    assert newer(0.5).load_latest() is not None
    with pytest.raises(CheckpointError, match="new is 0.7 here, but 0.5"):
        newer(0.7).load_latest()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"algo": "sac"}, "algo is 'sac' here, but 'ppo' in "),
        ({"p_lr": 1e-3}, "p_lr is 0.001 here, but 0.0003 in "),
        ({"layers": 2}, "layers is 2 here, but None in "),
        ({"layers": "None"}, "layers is 'None' here, but None in "),
        ({"p_lr": None}, "p_lr is None here, but 0.0003 in "),
        ({"extra": 1}, "extra is 1 here, but '(absent)' in "),
    ],
)
def test_another_identity_is_refused(
    run_folder: Path,
    change: dict[str, Any],
    problem: str,
) -> None:
    with pytest.raises(CheckpointError) as refusal:
        opened(run_folder / "checkpoints", **change).load_latest()
    assert refusal.value.problem.startswith(problem)
    assert refusal.value.problem.endswith("iter_1000000.")
    assert next(iter(change)) in refusal.value.remedy


def test_another_world_size_is_refused_with_the_command(run_folder: Path) -> None:
    workers = Workers.solo()
    checkpoints = Checkpoints(run_folder / "checkpoints", workers=workers, keep=0, identity={})
    workers.size = 3  # it only counts
    with pytest.raises(CheckpointError, match="world_size is 3 here, but 1 in") as refusal:
        checkpoints.load_latest()
    assert "without mpiexec" in refusal.value.remedy


def test_a_newer_format_is_refused_as_such(
    run_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = run_folder / "checkpoints"
    with monkeypatch.context() as newer:
        newer.setattr(manifests, "_WITHOUT_SHARDS", 3)
        save(folder, 1_000_001)
    for read in (opened(folder).load_latest, lambda: read_shared(folder / "iter_1000001")):
        with pytest.raises(CheckpointError, match="has format 3; this program reads up to 2"):
            read()


# Choosing one


@pytest.mark.parametrize(
    ("iter_num", "name"),
    [
        ("best", "iter_000010"),
        ("latest", "iter_1000000"),
        ("620", "iter_000620"),
        ("000620", "iter_000620"),
        (620, "iter_000620"),
        ("0", "iter_000000"),
        (1_000_000, "iter_1000000"),
    ],
)
def test_a_checkpoint_is_found(run_folder: Path, iter_num: str, name: str) -> None:
    for path in (run_folder, run_folder / "checkpoints", str(run_folder)):
        assert resolve_checkpoint(path, iter_num) == run_folder / "checkpoints" / name


def test_a_path_to_one_checkpoint_is_that_one(run_folder: Path, tmp_path: Path) -> None:
    folder = run_folder / "checkpoints"
    one = folder / "iter_000620"
    assert resolve_checkpoint(one, "best") == one
    assert resolve_checkpoint(one, "620") == one
    assert resolve_checkpoint(folder / "best", "latest") == folder / "iter_000010"
    assert resolve_checkpoint(one.rename(tmp_path / "favourite"), "best").name == "favourite"
    with pytest.raises(CheckpointError, match="is not the checkpoint of iteration 7"):
        resolve_checkpoint(folder / "iter_000010", "7")


@pytest.mark.parametrize(
    ("path", "iter_num", "words"),
    [
        ("", "7", r"has no checkpoint 7\.\n.* from 0, 10, 620, 1000000\."),
        ("", "newest", r"'newest', which is not an iteration\.\nGive best, latest or a number"),
        ("", "-1", "'-1', which is not an iteration"),
        ("", "²", "'²', which is not an iteration"),
        ("nowhere", "best", r"nowhere does not exist\.\nGive a run folder"),
        ("empty", "best", r"empty holds no checkpoint\."),
    ],
)
def test_what_is_not_there_is_told(run_folder: Path, path: str, iter_num: str, words: str) -> None:
    (run_folder / "empty").mkdir()
    with pytest.raises(CheckpointError, match=words):
        resolve_checkpoint(run_folder / path, iter_num)


def test_a_run_without_a_best_says_so(tmp_path: Path) -> None:
    save(tmp_path, *range(20))
    with pytest.raises(CheckpointError) as refusal:
        resolve_checkpoint(tmp_path, "best")
    assert refusal.value.problem.endswith("has no checkpoint best.")
    numbers = "0, 1, 2, 3, 4, 5, ..., 14, 15, 16, 17, 18, 19."
    assert refusal.value.remedy == f"Choose by iter_num from {numbers}"


# Under mpiexec


@needs_mpi
@pytest.mark.parametrize("size", [2, 3])
def test_workers_save_load_and_fall_back_together(tmp_path: Path, size: int) -> None:
    folder = tmp_path / "checkpoints"
    ended = run(size, "checkpoints_together.py", folder, "all")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")
    with pytest.raises(CheckpointError, match=f"world_size is 1 here, but {size} in") as refusal:
        opened(folder).load_latest()
    assert f"mpiexec -n {size}," in refusal.value.remedy
    assert read_shared(folder / "latest")[0] == 2


@needs_mpi
def test_a_worker_that_dies_while_saving_costs_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    assert run(2, "checkpoints_together.py", folder, "die").returncode != 0
    assert list(folder.glob(".tmp-*")) and not (folder / "iter_000004").exists()
    ended = run(2, "checkpoints_together.py", folder, "load")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")
