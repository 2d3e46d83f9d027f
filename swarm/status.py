"""How every run of a swarm stands: the ledger, the scheduler and the run folder, read together."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from helpers.errors import DONE, STOPPED_EARLY
from helpers.trackers.jsonl import parse_row
from swarm.backends.base import JobState, Scheduler
from swarm.backends.local import QUEUE, QueueScheduler
from swarm.backends.slurm import SlurmScheduler
from swarm.backends.tmux import TmuxScheduler
from swarm.ledger import Ledger, Submission
from swarm.plan import Plan, Run

State = Literal[
    "planned",  # never submitted, or closed before it began
    "claimed",  # a spawner is about to submit it, or died while it did
    "queued",
    "running",
    "stopping",  # asked to stop, and not there yet
    "unknown",  # of another machine, and cannot be seen from here
    "done",
    "stopped",  # resumable
    "failed",
    "lost",  # its job is gone without a word
]
_WORDS = {"user": "as asked", "time": "its time was over"}  # for what the job script notes in one
UNDER_WAY: tuple[State, ...] = ("queued", "running", "stopping", "unknown")
OWNER_FILE = "job_swarm.json"
_TAIL = 1 << 16  # bytes; longer than any row of metrics


@dataclass(frozen=True)
class RunStatus:
    """How a run stands.

    Attributes:
        run: which.
        state: in one word.
        reason: why, or what it waits for; "" where there is nothing to say.
        submission: the latest, as the ledger has it.
        job_state: the scheduler's word on it.
    """

    run: Run
    state: State
    reason: str = ""
    submission: Submission | None = None
    job_state: JobState = JobState("gone")

    @property
    def job(self) -> str:
        """The job id shown to users; "" if unknown."""
        noted = self.submission.job if self.submission is not None else None
        job = (noted or {}).get("job") or (self.job_state.job or {}).get("job")
        return str(job or "")


def schedulers_of(plan: Plan) -> dict[str, Scheduler]:
    """All that may have runs of this swarm, by what the ledger calls them."""
    found: tuple[Scheduler, ...] = (SlurmScheduler(plan), TmuxScheduler(plan), QueueScheduler(plan))
    return {each.kind: each for each in found}


def scheduler_of(plan: Plan) -> Scheduler:
    """What the plan asks for."""
    launch = plan.launch
    is_queued = launch.deployment == "local" or launch.max_parallel is not None or launch.pin
    kind = "slurm" if launch.deployment == "slurm" else QUEUE if is_queued else "tmux"
    return schedulers_of(plan)[kind]


def run_statuses(plan: Plan, runs: Iterable[Run] | None = None) -> dict[str, RunStatus]:
    """How the runs stand now, by name, in the plan's order.

    The ledger is read before the scheduler is looked at and again after it: a job that was noted then and
    cannot be seen now has ended, and all that it had to write stands in what is read last.

    Raises:
        DeploymentError: a scheduler that has runs of this swarm does not answer.
        StorageError: the ledger cannot be read.
    """
    chosen = list(plan.runs if runs is None else runs)
    ledgers = {run.name: Ledger(ledger_of(plan, run)) for run in chosen}
    before = _submissions(ledgers)
    job_states = _query(plan, before)
    after = _submissions(ledgers)
    moved = [run for run in chosen if _has_moved(before.get(run.name), after.get(run.name))]
    found = {run.name: _run_status(run, job_states, after, ledgers[run.name]) for run in chosen}
    return found | run_statuses(plan, moved) if moved else found


def owner_of(run: Run) -> Mapping[str, Any] | None:
    """The swarm that submits a run: {"swarm": name, "folder": path}; None where nobody does yet."""
    try:
        content = json.loads((run.folder / OWNER_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def ledger_of(plan: Plan, run: Run) -> Path:
    """The ledger's folder that has a run: this swarm's, or its owner's where swarms overlap."""
    owner = owner_of(run)
    if owner is None or owner.get("swarm") == plan.name:
        return plan.ledger_folder
    return Path(str(owner.get("folder"))) / plan.ledger_folder.name


