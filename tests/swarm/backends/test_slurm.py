"""Swarms on a real Slurm: slurmctld and two slurmd of its own."""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swarm.backends.base import DeploymentError
from swarm.backends.slurm import SlurmScheduler, ranges
from swarm.control import STOP_FILE, resume, stop
from swarm.deploy import deploy
from swarm.ledger import Ledger, new_token
from swarm.plan import Caliber, Plan
from swarm.status import run_statuses
from swarm.watch import lines_of
from tests.slurm.cluster import PrivateSlurm
from tests.swarm.spawning import spawn_with_kills, start_spawner
from tests.swarm.swarms import (
    executions,
    latest,
    make_plan,
    most_at_once,
    wait_for,
    write,
)


def quiet(_line: str) -> None:
    """Takes what is said."""


def states(plan: Plan) -> list[str]:
    return [each.state for each in run_statuses(plan).values()]


def make(folder: Path, **how: object) -> Plan:
    """A swarm whose runs no other test has a name for."""
    return make_plan(folder, deployment="slurm", name=f"{folder.name}_{time.time_ns()}", **how)


def jobs(slurm: PrivateSlurm, plan: Plan) -> list[str]:
    """All jobs that Slurm ever had of a swarm, arrays by their tasks."""
    table = slurm.run("squeue", "--array", "--noheader", "--states=all", "--format=%i %T %o")
    return [line for line in table.splitlines() if str(plan.folder.parents[1]) + "/" in line]


@pytest.mark.parametrize("array", [False, True])
def test_a_swarm_runs_to_its_end_over_two_nodes(
    tmp_path: Path,
    slurm: PrivateSlurm,
    array: bool,
) -> None:
    plan = make(tmp_path, count=7, array=array, seconds=0.3)
    assert deploy(plan, say=quiet).submitted == [run.name for run in plan.runs]
    assert deploy(plan, say=quiet).submitted == []
    wait_for(lambda: states(plan) == ["done"] * 7)
    assert deploy(plan, say=quiet).submitted == []
    assert all(each == ["001 0"] for each in executions(plan).values())
    assert len(jobs(slurm, plan)) == 7
    form = r"\d+_\d+" if array else r"\d+"
    assert all(re.fullmatch(form, each.job) for each in run_statuses(plan).values())


def test_an_array_keeps_to_its_places(tmp_path: Path, slurm: PrivateSlurm) -> None:
    plan = make(tmp_path, count=7, array=True, max_parallel=1, seconds=0.1)
    deploy(plan, say=quiet)
    wait_for(lambda: states(plan) == ["done"] * 7)
    assert most_at_once(plan) == 1


@pytest.mark.parametrize("array", [False, True])
def test_many_killed_spawners_lose_nothing_and_double_nothing(
    tmp_path: Path,
    slurm: PrivateSlurm,
    array: bool,
) -> None:
    plan = make(tmp_path, count=10, array=array, seconds=0.1)
    spawn_with_kills(plan, kills=8, longest=0.1, seed=3)
    wait_for(lambda: states(plan) == ["done"] * 10)
    assert [len(each) for each in executions(plan).values()] == [1] * 10
    assert len(jobs(slurm, plan)) == 10


def test_two_spawners_at_once_submit_each_run_once(tmp_path: Path, slurm: PrivateSlurm) -> None:
    plan = make(tmp_path, count=8)
    spawners = [start_spawner(plan) for _ in range(2)]
    for spawner in spawners:
        spawner.join()
    assert [spawner.exitcode for spawner in spawners] == [0, 0]
    wait_for(lambda: states(plan) == ["done"] * 8)
    assert len(jobs(slurm, plan)) == 8
    assert [len(each) for each in executions(plan).values()] == [1] * 8


def test_a_job_that_nobody_noted_is_found_by_its_token(tmp_path: Path, slurm: PrivateSlurm) -> None:
    """The spawner died between sbatch and the note."""
    plan = make(tmp_path, count=1, seconds=1)
    [run] = plan.runs
    token = new_token()
    _claim_of_a_dead_process(plan, token)
    job = _submit_by_hand(plan, token)
    assert deploy(plan, say=quiet).submitted == []
    assert (latest(Ledger(plan.ledger_folder), run.name).job or {})["job"] == job
    wait_for(lambda: states(plan) == ["done"])
    assert executions(plan)[run.name] == ["001 0"]


