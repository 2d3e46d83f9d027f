"""A process that is forked for a test does what a fresh one does."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests import launch
from tests.nursery import Nursery
from tests.patience import patience

SMALL = {
    "env_id": "CartPole-v1",
    "num_envs": 2,
    "rollout_len": 32,
    "batch_size": 32,
    "save_frequency": 1,
    "eval_frequency": 0,
    "progress": "none",
}


def flags(folder: Path, name: str, **settings: object) -> list[str]:
    named = SMALL | {"num_timesteps": 64, "runs_dir": folder, "uuid": f"{name}.seed00"} | settings
    return [f"--{key}={value}" for key, value in named.items()]


@pytest.mark.parametrize("workers", [1, 2])
def test_it_leaves_what_the_other_leaves(tmp_path: Path, workers: int) -> None:
    said = []
    for name in ("forked", "fresh"):
        done = launch.run(flags(tmp_path, name), workers=workers, fresh=name == "fresh")
        assert (done.returncode, done.stderr) == (0, "")
        said.append(done.stdout.replace(f"{name}.seed00", ""))
    assert said[0] == said[1] != ""
    folders = [tmp_path / f"{name}.seed00" for name in ("forked", "fresh")]
    assert launch.fingerprint(folders[0]) == launch.fingerprint(folders[1])
    assert launch.rows(folders[0]) == launch.rows(folders[1])
    files = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    assert files[0] == files[1]


def test_what_it_refuses_and_how_it_fails_come_through(tmp_path: Path) -> None:
    forked, fresh = (launch.run(["--nonsense=1"], fresh=each) for each in (False, True))
    assert (forked.returncode, forked.stdout, forked.stderr) == (2, "", fresh.stderr)
    (tmp_path / "a.seed00").write_text("a file in the way")
    forked, fresh = (launch.run(flags(tmp_path, "a"), fresh=each) for each in (False, True))
    assert forked.returncode == fresh.returncode != 0
    assert forked.stderr == fresh.stderr != ""


def test_several_live_at_a_time_and_are_reached_by_signals(tmp_path: Path) -> None:
    children = []
    for name in ("one", "two"):
        children.append(launch.start(flags(tmp_path, name, num_timesteps=10**8)))
        launch.wait_for_rows(tmp_path / f"{name}.seed00", 2, children[-1])
    assert [child.poll() for child in children] == [None, None]
    with pytest.raises(subprocess.TimeoutExpired):
        children[0].wait(0.01)
    assert launch.ranks(children[0]) == [children[0].pid] != [children[1].pid]
    children[1].send_signal(signal.SIGKILL)
    assert children[1].wait(patience(20)) == -signal.SIGKILL
    assert launch.interrupt(children[0], "USR1") == 75


@pytest.mark.parametrize("how", ["USR1", "kill all", "kill one", "kill a stand-in"])
def test_workers_under_mpiexec_are_reached_and_none_outlives_it(tmp_path: Path, how: str) -> None:
    process = launch.start(flags(tmp_path, "run", num_timesteps=10**8), workers=2)
    launch.wait_for_rows(tmp_path / "run.seed00", 2, process)
    workers = launch.ranks(process)
    assert len(workers) == 2 and {_parent(pid) for pid in workers} == {
        launch.nursery()._process.pid,
    }
    if how == "kill a stand-in":
        stand_in = next(pid for pid, rank in launch.nursery()._ranks.items() if rank == workers[0])
        os.kill(stand_in, signal.SIGKILL)
        code = process.wait(patience(20))
    else:
        code = launch.interrupt(process, how)
    assert code == 75 if how == "USR1" else code != 0
    ends = [launch.nursery().code_of(pid, patience(10)) for pid in workers]
    assert ends == [75, 75] if how == "USR1" else None not in ends, "a worker lives"


def test_children_end_with_the_nursery(tmp_path: Path) -> None:
    home = Nursery(door=f"milozero-test-{os.getpid()}")
    with open(os.devnull, "wb") as nowhere:
        child = home.start(
            flags(tmp_path, "run", num_timesteps=10**8),
            stdout=nowhere,
            stderr=nowhere,
        )
    home.close()
    limit = time.monotonic() + patience(20)
    while Path(f"/proc/{child.pid}").exists():
        assert time.monotonic() < limit, "it goes on by itself"
        time.sleep(0.02)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
