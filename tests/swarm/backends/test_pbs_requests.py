"""What is asked of PBS: directives, options, arrays within its limits; and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from swarm.backends.base import DeploymentError
from swarm.backends.pbs import PBS
from swarm.deploy import deploy
from swarm.plan import Caliber, Plan
from swarm.planning.preflight import check
from swarm.scripts.render import render_job
from tests.pbs.cluster import StandInPbs
from tests.pbs.swarms import are_executed, end, executions, make, quiet, states
from tests.swarm.plans import refused
from tests.swarm.swarms import most_at_once, wait_for


def test_an_array_keeps_to_its_places(tmp_path: Path, pbs: StandInPbs) -> None:
    """Also over several arrays, where the server takes no longer ones; one that is over is a single job."""
    pbs.run("set", "max_array_size", "2")
    plan = make(tmp_path, count=5, array=True, max_parallel=1, seconds=0.1)
    deploy(plan, say=quiet)
    wait_for(lambda: states(plan) == ["done"] * 5)
    assert most_at_once(plan) == 1
    calls = [
        call for call in pbs.calls("qsub") if str(plan.folder) in call[-1] or "job.sh" in call[-1]
    ]
    assert [call[call.index("-J") + 1] for call in calls[-3:] if "-J" in call] == ["0-1%1", "2-3%1"]
    assert calls[-1][-1] == str(plan.runs[4].job_script)


def test_what_is_missing_in_an_array_is_submitted_in_consecutive_parts(
    tmp_path: Path,
    pbs: StandInPbs,
) -> None:
    plan = make(tmp_path, count=6, array=True)
    names = [plan.runs[index].name for index in (0, 1, 3, 5)]
    assert len(deploy(plan, only=names, say=quiet).submitted) == 4
    wait_for(lambda: sorted(states(plan)) == ["done"] * 4 + ["planned"] * 2)
    calls = pbs.calls("qsub")[-3:]
    assert ["-J" in call for call in calls] == [True, False, False]


@pytest.mark.parametrize("array", [False, True])
def test_a_limit_of_submissions_says_what_is_in(
    tmp_path: Path,
    pbs: StandInPbs,
    array: bool,
) -> None:
    plan = make(tmp_path, count=7, array=array, seconds=200)
    pbs.run("set", "max_queued", "4")
    with pytest.raises(DeploymentError, match="4 of 7 runs are submitted") as refusal:
        deploy(plan, say=quiet)
    assert "as many jobs as the cluster takes (would exceed" in refusal.value.problem
    assert states(plan).count("planned") == 3
    pbs.run("set", "max_queued", "null")
    assert len(deploy(plan, say=quiet).submitted) == 3
    wait_for(lambda: are_executed(plan))
    assert [len(each) for each in executions(plan)] == [1] * 7
    end(pbs, plan)


def test_what_qsub_refuses_is_told_in_two_lines(tmp_path: Path, pbs: StandInPbs) -> None:
    plan = make(tmp_path, caliber=Caliber("x", partition="nowhere"))
    with pytest.raises(DeploymentError, match="qsub refuses .*: Unknown queue") as refusal:
        deploy(plan, say=quiet)
    assert "\n" not in refusal.value.problem
    assert states(plan) == ["planned"]


def directives(plan: Plan) -> list[str]:
    lines = render_job(plan, plan.runs[0]).splitlines()
    return [line.removeprefix("#PBS ") for line in lines if line.startswith("#PBS ")]


def test_what_is_asked_of_pbs(tmp_path: Path) -> None:
    options = PBS.options(["-A lab -l place=pack", "-Alab2 -W 'umask=0 2' -V"], where="here")
    caliber = Caliber(
        "all",
        seconds=90_061,
        partition="gpuq",
        memory="16G",
        constraint="cpu_type=rome",
        gres="gpu:2",
        options=options,
    )
    plan = make(tmp_path, caliber=caliber, num_workers=3)
    assert directives(plan)[1:] == [
        "-S /bin/bash",
        "-l select=1:ncpus=3:mpiprocs=3:ompthreads=1:mem=16gb:ngpus=2:cpu_type=rome",
        "-l walltime=25:01:01",
        "-q gpuq",
        "-r y",
        "-j oe",
        "-o /dev/null",
        "-l place=pack",
        "-A lab2",
        '-W "umask=0 2"',
        "-V",
    ]


def test_a_name_is_one_that_qsub_takes(tmp_path: Path) -> None:
    plan = make(tmp_path)
    for name, shown in (
        ("9=x@y.ppo.seed00", "r9_x_y.ppo.seed00"),
        ("a" * 300 + ".seed00", "a" * 223 + ".seed00"),
    ):
        named = replace(plan, runs=(replace(plan.runs[0], name=name),))
        assert directives(named)[0] == f"-N {shown}"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--account=lab", "is no option of qsub"),
        ("-N mine", "is the spawner's own: it is the name of the run"),
        ("-l select=2", "it follows from the workers"),
        ("-J 1-2", "subjobs of an array are the runs"),
        ("-A 'lab", "has an open quote"),
    ],
)
def test_options_that_are_refused(options: str, told: str) -> None:
    assert told in refused(PBS.options, [options], where="here")[0]


@pytest.mark.parametrize(
    ("caliber", "told"),
    [
        (Caliber("x", partition="a,b"), "several queues"),
        (Caliber("x", gres="gpu:a100:1"), "is not gpu:NUMBER"),
        (Caliber("x", constraint="V5|V6"), "is not resource=value"),
    ],
)
def test_what_pbs_has_no_word_for_is_refused_before_anything_is_written(
    tmp_path: Path,
    caliber: Caliber,
    told: str,
) -> None:
    plan = make(tmp_path)
    changed = replace(plan, launch=replace(plan.launch, caliber=caliber, program="main.py"))
    assert told in refused(check, changed)[0]