def test_a_job_that_arrives_after_all_leaves_at_once(tmp_path: Path, slurm: PrivateSlurm) -> None:
    """The spawner died, and its sbatch took effect when another spawner had given it up already."""
    plan = make(tmp_path, count=1, seconds=0.2)
    [run] = plan.runs
    token = new_token()
    _claim_of_a_dead_process(plan, token)
    assert deploy(plan, say=quiet).submitted == [run.name]
    late = _submit_by_hand(plan, token)
    wait_for(lambda: states(plan) == ["done"])
    wait_for(lambda: "COMPLETED" in slurm.run("squeue", "-h", "-t", "all", "-j", late, "-o", "%T"))
    assert executions(plan)[run.name] == ["002 0"]


def test_a_job_of_a_closed_submission_is_taken_out_of_the_queue(
    tmp_path: Path,
    slurm: PrivateSlurm,
) -> None:
    plan = make(tmp_path, count=1, seconds=0.2)
    token = new_token()
    _claim_of_a_dead_process(plan, token)
    Ledger(plan.ledger_folder).void(plan.runs[0].name, 1)
    late = _submit_by_hand(plan, token, "--hold")
    deploy(plan, say=quiet)
    assert slurm.run("squeue", "-h", "-t", "all", "-j", late, "-o", "%T").strip() == "CANCELLED"
    wait_for(lambda: states(plan) == ["done"])


