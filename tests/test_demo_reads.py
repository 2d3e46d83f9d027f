"""A worker reads each demonstration once a start, whatever learns from it, and the first one tells what is odd."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.experts import hardly_trained
from tests.mpi import start

COMMON = {"env_id": "CartPole-v1", "uuid": "read.seed00", "num_demos": 3, "num_envs": 2}
COMMON |= {"eval_frequency": 0, "compile": "false"}
SMALL: dict[str, dict[str, Any]] = {
    "gail": {"rollout_len": 64, "batch_size": 32, "num_timesteps": 64, "d_batch_size": 32},
    "bc": {"steps_per_iteration": 5, "num_timesteps": 5, "batch_size": 32},
    "dagger": {"rollout_len": 64, "num_timesteps": 64, "updates_per_round": 5, "batch_size": 32},
}


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run and its demonstrations, of which the second is there twice."""
    run, demos = hardly_trained("CartPole-v1", tmp_path_factory.mktemp("expert"), demos=3)
    first, second, third = sorted(demos.iterdir())
    third.unlink()
    shutil.copy(second, third)
    return run, demos


@pytest.mark.parametrize(
    ("algo", "workers"),
    [("gail", 1), ("gail", 2), ("bc", 2), ("dagger", 2)],
)
def test_a_worker_reads_a_demonstration_once_a_start(
    tmp_path: Path,
    expert: tuple[Path, Path],
    algo: str,
    workers: int,
) -> None:
    run, demos = expert
    chosen = COMMON | SMALL[algo] | {"algo": algo, "runs_dir": tmp_path, "expert_path": demos}
    if algo == "dagger":
        chosen |= {"expert_policy": run, "expert_iter_num": "latest"}
    notes = tmp_path / "notes"
    notes.mkdir()
    flags = [f"--{key}={value}" for key, value in chosen.items()]
    done = start.run(workers, "demo_reads.py", notes, *flags)
    assert done.returncode == 0, done.stderr
    read = [path.read_text().split() for path in notes.iterdir()]
    assert read == [sorted(path.name for path in demos.iterdir())] * workers
    assert done.stdout.count("is the same episode as") == 1
    assert (tmp_path / "read.seed00" / "references.json").exists()
