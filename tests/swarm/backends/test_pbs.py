"""Swarms on a stand-in for PBS, with the scripts of the spawner."""

from __future__ import annotations

import multiprocessing
import os
import stat
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from swarm.backends.base import DeploymentError
from swarm.backends.pbs import PbsScheduler, environment_file
from swarm.control import resume, stop
from swarm.deploy import deploy
from swarm.ledger import Ledger, new_token
from swarm.plan import Caliber, Plan
from swarm.status import run_statuses
from tests.pbs.cluster import StandInPbs
from tests.pbs.swarms import are_executed, end, executions, make, quiet, seen, states
from tests.swarm.spawning import spawn_with_kills, start_spawner
from tests.swarm.swarms import latest, wait_for


@pytest.mark.parametrize("array", [False, True])
def test_a_swarm_runs_to_its_end(tmp_path: Path, pbs: StandInPbs, array: bool) -> None:
    plan = make(tmp_path, count=7, array=array)
    assert deploy(plan, say=quiet).submitted == [run.name for run in plan.runs]
    assert deploy(plan, say=quiet).submitted == []
    wait_for(lambda: states(plan) == ["done"] * 7)
    assert deploy(plan, say=quiet).submitted == []
    assert [len(each) for each in executions(plan)] == [1] * 7
    noted = [each.job for each in run_statuses(plan).values()]
    assert noted == [each for [each] in executions(plan)]
    assert len({each.partition("[")[0] for each in noted}) == (1 if array else 7)
    assert all("done (finished)" in plan.log_file(run).read_text() for run in plan.runs)


@pytest.mark.parametrize("array", [False, True])
def test_many_killed_spawners_lose_nothing_and_double_nothing(
    tmp_path: Path,
    pbs: StandInPbs,
    array: bool,
) -> None:
    plan = make(tmp_path, count=6, array=array, seconds=0.1)
    spawn_with_kills(plan, kills=8, longest=0.3, seed=3)
    wait_for(lambda: states(plan) == ["done"] * 6)
    assert [len(each) for each in executions(plan)] == [1] * 6


def test_two_spawners_at_once_submit_each_run_once(tmp_path: Path, pbs: StandInPbs) -> None:
    plan = make(tmp_path, count=4)
    spawners = [start_spawner(plan) for _ in range(2)]
    for spawner in spawners:
        spawner.join()
    wait_for(lambda: states(plan) == ["done"] * 4)
    assert [len(each) for each in executions(plan)] == [1] * 4


def test_a_job_that_nobody_noted_is_found_by_its_token(tmp_path: Path, pbs: StandInPbs) -> None:
    """The spawner died between qsub and the note; and one whose submission was given up leaves at once."""
    plan = make(tmp_path, seconds=1)
    [run] = plan.runs
    token = new_token()
    claim_of_a_dead_process(plan, token)
    run.folder.mkdir(parents=True)
    variables = f"MILOZERO_TOKEN={token},MILOZERO_SUBMISSION=001,MILOZERO_RUN=0"
    job = pbs.run("qsub", "-v", variables, str(plan.launch_script(run))).strip()
    assert deploy(plan, say=quiet).submitted == []
    assert (latest(Ledger(plan.ledger_folder), run.name).job or {})["job"] == job
    wait_for(lambda: states(plan) == ["done"])
    late = pbs.run("qsub", "-v", variables, str(plan.launch_script(run))).strip()
    wait_for(lambda: "job_state = F" in pbs.run("qstat", "-x", "-f", late))
    assert executions(plan) == [[job]]


def claim_of_a_dead_process(plan: Plan, token: str) -> None:
    def claim() -> None:
        ledger = Ledger(plan.ledger_folder)
        ledger.claim(plan.runs[0].name, 1, token=token, deployment="pbs")

    process = multiprocessing.get_context("fork").Process(target=claim)
    process.start()
    process.join()