def test_a_run_is_stopped_while_it_waits_and_while_it_runs(
    tmp_path: Path,
    slurm: PrivateSlurm,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = make(tmp_path, count=10, seconds=200)  # 8 fit
    deploy(plan, say=quiet)
    wait_for(lambda: sorted(states(plan)) == ["queued"] * 2 + ["running"] * 8)
    wait_for(
        lambda: sum(map(len, executions(plan).values())) == 8,
    )  # Slurm calls it running before its script begins
    asked, cancel_pending = [], SlurmScheduler.cancel_pending

    def cancel(*given: Any) -> None:
        asked.append([(run.folder / STOP_FILE).exists() for run in plan.runs])
        cancel_pending(*given)

    monkeypatch.setattr(SlurmScheduler, "cancel_pending", cancel)
    stop(plan, plan.runs, say=quiet)
    assert asked == [[False] * 10], "a place became free while others waited for one"
    wait_for(lambda: states(plan) == ["stopped"] * 10)
    assert deploy(plan, only=[], say=quiet).submitted == []
    assert len(executions(plan)) == 10
    ran = [name for name, each in executions(plan).items() if each]
    assert len(ran) == 8
    runs = [run for run in plan.runs if run.name not in ran]
    assert len(resume(plan, runs, are_named=False, say=quiet).submitted) == 2
    wait_for(lambda: states(plan).count("running") == 2)
    stop(plan, plan.runs, say=quiet)
    wait_for(lambda: states(plan) == ["stopped"] * 10)


def test_a_cancelled_job_is_lost_and_spawned_again(tmp_path: Path, slurm: PrivateSlurm) -> None:
    plan = make(tmp_path, count=1, seconds=30)
    deploy(plan, say=quiet)
    wait_for(lambda: states(plan) == ["running"])
    [status] = run_statuses(plan).values()
    slurm.run("scancel", status.job)
    wait_for(lambda: states(plan) == ["lost"])
    assert next(iter(run_statuses(plan).values())).reason == "cancelled"
    assert len(deploy(plan, say=quiet).submitted) == 1
    stop(plan, plan.runs, say=quiet)
    wait_for(lambda: states(plan) == ["stopped"])


@pytest.mark.parametrize("array", [False, True])
def test_a_requeued_job_keeps_its_place(tmp_path: Path, slurm: PrivateSlurm, array: bool) -> None:
    plan = make(tmp_path, count=2, array=array, seconds=120)
    deploy(plan, say=quiet)
    ledger, name = Ledger(plan.ledger_folder), plan.runs[1].name
    wait_for(lambda: all(latest(ledger, run.name).attempts for run in plan.runs))
    job = run_statuses(plan)[name].job
    slurm.run("scontrol", "requeue", job)
    wait_for(lambda: states(plan) == ["running", "queued"])
    assert deploy(plan, say=quiet).submitted == []

    def has_restarted() -> bool:
        slurm.start_requeued()
        return latest(ledger, name).starts == 2

    wait_for(has_restarted)
    assert list(executions(plan).values()) == [["001 0"], ["001 0", "001 1"]]
    assert [(line.state, line.restarts) for line in lines_of(plan)] == [
        ("running", 0),
        ("running", 1),
    ]
    stop(plan, plan.runs, say=quiet)
    wait_for(lambda: states(plan) == ["stopped"] * 2)


@pytest.mark.parametrize("array", [False, True])
def test_what_sbatch_refuses_is_told_in_two_lines_and_nothing_is_submitted(
    tmp_path: Path,
    slurm: PrivateSlurm,
    array: bool,
) -> None:
    plan = make(tmp_path, count=2, array=array)
    for script in (*map(plan.launch_script, plan.runs), plan.array_script):
        text = script.read_text().replace("--ntasks=1", "--ntasks=1 --partition=nowhere")
        script.write_text(text)
    with pytest.raises(DeploymentError, match="sbatch refuses .*Invalid partition name") as refusal:
        deploy(plan, say=quiet)
    assert "\n" not in refusal.value.problem
    assert states(plan) == ["planned", "planned"]
    assert jobs(slurm, plan) == []


def test_a_controller_that_does_not_answer_makes_no_run_look_lost(
    tmp_path: Path,
    slurm: PrivateSlurm,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = make(tmp_path, count=1, seconds=1)
    deploy(plan, say=quiet)
    with monkeypatch.context() as patch:
        squeue = tmp_path / "squeue"
        squeue.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact' >&2; exit 1")
        squeue.chmod(0o755)
        patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        patch.setattr("swarm.backends.slurm._TRIES", 1)
        with pytest.raises(DeploymentError, match="Slurm does not answer"):
            run_statuses(plan)
        with pytest.raises(DeploymentError, match="Slurm does not answer"):
            deploy(plan, say=quiet)
    wait_for(lambda: states(plan) == ["done"])
    assert len(jobs(slurm, plan)) == 1


def test_without_sbatch_nothing_is_submitted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = make(tmp_path, count=1)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeploymentError, match="There is no sbatch"):
        deploy(plan, say=quiet)


def test_a_refused_run_is_free_for_another_swarm(tmp_path: Path, slurm: PrivateSlurm) -> None:
    refused = make(tmp_path, count=2)
    for script in map(refused.launch_script, refused.runs):
        text = script.read_text()
        script.write_text(text.replace("--ntasks=1", "--ntasks=1 --partition=nowhere"))
    with pytest.raises(DeploymentError, match="sbatch refuses"):
        deploy(refused, say=quiet)
    second = replace(refused, name=f"{refused.name}_again", folder=tmp_path / "swarms" / "again")
    write(second)
    assert len(deploy(second, say=quiet).submitted) == 2
    wait_for(lambda: states(second) == ["done"] * 2)


def test_a_limit_in_the_middle_says_what_is_in(
    tmp_path: Path,
    slurm: PrivateSlurm,
) -> None:
    plan = make(tmp_path, count=3)
    script = plan.launch_script(plan.runs[2])
    script.write_text(script.read_text().replace("--ntasks=1", "--ntasks=1 --partition=nowhere"))
    with pytest.raises(DeploymentError, match="2 of 3 runs are submitted") as refusal:
        deploy(plan, say=quiet)
    assert "same command later submits the rest" in refusal.value.remedy
    script.write_text(script.read_text().replace(" --partition=nowhere", ""))
    assert deploy(plan, say=quiet).submitted == [plan.runs[2].name]
    wait_for(lambda: states(plan) == ["done"] * 3)


def test_what_a_run_needs_goes_along_under_export_none(
    tmp_path: Path,
    slurm: PrivateSlurm,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("PYTHONPATH", "/of/the/login/node")
    plan = make(tmp_path, count=1, caliber=Caliber("short", options=("--export=NONE",)))
    script = plan.launch_script(plan.runs[0])
    text = script.read_text().replace("--ntasks=1", "--ntasks=1 --export=NONE")
    script.write_text(text.replace("set -u\n", f"set -u\nenv >'{tmp_path}/seen'\n"))
    deploy(plan, say=quiet)
    wait_for(lambda: states(plan) == ["done"])
    seen = (tmp_path / "seen").read_text().splitlines()
    assert {"LOGIN_ENVIRONMENT=1", "WANDB_MODE=offline"} <= {*seen}
    assert not [line for line in seen if "/of/the/login/node" in line]


def test_indices_are_written_as_ranges() -> None:
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"


def _claim_of_a_dead_process(plan: Plan, token: str) -> None:
    import multiprocessing

    def claim() -> None:
        ledger = Ledger(plan.ledger_folder)
        ledger.claim(plan.runs[0].name, 1, token=token, deployment="slurm")

    process = multiprocessing.get_context("fork").Process(target=claim)
    process.start()
    process.join()


def _submit_by_hand(plan: Plan, token: str, *options: str) -> str:
    [run, *_] = plan.runs
    run.folder.mkdir(parents=True, exist_ok=True)  # as a spawner does; the job may start at once
    head = ["sbatch", "--parsable", f"--comment={token}", f"--job-name={run.name}", *options]
    command = [*head, str(plan.launch_script(run)), "001"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()