def last_row(run: Run) -> dict[str, Any] | None:
    """The last complete row of the run's metrics; None where there is none."""
    try:
        with (run.folder / "metrics.jsonl").open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _TAIL, 0))
            lines = file.read().splitlines(keepends=True)
    except OSError:
        return None
    rows = (parse_row(line) for line in reversed(lines))
    return next((row for row in rows if row is not None), None)


def is_finished(run: Run) -> bool:
    """Whether the run folder itself shows the end of the training, also of a run that was started by hand."""
    row = last_row(run)
    if row is None or row.get("step", 0) < run.config.num_timesteps:
        return False
    try:
        latest = os.readlink(run.folder / "checkpoints" / "latest")
    except OSError:
        return False
    return latest == f"iter_{row['iteration']:06d}"


def _submissions(ledgers: Mapping[str, Ledger]) -> dict[str, Submission]:
    found = {run: ledger.submission(run) for run, ledger in ledgers.items()}
    return {run: each for run, each in found.items() if each is not None}


def _query(plan: Plan, submissions: Mapping[str, Submission]) -> dict[str, JobState]:
    job_states: dict[str, JobState] = {}
    for kind, scheduler in schedulers_of(plan).items():
        theirs = {run: each for run, each in submissions.items() if each.deployment == kind}
        if theirs:
            job_states.update(scheduler.query(theirs))
    return job_states


def _has_moved(before: Submission | None, after: Submission | None) -> bool:
    """Whether what was looked for is no longer what stands in the ledger."""
    if before is None or after is None:
        return before is not after
    return before.number != after.number or (before.job is None) != (after.job is None)


def _run_status(
    run: Run,
    job_states: Mapping[str, JobState],
    submissions: Mapping[str, Submission],
    ledger: Ledger,
) -> RunStatus:
    submission, job_state = submissions.get(run.name), job_states.get(run.name, JobState("gone"))
    state, reason = _judge(
        submission,
        job_state,
        is_stopped=ledger.is_asked_to_stop(run.name),
        is_finished=job_state.life == "gone" and is_finished(run),
    )
    return RunStatus(run, state, reason, submission, job_state)


def _judge(
    submission: Submission | None,
    job_state: JobState,
    *,
    is_stopped: bool,
    is_finished: bool,
) -> tuple[State, str]:
    """(state, reason) of a run that nobody submits at this moment."""
    if submission is None or submission.is_void:
        if is_finished:
            return "done", ""
        return ("stopped", "before it began") if is_stopped else ("planned", "")
    if submission.verdict is not None and submission.verdict[0] == "done":
        return "done", ""
    if job_state.life == "gone":
        if submission.job is None and submission.started_by is None:
            return "claimed", f"by process {submission.claimed_by.pid}"
        return _judge_ended(submission, job_state, is_stopped=is_stopped, is_finished=is_finished)
    if job_state.life == "unknown":
        return "unknown", job_state.reason
    if is_stopped:
        return "stopping", job_state.reason
    return ("queued" if job_state.life == "queued" else "running"), job_state.reason


def _judge_ended(
    submission: Submission,
    job_state: JobState,
    *,
    is_stopped: bool,
    is_finished: bool,
) -> tuple[State, str]:
    """(state, reason) of a run whose job is gone."""
    code = submission.attempts[-1].exit_code if submission.attempts else None
    word, reason = submission.verdict or ("", "")
    reason = "" if reason == f"code_{code}" else reason.replace("_", " ")
    if code == DONE or is_finished:
        return "done", ""
    if word == "stopped" or is_stopped:
        return "stopped", _WORDS.get(reason, reason)
    if code == STOPPED_EARLY and word != "gave_up":
        return "stopped", job_state.reason.lower()
    if code is not None:
        return "failed", f"exit code {code}" + (f", {reason}" if reason else "")
    silence = "its script ended without a word" if submission.started_by else "it never began"
    return "lost", job_state.reason.lower() or silence
