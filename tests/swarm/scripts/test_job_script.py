"""The job script, run by bash: what it does when a run ends, when it is asked to stop, and when two want it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from swarm.plan import Caliber
from tests.helpers.file_systems.shim import environment
from tests.patience import patience
from tests.swarm.plans import LAUNCH, SHORT
from tests.swarm.stage import Stage, await_file

SLURM = replace(LAUNCH, deployment="slurm", caliber=SHORT)
ON_SLURM = {"SLURM_JOB_ID": "17"}
KEY = "canary-0123456789abcdef"


@pytest.fixture
def local(tmp_path):
    (tmp_path / "local").mkdir()
    return Stage(tmp_path / "local", LAUNCH)


@pytest.fixture
def slurm(tmp_path):
    (tmp_path / "slurm").mkdir()
    stage = Stage(tmp_path / "slurm", SLURM)
    stage.program("scontrol")
    stage.program("squeue", "exit 1")
    return stage


# How a run ends


def test_a_run_to_its_end(local):
    assert local.play("0 iter_000010") == 0
    assert local.attempts() == ["start 0", "end 0 0 iter_000010", "done 0 finished"]
    assert "start 0 of submission 001" in local.output


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 70, 125, 126, 127, 128])
def test_what_will_not_mend_is_not_started_again(local, slurm, code):
    for stage in (local, slurm):
        assert stage.play(f"{code}", "0", **ON_SLURM) == code
        assert stage.attempts() == ["start 0", f"end 0 {code} none", f"gave_up 0 code_{code}"]
    assert not slurm.recorded("scontrol")


def test_a_killed_worker_is_started_again_here(local):
    assert local.play("137 iter_1", "9 iter_2", "143 iter_3", "0 iter_4") == 0
    assert local.attempts()[:4] == [
        "start 0",
        "end 0 137 iter_1",
        "requeue 0 killed",
        "start 1",
    ]
    assert local.attempts()[-1] == "done 3 finished"


@pytest.mark.parametrize("code", [7, 9, 11, 15, 129, 134, 137, 139, 143, 199, 255])
def test_a_killed_worker_is_requeued_on_a_cluster(slurm, code):
    assert slurm.play(f"{code} iter_1", **ON_SLURM) == 75
    assert slurm.attempts() == ["start 0", f"end 0 {code} iter_1", "requeue 0 killed"]
    assert slurm.recorded("scontrol") == ["requeue", "17"]


def test_the_same_checkpoint_after_two_restarts_ends_it(local):
    assert local.play("137", "137", "137", "0") == 137
    assert local.attempts()[-1] == "gave_up 2 no_progress" and local.starts() == 3


def test_progress_gives_it_two_more_restarts(local):
    codes = ["9", "9", "9 iter_5", "9 iter_5", "9 iter_5", "0"]
    assert local.play(*codes) == 9
    assert local.attempts()[-1] == "gave_up 4 no_progress" and local.starts() == 5


def test_restarts_have_a_cap(tmp_path):
    stage = Stage(tmp_path, replace(LAUNCH, max_restarts=2))
    assert stage.play(*(f"137 iter_{number}" for number in range(9))) == 137
    assert stage.attempts()[-1] == "gave_up 2 max_restarts" and stage.starts() == 3


def test_a_time_limit_of_its_own_ends_it_here(local):
    assert local.play("75 iter_3", "0") == 75
    assert local.attempts()[-1] == "stopped 0 time"


# Asked to stop


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_run_and_its_stop_file(local, number):
    process = local.start("wait iter_2")
    await_file(local.folder / "waiting")
    process.send_signal(number)
    assert process.wait(patience(20)) == 75
    assert (local.folder / "saw_stop").exists()
    assert local.attempts() == ["start 0", "end 0 75 iter_2", "stopped 0 user"]


def test_a_run_that_ends_while_a_signal_is_dealt_with_keeps_its_status(local):
    """bash then told of the signal, 130, where the run had ended with 75."""
    mark = f"STAGE_WAITS_{os.getpid()}"  # no other test's
    local.program("touch", f'/usr/bin/touch "$@"; pkill -USR1 -f {mark}; /bin/sleep 0.5')
    local.environment["WAIT"] += f"# {mark}\n"
    process = local.start("wait iter_2")
    await_file(local.folder / "waiting")
    process.send_signal(signal.SIGINT)
    assert process.wait(patience(20)) == 75
    assert local.attempts() == ["start 0", "end 0 75 iter_2", "stopped 0 user"]


def test_a_user_may_stop_it_by_the_ledger(local, slurm):
    for stage in (local, slurm):
        stage.ledger.mkdir(parents=True, exist_ok=True)
        (stage.ledger / "stop").touch()
        assert stage.play("0", **ON_SLURM) == 75
        assert stage.attempts() == ["start 0", "end 0 75 none", "stopped 0 user"]
        assert not stage.recorded("argv")
    assert not slurm.recorded("scontrol")


def test_a_run_that_ends_before_it_hears_of_the_stop_leaves_no_stop_file(local):
    (local.run.folder / "stop").touch()
    assert local.play("0") == 0
    assert not (local.run.folder / "stop").exists()


# On a cluster


def test_preemption_requeues(slurm):
    process = slurm.start("wait iter_2", **ON_SLURM)
    await_file(slurm.folder / "waiting")
    process.send_signal(signal.SIGUSR1)
    assert process.wait(patience(20)) == 75
    assert slurm.attempts()[-1] == "requeue 0 preempted"
    assert slurm.recorded("scontrol") == ["requeue", "17"]
    assert not (slurm.run.folder / "stop").exists(), "the next start would stop at once"


def test_its_own_time_limit_requeues(slurm):
    assert slurm.play("75 iter_2", **ON_SLURM) == 75
    assert slurm.attempts()[-1] == "requeue 0 time"


def test_a_task_of_an_array_requeues_itself_alone(slurm):
    array = {"SLURM_JOB_ID": "17", "SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "3"}
    slurm.play("75 iter_2", **array)
    assert slurm.recorded("scontrol") == ["requeue", "17_3"]


def test_a_cancelled_job_stays_cancelled(slurm):
    """Slurm would requeue it, if asked, and what it requeues itself must not be asked for twice."""
    process = slurm.start("wait iter_2", **ON_SLURM)
    await_file(slurm.folder / "waiting")
    process.send_signal(signal.SIGTERM)
    assert process.wait(patience(20)) == 75
    assert slurm.attempts()[-1] == "stopped 0 cancelled"
    assert not slurm.recorded("scontrol")


def test_a_job_that_is_killed_at_the_end_of_its_time_goes_on(slurm):
    slurm.program("squeue", "date -d '-1 second' +%FT%T")
    process = slurm.start("wait iter_2", **ON_SLURM)
    await_file(slurm.folder / "waiting")
    process.send_signal(signal.SIGTERM)
    assert process.wait(patience(20)) == 75
    assert slurm.attempts()[-1] == "requeue 0 preempted"


@pytest.mark.parametrize("scontrol", ["fails", "is missing"])
def test_without_scontrol_another_job_is_submitted(slurm, scontrol):
    slurm.program("scontrol", "exit 1")
    slurm.program("sbatch")
    if scontrol == "is missing":
        (slurm.bin / "scontrol").unlink()
        slurm.hide("scontrol")
    assert slurm.play("75 iter_1", MILOZERO_TOKEN="t 1", **ON_SLURM) == 75
    name, script = slurm.run.name, str(slurm.script)
    fixed = ["--parsable", "--export=ALL", "--dependency=afterany:17", f"--job-name={name}"]
    fixed += ["--comment=t 1", script]
    assert slurm.recorded("sbatch") == [*fixed, "001+1"]
    slurm.play("75 iter_1", submission="001+1", SLURM_JOB_ID="18")
    assert slurm.recorded("sbatch")[-1] == "001+2"
    assert slurm.attempts("001+1")[0] == "start 1"
    assert slurm.play("75 iter_1", submission="001+2", SLURM_JOB_ID="19") == 75
    assert slurm.attempts("001+2")[-1] == "gave_up 2 no_progress"
    assert slurm.play("75 iter_2", submission="002", SLURM_JOB_ID="20") == 75
    assert slurm.attempts("002") == ["start 0", "end 0 75 iter_2", "requeue 0 time"]


def test_where_nothing_can_be_submitted_it_says_so(slurm):
    slurm.program("scontrol", "exit 1")
    slurm.program("sbatch", "exit 1")
    assert slurm.play("75 iter_1", **ON_SLURM) == 75
    assert slurm.attempts()[-1] == "gave_up 0 no_requeue"


def test_the_end_of_the_job_is_told_to_the_run(slurm):
    slurm.program("squeue", "echo 2030-01-02T03:04:05")
    slurm.play("0", SLURM_JOB_END_TIME="1", **ON_SLURM)
    told = subprocess.run(
        ["date", "-d", "2030-01-02T03:04:05", "+%s"],
        capture_output=True,
        text=True,
    )
    assert slurm.seen()["SLURM_JOB_END_TIME"] == told.stdout.strip()
    assert slurm.recorded("squeue") == ["--noheader", "--jobs=17", "--format=%e"]


def test_without_squeue_the_end_is_counted(slurm):
    slurm.play("0", **ON_SLURM)
    assert abs(int(slurm.seen()["SLURM_JOB_END_TIME"]) - time.time() - 21_600) < 60


# The lock


def test_a_submission_is_run_once(local):
    assert local.play("0") == local.play("0") == 0
    assert local.attempts().count("start 0") == 1 and "another job runs" in local.output
    assert local.play("0", submission="002") == 0
    assert local.attempts("002")[-1] == "done 0 finished"


def test_of_many_at_once_one_runs_it(local):
    processes = [local.start("0 iter_1"), *(local.start() for _ in range(11))]
    assert [process.wait(patience(30)) for process in processes] == [0] * 12
    assert local.attempts() == ["start 0", "end 0 0 iter_1", "done 0 finished"]
    assert sorted(path.name for path in local.ledger.iterdir()) == ["001.attempts", "001.start"]


def test_a_void_submission_is_not_run(local):
    local.ledger.mkdir(parents=True)
    (local.ledger / "001.start").write_text('{"void": true}\n')
    assert local.play("0") == 0
    assert not local.recorded("argv")


def test_a_requeued_job_finds_its_own_lock_and_no_other_does(slurm):
    slurm.play("75 iter_1", **ON_SLURM)
    assert slurm.play("0 iter_2", **ON_SLURM) == 0
    assert slurm.attempts()[-3:] == ["start 1", "end 1 0 iter_2", "done 1 finished"]
    starts = slurm.starts()
    for other in ("1", "7", "170", "117"):
        assert slurm.play("0", SLURM_JOB_ID=other) == 0
    assert slurm.starts() == starts


def test_the_lock_tells_who_holds_it(slurm, local):
    import json

    slurm.play("0", **ON_SLURM)
    held = json.loads((slurm.ledger / "001.start").read_text())
    assert held["job"] == "17" and held["pid"] > 1 and held["ticks"] > 1 and len(held["boot"]) == 36
    local.play("0", **ON_SLURM)
    assert json.loads((local.ledger / "001.start").read_text())["job"] is None


def test_a_ledger_that_cannot_be_written(local):
    local.plan.ledger_folder.parent.mkdir(parents=True, exist_ok=True)
    local.plan.ledger_folder.write_text("")
    assert local.play("0") == 5


# What a run needs


def test_what_is_printed_goes_to_the_window_and_to_the_log(tmp_path):
    stage = Stage(tmp_path, replace(LAUNCH, deployment="tmux"))
    log = stage.plan.log_file(stage.run)
    log.write_text("before\n")
    assert stage.play("0") == 0
    assert "done (finished)" in stage.output
    end = time.monotonic() + patience(10)
    while "done (finished)" not in log.read_text():
        assert time.monotonic() < end
        time.sleep(0.02)
    assert log.read_text().startswith("before\n")


def test_modules_are_loaded_in_order(tmp_path):
    stage = Stage(tmp_path, replace(SLURM, caliber=Caliber("m", modules=("GCC/13", "OpenMPI/5"))))
    stage.program("module")
    stage.program("squeue", "exit 1")
    assert stage.play("0", **ON_SLURM) == 0
    assert stage.recorded("module") == ["load", "GCC/13", "load", "OpenMPI/5"]
    stage.program("module", "exit 1")
    assert stage.play("0", submission="002", **ON_SLURM) == 6
    assert "The module GCC/13 cannot be loaded." in stage.output
    assert stage.attempts("002")[-1] == "gave_up 0 code_6"


def test_a_conda_environment_is_taken_over(tmp_path):
    stage = Stage(tmp_path, replace(LAUNCH, conda_env="py torch"))
    (stage.bin / "python").symlink_to(stage.bin / "actor")
    odd = "a 'b' \"c\" $(touch canary)\nSECOND=line"
    noise = 'echo "hello"; echo NOISE=1; printf "no newline"'
    activated = f'ODD=$VALUE FIRST=1 CONDA_PREFIX={tmp_path} "$@"'
    stage.program("conda", f'shift 4; {noise}; {activated}; status=$?; echo bye; exit "$status"')
    assert stage.play("137 iter_1", "0", VALUE=odd) == 0
    assert stage.recorded("conda")[:4] == ["run", "--no-capture-output", "-n", "py torch"]
    seen = stage.seen()
    assert (seen["ODD"], seen["FIRST"], seen["CONDA_PREFIX"]) == (odd, "1", str(tmp_path))
    assert not {"SECOND", "NOISE"} & set(seen)
    stage.program("conda", "exit 1")
    assert stage.play("0", submission="002") == 6
    assert "The conda environment py torch cannot be used." in stage.output


@pytest.mark.parametrize("deployment", ["local", "slurm"])
def test_one_of_many_jobs_runs_a_submission_where_there_are_no_hard_links(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    deployment: str,
) -> None:
    stage = request.getfixturevalue(deployment)
    faults = {
        name: value
        for name, value in environment(tmp_path, "FS_NO_LINK").items()
        if name in ("LD_PRELOAD", "FS_FOLDER", "FS_NO_LINK")
    }
    jobs = [
        stage.start(*["0 iter_000010"][: not number], **faults, SLURM_JOB_ID=str(number))
        for number in range(4)
    ]
    assert [each.wait(patience(60)) for each in jobs] == [0] * 4
    assert stage.attempts() == ["start 0", "end 0 0 iter_000010", "done 0 finished"]
    holder = json.loads((stage.ledger / "001.start").read_text())
    assert holder["pid"] in [each.pid for each in jobs]
    for each in jobs:
        assert each.stdout is not None
        each.stdout.close()


def test_secrets_come_from_a_file_and_stay_out_of_every_command_line(tmp_path):
    stage = Stage(tmp_path, replace(LAUNCH, secrets_file=Path("secrets.env")))
    assert stage.play("0") == 6
    assert "which holds your wandb key, is not there" in stage.output
    assert stage.plan.launch.secrets_file is not None
    stage.plan.launch.secrets_file.write_text(f"WANDB_API_KEY={KEY}\n")
    assert stage.play("0", submission="002") == 0
    assert stage.seen()["WANDB_API_KEY"] == KEY
    told = [stage.output, stage.script.read_text(), *stage.recorded("argv")]
    assert not any(KEY in text for text in told)


def test_an_address_of_wandb_is_exported(tmp_path):
    stage = Stage(tmp_path, replace(LAUNCH, wandb_base_url="http://a/$(touch canary)'"))
    stage.play("0")
    assert stage.seen()["WANDB_BASE_URL"] == "http://a/$(touch canary)'"
    assert not list(tmp_path.rglob("canary"))


def test_the_instruction_set_is_the_one_that_was_spawned_with(tmp_path):
    stage = Stage(tmp_path, replace(LAUNCH, march="x86-64-v3"))
    stage.play("0", MILOZERO_MARCH="x86-64-v2")  # of a tmux server that was there before
    assert stage.seen()["MILOZERO_MARCH"] == "x86-64-v3"


def test_apptainer_or_singularity(tmp_path):
    stage = Stage(tmp_path, replace(LAUNCH, image="/images/x.sif"))
    stage.hide("apptainer", "singularity")
    assert stage.play("0") == 6
    assert "Neither apptainer nor singularity" in stage.output
    stage.program("singularity", "exit 0")
    assert stage.play("0", submission="002") == 0
    assert stage.recorded("singularity")[0] == "exec"
