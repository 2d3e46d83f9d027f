"""What deployment and watching ask of tmux, Slurm and this machine alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from helpers.errors import LAUNCH, UserError
from swarm.ledger import Submission
from swarm.plan import Run

Life = Literal["queued", "running", "gone", "unknown"]
Job = Mapping[str, Any]  # what the ledger notes; "job" is what people know it by


class DeploymentError(UserError):
    """Something that starts runs is missing, or refuses."""

    exit_code = LAUNCH


class SubmitLimitError(DeploymentError):
    """This user has as many jobs as the cluster lets wait and run."""


@dataclass(frozen=True)
class JobState:
    """What the scheduler reports about one submission.

    Attributes:
        life: "unknown" where it is of another machine and cannot be seen from here.
        job: for a submission whose job nobody has noted yet.
        reason: the scheduler's own word: "Resources", "CANCELLED", ...
    """

    life: Life
    job: Job | None = None
    reason: str = ""


class Scheduler(Protocol):
    """Starts runs.

    Attributes:
        kind: what the ledger calls it.
        at_once: whether one call submits many runs (an array).
        settling: seconds after which a call that a killed spawner had begun has taken effect.
    """

    kind: str
    at_once: bool
    settling: float

    def check(self) -> None:
        """Raise `DeploymentError` where nothing can be started."""

    def query(self, submissions: Mapping[str, Submission]) -> Mapping[str, JobState]:
        """What became of submissions, by run; a run that is not in the answer is gone."""

    def submit(self, batch: Sequence[tuple[Run, int]], token: str) -> Mapping[str, Job]:
        """Start runs, each as the submission of that number; the jobs by run."""

    def arrays(self, due: Sequence[tuple[Run, int]]) -> list[list[tuple[Run, int]]]:
        """Runs in groups that one call can submit; asked only where `at_once`."""

    def cancel_pending(self, tokens: Mapping[str, Collection[str]]) -> None:
        """Take what has not begun out of the queue, given the tokens of its submissions by run."""

    def finish(self) -> None:
        """Called when all is submitted."""


def state_of_process(submission: Submission) -> JobState:
    """The state of a submission by its job script's notes, without any scheduler."""
    process = submission.process
    if process is None:
        return JobState("gone")
    job = {"deployment": "process", "job": str(process.pid), "host": process.host}
    is_alive = process.is_alive()
    if is_alive is None:
        return JobState("unknown", job, f"on {process.host}")
    if is_alive:
        return JobState("running", job)
    is_silent = submission.verdict is None  # killed, then: what it started may live on
    if is_silent and process.has_survivors():
        return JobState("running", job, "its script was killed, its workers still run")
    return JobState("gone", job)
