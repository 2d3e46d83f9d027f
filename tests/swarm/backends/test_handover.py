"""Environments that are handed over hold keys: those that nobody will read are removed, and no others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from swarm.backends import handover, leftovers
from swarm.backends.local import QUEUE
from swarm.deploy import deploy
from swarm.ledger import Ledger, new_token
from tests.swarm.swarms import REPOSITORY, make_plan


@pytest.fixture()
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where environments are handed over; another user's files may lie there, too."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "milozero_env_folder").mkdir()
    (tmp_path / "milozero_env_link").symlink_to("/etc/hostname")
    (tmp_path / "others").touch()
    return tmp_path


def old(path: str | Path, *, killed: bool = True) -> Path:
    """The same file, written long ago by a process that is dead or alive."""
    content = json.loads(Path(path).read_text())
    dead = subprocess.Popen(["true"])
    dead.wait()
    Path(path).write_text(json.dumps(content | {"writer": dead.pid if killed else os.getpid()}))
    os.utime(path, (0, 0))
    return Path(path)


def test_what_a_killed_spawner_left_is_removed_by_the_next(folder: Path) -> None:
    plan = make_plan(folder, count=3, seconds=0, max_parallel=1)
    waits, begun, never = (plan.run_ledger(run) / "001.job.json" for run in plan.runs)
    secret = {"WANDB_API_KEY": "canary"}
    kept = [old(handover.write(secret, note=waits)), old(handover.write(secret), killed=False)]
    kept.append(Path(handover.write(secret)))  # a moment ago
    gone = [old(handover.write(secret, note=note)) for note in (begun, never, None)]
    torn = folder / "milozero_env_torn"
    torn.write_text('{"writer": 1')
    os.utime(torn, (0, 0))
    ledger = Ledger(plan.ledger_folder)
    for run, path in zip(plan.runs, (kept[0], gone[0]), strict=False):
        ledger.claim(run.name, 1, token=new_token(), deployment=QUEUE)
        job = {"deployment": QUEUE, "job": None, "environment": str(path)}
        ledger.note_job(run.name, 1, job)
    ledger.begin(plan.runs[1].name, 1)
    deploy(plan, only=[], say=lambda _: None)
    assert [path for path in (*gone, torn) if path.exists()] == []
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in kept)
    assert {"milozero_env_folder", "milozero_env_link", "others"} <= set(os.listdir(folder))
    assert not list(folder.glob("runs/*/job_executions")), "nothing was to be started"


def test_sweeping_needs_no_permission(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(Path, "lstat", refuse)
    leftovers.sweep()


def test_a_command_gets_the_environment_and_no_file_stays(folder: Path) -> None:
    command = handover.command_with({"ODD": "a 'b'\n$(c)", "TERM": "not this"}, ["env", "-0"])
    assert command[0] == sys.executable
    done = subprocess.run(
        command,
        capture_output=True,
        check=True,
        env={"TERM": "dumb"},
        cwd=REPOSITORY,
    )
    assert set(done.stdout.split(b"\0")) - {b""} == {b"ODD=a 'b'\n$(c)", b"TERM=dumb"}
    assert list(folder.glob("milozero_env_[!fl]*")) == []
