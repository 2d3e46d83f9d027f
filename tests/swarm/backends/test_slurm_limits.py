"""Swarms on a real Slurm that knows accounts: limits of submissions, and preemption as slurmdbd records it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.backends.base import DeploymentError
from swarm.control import stop
from swarm.deploy import deploy
from swarm.ledger import Ledger
from tests.slurm.accounting import AccountedSlurm
from tests.slurm.cluster import SlurmUnavailableError, ensure_installed
from tests.swarm.backends.test_slurm import jobs, make, quiet, states
from tests.swarm.backends.test_slurm_preemption import make_waiting, preempt
from tests.swarm.conftest import unavailable
from tests.swarm.swarms import executions, latest, wait_for


@pytest.fixture(scope="module")
def _accounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AccountedSlurm]:
    try:
        ensure_installed()
        with AccountedSlurm(tmp_path_factory.mktemp("slurm"), nodes=2, cpus=4) as slurm:
            yield slurm
    except SlurmUnavailableError as error:
        unavailable(f"no Slurm with accounting: {error}")


@pytest.fixture()
def accounted(_accounted: AccountedSlurm, monkeypatch: pytest.MonkeyPatch) -> AccountedSlurm:
    """A Slurm with slurmdbd, which this process's environment leads to."""
    for key, value in _accounted.environment.items():
        monkeypatch.setenv(key, value)
    return _accounted


@pytest.mark.parametrize("array", [False, True])
def test_a_limit_of_submissions_says_what_is_in_and_the_same_command_submits_the_rest(
    tmp_path: Path,
    accounted: AccountedSlurm,
    array: bool,
) -> None:
    """MaxSubmitJobsPerUser of a QOS. An array counts as its runs, and goes in as far as there is room."""
    plan = make(
        tmp_path,
        count=7,
        array=array,
        seconds=200,
    )  # none ends between two calls of sbatch
    accounted.limit_submissions(4)
    try:
        with pytest.raises(DeploymentError, match="4 of 7 runs are submitted") as refusal:
            deploy(plan, say=quiet)
        assert "as many jobs as the cluster takes (QOSMaxSubmit" in refusal.value.problem
        assert "the same command submits the rest" in refusal.value.remedy
        assert states(plan).count("planned") == 3
    finally:
        accounted.limit_submissions(None)
    assert len(deploy(plan, say=quiet).submitted) == 3
    wait_for(lambda: all(len(each) == 1 for each in executions(plan).values()))
    assert len(jobs(accounted, plan)) == 7
    stop(plan, plan.runs, say=quiet)
    wait_for(lambda: states(plan) == ["stopped"] * 7)


def test_a_preempted_run_is_submitted_again_where_preemption_is_recorded(
    tmp_path: Path,
    accounted: AccountedSlurm,
) -> None:
    plan = make_waiting(tmp_path)
    [run] = plan.runs
    deploy(plan, say=quiet)
    wait_for(lambda: (run.folder / "waits").exists())
    preempt(tmp_path)
    ledger = Ledger(plan.ledger_folder)
    wait_for(lambda: latest(ledger, run.name).verdict)
    assert latest(ledger, run.name).verdict == ("requeue", "preempted")
    wait_for(lambda: states(plan) == ["queued"])
    job = str((latest(ledger, run.name).job or {})["job"])
    told = ("sacct", "-X", "-D", "-n", "-P", "-j", job, "-o", "State")
    wait_for(lambda: "REQUEUED" in accounted.run(*told))
    accounted.run("scancel", job)
