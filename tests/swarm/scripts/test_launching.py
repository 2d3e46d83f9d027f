"""How a job script starts the workers: on which machine, for how long it waits, and what ended them."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest

from tests.patience import patience
from tests.swarm.plans import LAUNCH
from tests.swarm.scripts.test_job_script import ON_SLURM, local, slurm
from tests.swarm.stage import Stage, await_file

__all__ = ["local", "slurm"]  # fixtures


def test_on_this_machine_nothing_of_a_job_around_it_reaches_the_launcher(local):
    shadow = {"SLURM_JOB_ID": "5", "SLURM_NNODES": "2", "PMI_RANK": "0", "PMIX_RANK": "0"}
    assert local.play("0", SLURM_JOB_END_TIME="9999999999", **shadow) == 0
    assert not shadow.keys() & local.seen().keys()
    assert local.seen()["SLURM_JOB_END_TIME"] == "9999999999", "it still ends with that job"
    assert local.seen()["HYDRA_LAUNCHER"] == "fork"
    assert local.seen()["OMPI_MCA_hwloc_base_binding_policy"] == "none"


@pytest.mark.parametrize(("nodes", "launcher"), [("1", "fork"), ("2", None)])
def test_a_job_of_one_node_starts_its_workers_itself(slurm, nodes, launcher):
    given = {"SLURM_JOB_NUM_NODES": nodes, "SLURM_EXPORT_ENV": "NONE"}
    assert slurm.play("0", **ON_SLURM, **given) == 0
    assert slurm.seen().get("HYDRA_LAUNCHER") == launcher
    assert slurm.seen()["SLURM_EXPORT_ENV"] == "ALL"


def _never_starts(stage, seconds):
    """mpiexec as it is where srun is missing: it waits, and hears no signal."""
    stage.program(
        "mpiexec",
        "trap '' TERM USR1; touch \"$STAGE/hangs\"; while :; do /bin/sleep 0.1; done",
    )
    text = stage.script.read_text()
    for name in ("launch_seconds", "stop_seconds"):
        number = next(line for line in text.splitlines() if line.startswith(name))
        text = text.replace(number, f"{name}={seconds[name]}")
    stage.script.write_text(text)


def test_a_launch_that_never_starts_is_ended(local, slurm):
    for stage in (local, slurm):
        _never_starts(stage, {"launch_seconds": 2, "stop_seconds": 99})
        assert stage.play("0", **ON_SLURM) == 6
        assert stage.attempts()[-1] == "gave_up 0 code_6"
        assert "did not start within 2 seconds" in stage.output


def test_a_launch_that_never_starts_can_be_stopped(local):
    _never_starts(local, {"launch_seconds": 99, "stop_seconds": 1})
    process = local.start("0")
    await_file(local.folder / "hangs")
    (local.ledger / "stop").touch()
    (local.run.folder / "stop").touch()
    assert process.wait(patience(20)) == 75
    assert local.attempts()[-1] == "stopped 0 user"


@pytest.mark.parametrize(
    ("told", "end"),
    [
        ("COMPLETING 2026-01-01T10:00:00 2026-01-01T11:00:00", "requeue 0 preempted"),
        ("PREEMPTED 2026-01-01T10:00:00 N/A", "requeue 0 preempted"),
        ("COMPLETING 2026-01-01T12:00:00 2026-01-01T11:00:00", "stopped 0 cancelled"),
        ("COMPLETING 2026-01-01T10:00:00 N/A", "stopped 0 cancelled"),
    ],
    ids=["now", "its state", "a former start", "never"],
)
def test_what_slurm_preempted_is_not_taken_for_cancelled(slurm, told, end):
    slurm.program("squeue", f'case "$*" in *PreemptTime*) echo {told};; *) exit 1;; esac')
    process = slurm.start("wait iter_2", **ON_SLURM)
    await_file(slurm.folder / "waiting")
    process.send_signal(signal.SIGTERM)
    assert process.wait(patience(20)) == 75
    assert slurm.attempts()[-1] == end
    asked_for = ["requeue", "17"] if end.startswith("requeue") else []
    assert (
        slurm.recorded("scontrol") == asked_for
    ), "once, though it is asked for before it has saved"


# --pin

PINNED = replace(LAUNCH, pin=True, num_workers=1)


def _pinned(folder, count):
    """Stages whose runs wait, and tell where they may run."""
    stages = []
    for number in range(count):
        (folder / f"run{number}").mkdir()
        stage = Stage(folder / f"run{number}", PINNED)
        stage.environment |= {"XDG_RUNTIME_DIR": str(folder)}
        stage.program("sleep", "exec /bin/sleep 0.05")
        stage.program("mpiexec", 'taskset -cp $$ >"$STAGE/affinity"; shift 2; exec "$@"')
        stages.append(stage)
    return stages


def _affinity(stage):
    await_file(stage.folder / "waiting")
    return (stage.folder / "affinity").read_text().rpartition(": ")[2].strip()


def test_pinned_runs_have_processors_of_their_own(tmp_path):
    """And one more waits, until a processor is free, or until it is asked to stop."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    stages = _pinned(tmp_path, len(cores) + 2)
    within = f"\ntaskset -cp {','.join(map(str, cores))} $$ >/dev/null\nsubmission="
    for stage in stages:
        stage.script.write_text(stage.script.read_text().replace("\nsubmission=", within, 1))
    running = [stage.start("wait iter_1") for stage in stages[: len(cores)]]
    assert {_affinity(stage) for stage in stages[: len(cores)]} == set(map(str, cores))
    late, stopped = (stage.start("wait iter_1") for stage in stages[-2:])
    await_file(stages[-2].ledger / "001.attempts")
    await_file(stages[-1].ledger / "001.attempts")
    (stages[-1].ledger / "stop").touch()
    assert stopped.wait(patience(20)) == 75
    assert stages[-1].attempts()[-1] == "stopped 0 user"
    assert not (stages[-2].folder / "waiting").exists()
    freed = (stages[0].folder / "affinity").read_text().rpartition(": ")[2].strip()
    running[0].terminate()
    assert running[0].wait(patience(20)) == 75
    assert _affinity(stages[-2]) == freed
    for process in (*running[1:], late):
        process.terminate()
        assert process.wait(patience(20)) == 75
        process.communicate()


def test_more_workers_than_processors_are_not_pinned(tmp_path):
    stage = Stage(tmp_path, replace(PINNED, num_workers=4000))
    assert stage.play("0") == 6
    assert "a run of 4000 workers needs as many processors" in stage.output
    assert stage.attempts()[-1] == "gave_up 0 code_6"