def test_runs_are_stopped_while_they_wait_and_while_they_run(
    tmp_path: Path,
    pbs: StandInPbs,
) -> None:
    plan = make(tmp_path, count=3, seconds=200, num_workers=4)  # two fit
    deploy(plan, say=quiet)
    wait_for(lambda: sorted(states(plan)) == ["queued", "running", "running"])
    [waiting] = [each for each in run_statuses(plan).values() if each.state == "queued"]
    assert waiting.reason == "Insufficient amount of resource: ncpus"
    wait_for(lambda: sum(map(len, executions(plan))) == 2)
    stop(plan, plan.runs, say=quiet)
    wait_for(lambda: states(plan) == ["stopped"] * 3)
    assert sum(map(len, executions(plan))) == 2
    assert len(resume(plan, plan.runs[:1], are_named=False, say=quiet).submitted) == 1
    wait_for(lambda: states(plan)[0] == "running")
    stop(plan, plan.runs, say=quiet)
    wait_for(lambda: states(plan) == ["stopped"] * 3)


def test_a_deleted_job_saves_and_stays_stopped(tmp_path: Path, pbs: StandInPbs) -> None:
    plan = make(tmp_path, seconds=200)
    deploy(plan, say=quiet)
    wait_for(lambda: are_executed(plan))
    [status] = run_statuses(plan).values()
    pbs.run("qdel", status.job)
    wait_for(lambda: states(plan) == ["stopped"])
    assert latest(Ledger(plan.ledger_folder), plan.runs[0].name).verdict == ("stopped", "cancelled")
    assert len(deploy(plan, say=quiet).submitted) == 1
    stop(plan, plan.runs, say=quiet)
    wait_for(lambda: states(plan) == ["stopped"])


def test_a_job_that_is_deleted_before_it_begins_is_lost(tmp_path: Path, pbs: StandInPbs) -> None:
    plan = make(tmp_path, num_workers=9)  # more than there are
    deploy(plan, say=quiet)
    [status] = run_statuses(plan).values()
    assert status.state == "queued"
    pbs.run("qdel", status.job)
    [status] = run_statuses(plan).values()
    assert (status.state, status.reason) == ("lost", "terminated")
    pbs.run("set", "history", "false")
    [status] = run_statuses(plan).values()
    assert (status.state, status.reason) == ("lost", "it never began")


@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize("saves", [0, 99], ids=["saves", "is killed"])
def test_a_preempted_job_starts_again_under_its_id(
    tmp_path: Path,
    pbs: StandInPbs,
    array: bool,
    saves: float,
) -> None:
    """PBS queues it again by itself: -r y. Whether it has saved or was killed, no stop file ends the next start."""
    plan = make(tmp_path, count=2, array=array, seconds=200, saves=saves)
    deploy(plan, say=quiet)
    wait_for(lambda: are_executed(plan))
    job = run_statuses(plan)[plan.runs[1].name].job
    pbs.run("preempt", job)
    wait_for(lambda: executions(plan)[1] == [job, job])
    assert deploy(plan, say=quiet).submitted == []
    assert states(plan) == ["running"] * 2
    assert latest(Ledger(plan.ledger_folder), plan.runs[1].name).number == 1
    end(pbs, plan)


def test_before_its_time_is_over_a_run_saves_and_resumes_in_another_job(
    tmp_path: Path,
    pbs: StandInPbs,
) -> None:
    """PBS sends no signal in time, and lets no user requeue: the script of a job or of a subjob does both."""
    caliber = Caliber("brief", seconds=15)  # of which 5 to save in
    plan = make(tmp_path, count=4, array=True, seconds=200, num_workers=1, caliber=caliber)
    runs = [plan.runs[index] for index in (0, 1, 3)]  # an array of two, and a job
    deploy(plan, only=[run.name for run in runs], say=quiet)
    wait_for(lambda: all(len(each) > 1 for each in executions(replace(plan, runs=tuple(runs)))))
    found = run_statuses(plan)
    for run in runs:
        lines = (plan.run_ledger(run) / "001.attempts").read_text().splitlines()
        assert [line.split()[0] for line in lines] == ["start", "end", "requeue"]
        assert lines[1].split()[3] == "75" and lines[2].split()[3] == "time"
        assert (plan.run_ledger(run) / "001+1.start").exists()
        assert found[run.name].state in ("running", "queued")
        job = (run.folder / "job_executions").read_text().split()[0]
        assert "Exit_status = 75" in pbs.run("qstat", "-x", "-f", job), "PBS had to end it"
        assert found[run.name].job == job, "the ledger has the first"
    assert deploy(plan, only=[run.name for run in runs], say=quiet).submitted == []
    end(pbs, plan)


