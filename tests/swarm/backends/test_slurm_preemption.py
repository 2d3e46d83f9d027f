"""Preemption on a real Slurm with PreemptMode=CANCEL, without a time of grace and without accounting."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from swarm.deploy import deploy
from swarm.ledger import Ledger
from swarm.plan import Plan
from swarm.scripts.render import render_array, render_job
from swarm.status import run_statuses
from tests.slurm.cluster import PrivateSlurm
from tests.swarm.backends.test_slurm import make, quiet, states
from tests.swarm.swarms import latest, wait_for

# in the place of main.py: it saves when it is asked to stop, after so many seconds
WAITING = """
import os, signal, sys, time
folder = os.path.dirname(os.environ["MILOZERO_LAUNCHED"])
open(os.environ["MILOZERO_LAUNCHED"], "w").close()
def stop(*_):
    os.unlink(f"{folder}/waits")
    time.sleep(float(os.environ.get("SAVES", "0")))
    sys.exit(75)
signal.signal(signal.SIGUSR1, stop)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(f"{folder}/waits", "w").close()
time.sleep(600)
"""


def make_waiting(folder: Path, *, array: bool = False, **launch: Any) -> Plan:
    """A swarm of one run with the scripts of the spawner, whose program waits until it is asked to stop."""
    program, starter = folder / "waiting.py", folder / "starter"
    program.write_text(WAITING)
    starter.write_text('#!/bin/bash\nshift 2\nexec "$@"\n')
    starter.chmod(0o755)
    how = {"program": str(program), "mpiexec": str(starter), "num_workers": 2} | launch
    plan = make(folder, count=1, array=array, **how)
    [run] = plan.runs
    plan.launch_script(run).write_text(render_job(plan, run))
    plan.array_script.write_text(render_array(plan))
    return plan


def preempt(folder: Path) -> None:
    """Let a job of higher priority take both nodes for a second."""
    command = ["sbatch", "--partition=urgent", "--ntasks=8", "--wrap=sleep 1"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)


@pytest.mark.parametrize("array", [False, True])
def test_a_preempted_run_is_submitted_again_and_a_cancelled_one_is_not(
    tmp_path: Path,
    slurm: PrivateSlurm,
    array: bool,
) -> None:
    """PreemptMode=CANCEL without a time of grace: Slurm sends what scancel sends, and starts nothing again."""
    plan = make_waiting(tmp_path, array=array)
    [run] = plan.runs
    deploy(plan, say=quiet)
    wait_for(lambda: (run.folder / "waits").exists())
    preempt(tmp_path)
    ledger = Ledger(plan.ledger_folder)
    wait_for(lambda: latest(ledger, run.name).verdict)
    assert latest(ledger, run.name).verdict == ("requeue", "preempted")
    wait_for(lambda: states(plan) == ["queued"])
    assert deploy(plan, say=quiet).submitted == []

    def has_restarted() -> bool:
        slurm.start_requeued()
        return latest(ledger, run.name).starts == 2

    wait_for(has_restarted)
    wait_for(lambda: (run.folder / "waits").exists())
    slurm.run("scancel", run_statuses(plan)[run.name].job)
    wait_for(lambda: latest(ledger, run.name).verdict)
    assert latest(ledger, run.name).verdict == ("stopped", "cancelled")
    wait_for(lambda: states(plan) == ["stopped"])


@pytest.mark.parametrize(
    ("saves", "asked", "then"),
    [("99", False, "queued"), ("1", True, "stopped")],
)
def test_a_preempted_run_that_saves_for_long_is_queued_before_it_is_killed(
    tmp_path: Path,
    slurm: PrivateSlurm,
    monkeypatch: pytest.MonkeyPatch,
    saves: str,
    asked: bool,
    then: str,
) -> None:
    """Slurm kills after KillWait, here 3 s. What a person stops meanwhile does not stay in the queue."""
    monkeypatch.setenv("SAVES", saves)
    plan = make_waiting(tmp_path)
    [run] = plan.runs
    deploy(plan, say=quiet)
    wait_for(lambda: (run.folder / "waits").exists())
    preempt(tmp_path)
    wait_for(lambda: not (run.folder / "waits").exists())
    if asked:
        Ledger(plan.ledger_folder).ask_to_stop(run.name)
    job = run_statuses(plan)[run.name].job
    wait_for(
        lambda: "COMPLETING" not in slurm.run("squeue", "-h", "-t", "all", "-j", job, "-o", "%T"),
    )
    assert states(plan) == [then]
    waits = slurm.run("squeue", "-h", "-t", "PENDING", "-j", job, "-o", "%T").split()
    assert waits == (["PENDING"] if then == "queued" else [])
    slurm.run("scancel", job)