def test_a_run_learns_when_its_job_ends(tmp_path: Path, pbs: StandInPbs) -> None:
    plan = make(tmp_path, caliber=Caliber("short", seconds=21_600))
    deploy(plan, say=quiet)
    wait_for(lambda: states(plan) == ["done"])
    assert abs(int(seen(plan)["MILOZERO_JOB_END"]) - time.time() - 21_600) < 120


def test_keys_reach_a_run_and_nobody_else(
    tmp_path: Path,
    pbs: StandInPbs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither the arguments of qsub nor what qstat shows to all, nor a script, holds one."""
    key = "canary-0123456789abcdef ' $HOME"
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("PYTHONPATH", "/of/the/login/node")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    plan = make(tmp_path, count=2, num_workers=2)
    deploy(plan, say=quiet)
    wait_for(lambda: states(plan) == ["done"] * 2)
    assert seen(plan)["WANDB_API_KEY"] == key
    assert seen(plan)["OMP_NUM_THREADS"] == "1", "two workers on two processors"
    assert "PYTHONPATH" not in seen(plan)
    kept = environment_file(plan)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    shown = pbs.run("qstat", "-x", "-f", *(each.job for each in run_statuses(plan).values()))
    texts = [shown, (pbs.folder / "calls").read_text()]
    texts += [
        path.read_text() for path in plan.folder.rglob("*") if path.is_file() and path != kept
    ]
    assert "MILOZERO_TOKEN=" in shown and not any("canary" in text for text in texts)


def test_a_server_that_does_not_answer_makes_no_run_look_lost(
    tmp_path: Path,
    pbs: StandInPbs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = make(tmp_path, seconds=1)
    deploy(plan, say=quiet)
    with monkeypatch.context() as patch:
        for program in ("qselect", "qstat"):
            (tmp_path / program).write_text("#!/bin/sh\necho 'Connection refused' >&2; exit 111")
            (tmp_path / program).chmod(0o755)
        patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        patch.setattr("swarm.backends.pbs._TRIES", 1)
        with pytest.raises(DeploymentError, match="PBS does not answer: Connection refused"):
            run_statuses(plan)
    wait_for(lambda: states(plan) == ["done"])


def test_without_qsub_nothing_is_submitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = make(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeploymentError, match="There is no qsub"):
        deploy(plan, say=quiet)


def test_where_no_job_may_be_submitted_from_a_node_it_says_so(
    tmp_path: Path,
    pbs: StandInPbs,
) -> None:
    """By hand as well: the script alone, without a spawner."""
    plan = make(tmp_path, seconds=200)
    [run] = plan.runs
    run.folder.mkdir(parents=True)
    (tmp_path / "qsub").write_text("#!/bin/sh\necho 'qsub: Bad UID for job execution' >&2; exit 1")
    (tmp_path / "qsub").chmod(0o755)
    (run.folder / "stop").touch()
    script = subprocess.Popen(
        ["bash", str(plan.launch_script(run))],
        env={"PATH": f"{tmp_path}:{pbs.path}", "PBS_JOBID": "99.pbs", "HOME": str(tmp_path)},
    )
    wait_for(lambda: are_executed(plan))
    assert not (run.folder / "stop").exists(), "of an earlier start"
    (run.folder / "stop").touch()
    assert script.wait(30) == 75
    assert (
        (plan.run_ledger(run) / "001.attempts").read_text().splitlines()[-1].endswith("no_requeue")
    )
    assert "Bad UID" in plan.log_file(run).read_text()


def test_tokens_of_others_are_left_alone(tmp_path: Path, pbs: StandInPbs) -> None:
    mine, other = make(tmp_path, num_workers=9), make(tmp_path, num_workers=9)
    for plan in (mine, other):
        deploy(plan, say=quiet)
    PbsScheduler(mine).cancel_pending({mine.runs[0].name: ["milozero-of-nobody"]})
    assert states(mine) == states(other) == ["queued"]
    for plan in (mine, other):
        stop(plan, plan.runs, say=quiet)
        assert states(plan) == ["stopped"]
