"""Deployment: every run of a plan is submitted that is not queued, running or done, and each exactly once.

It may be killed at any instant and started again, and several may be at work on one swarm. For each run:

    claim    (link)  one spawner alone continues
    submit           the job carries the claim's token
    note     (link)  the job stands in the ledger

A spawner that finds a claim without a job first asks the scheduler for the token. If there is no such job, and
the claimant is dead, it closes that submission by taking the job's lock, and claims the next number.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from helpers.config.schema import identity_of
from helpers.durable import make_once, temporary_name
from helpers.errors import ConfigurationError, StorageError, UserError
from helpers.processes import Process
from helpers.run_folder.experiment import CONFIG_FILE
from swarm.backends import leftovers
from swarm.backends.base import DeploymentError, Scheduler, SubmitLimitError
from swarm.ledger import Ledger, Submission, make_shared_folder, new_token
from swarm.plan import JOB_FILE, Plan, Run
from swarm.status import OWNER_FILE, UNDER_WAY, RunStatus, owner_of, run_statuses, scheduler_of

Say = Callable[[str], None]

_PAUSE = 0.2  # seconds between two looks at what others have claimed
_TELL_EVERY = 100  # calls
_PATIENCE = 60.0  # seconds for a claimant that lives, or that cannot be seen from here


@dataclass
class Deployed:
    """What came of it, by names of runs.

    Attributes:
        submitted: now.
        already: queued, running, done, or in the care of others.
    """

    submitted: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)


def deploy(
    plan: Plan,
    *,
    only: Collection[str] | None = None,
    say: Say = print,
) -> Deployed:
    """Submit what is not queued, running or done.

    Args:
        plan: its folder and its `launch/` are written.
        only: names of runs; all if None.
        say: for lines that a person should see.

    Raises:
        ConfigurationError: a run folder of that name holds another run; nothing is submitted.
        DeploymentError: tmux, sbatch or bash is missing or refuses. What was submitted before stays so,
            and the same command continues from there.
        StorageError: the ledger or a run folder cannot be written.
    """
    scheduler = scheduler_of(plan)
    scheduler.check()
    leftovers.sweep()
    chosen = [run for run in plan.runs if only is None or run.name in only]
    mine = [run for run in chosen if _is_ours(plan, run, say)]
    deployment = _Deployment(plan, scheduler, say)
    deployment.outcome.already += [run.name for run in chosen if run not in mine]
    try:
        for run in mine:
            _refuse_another_configuration(run)
        deployment.drive(mine)
    except UserError:
        for run in mine:
            _release(plan, run, scheduler.kind)
        raise
    scheduler.cancel_pending(_stale(plan, mine))
    scheduler.finish()
    return deployment.outcome


class _Deployment:
    """One call of `deploy`."""

    def __init__(self, plan: Plan, scheduler: Scheduler, say: Say) -> None:
        self.outcome = Deployed()
        self._plan, self._scheduler, self._say = plan, scheduler, say
        self._ledger = Ledger(plan.ledger_folder)
        self._told: set[Process] = set()

    def drive(self, runs: Sequence[Run]) -> None:
        """Go round until each run is submitted by this or another spawner."""
        rest = list(runs)
        while rest:
            due: list[tuple[Run, int]] = []
            waiting: list[Run] = []
            for run, status in zip(rest, run_statuses(self._plan, rest).values(), strict=True):
                number = self._next_number(status)
                if number is None:
                    self.outcome.already.append(run.name)
                elif number:
                    due.append((run, number))
                else:
                    waiting.append(run)
            self._tell_whom_it_waits_for(waiting)
            submitted = self._submit(due)
            self.outcome.submitted += submitted
            settled = {*submitted, *self.outcome.already}
            lost = [run for run, _ in due if run.name not in settled]  # others were faster
            rest = waiting + lost
            if waiting:
                time.sleep(_PAUSE)

    def _tell_whom_it_waits_for(self, runs: Sequence[Run]) -> None:
        for run in runs:
            submission = self._ledger.submission(run.name)
            claimant = None if submission is None else submission.claimed_by
            if (
                claimant is not None
                and claimant not in self._told
                and claimant.is_alive() is not False
            ):
                self._told.add(claimant)
                self._say(f"process {claimant.pid} on {claimant.host} is spawning this swarm too")

    def _next_number(self, status: RunStatus) -> int | None:
        """The number to submit a run under; None where nothing is to be done, 0 to look again later."""
        submission = status.submission
        if status.state in (*UNDER_WAY, "done"):
            self._note_what_was_found(status)
            return None
        if submission is None:
            return 1
        if submission.is_void:
            return submission.number + 1
        if status.state == "claimed" and self._is_in_hand(submission):
            return 0
        number = submission.number
        if submission.started_by is None and not self._ledger.void(submission.run, number):
            return 0  # it has begun after all
        return number + 1

    def _note_what_was_found(self, status: RunStatus) -> None:
        """Complete the ledger where a spawner died after its job was accepted."""
        submission = status.submission
        if submission is None or submission.job is not None:
            return
        job = status.job_state.job or submission.started_by
        if job:
            self._ledger.note_job(submission.run, submission.number, job)

    def _is_in_hand(self, submission: Submission) -> bool:
        """Whether somebody may still be submitting it."""
        age = abs(time.time() - submission.claimed_at)  # the clock of its machine may be ahead
        if age < self._scheduler.settling:
            return True  # a call may be under way though its caller is dead
        return submission.claimed_by.is_alive() is not False and age < _PATIENCE

    def _submit(self, due: Sequence[tuple[Run, int]]) -> list[str]:
        """Claim and submit; the names of those that this process was the first to claim."""
        batches = [[pair] for pair in due]
        done: list[str] = []
        if self._scheduler.at_once:
            batches = self._scheduler.arrays(due)
        for place, batch in enumerate(batches, start=1):
            try:
                self._submit_batch(batch, done)
            except DeploymentError as error:
                if not done:
                    raise
                is_limit = isinstance(error, SubmitLimitError)
                raise DeploymentError(
                    f"{len(done)} of {len(due)} runs are submitted. {error.problem}",
                    ("" if is_limit else "The same command later submits the rest. ")
                    + error.remedy,
                ) from error
            if place % _TELL_EVERY == 0 and place < len(batches):
                self._say(f"submitted {len(done)} of {len(due)}")
        return done

    def _submit_batch(self, batch: Sequence[tuple[Run, int]], done: list[str]) -> None:
        """Claim and submit runs by one call, and add them to those that are done.

        An array counts as its runs: where a limit has no room for all of it, its halves are tried.
        """
        token = new_token()
        mine = [(run, number) for run, number in batch if self._claim(run, number, token)]
        if not mine:
            return
        try:
            for run, _ in mine:
                self._withdraw_stop(run)
            jobs = self._scheduler.submit(mine, token)
        except UserError as error:
            for run, number in mine:
                self._ledger.void(run.name, number)
            if not isinstance(error, SubmitLimitError) or len(mine) == 1:
                raise
            half = len(mine) // 2
            for part in (mine[:half], mine[half:]):
                self._submit_batch([(run, number + 1) for run, number in part], done)
            return
        for run, number in mine:
            self._ledger.note_job(run.name, number, jobs[run.name])
        done += [run.name for run, _ in mine]

    def _claim(self, run: Run, number: int, token: str) -> bool:
        """Whether this process is the one to submit a run, and the run still this swarm's."""
        _prepare(self._plan, run)
        if not self._ledger.claim(run.name, number, token=token, deployment=self._scheduler.kind):
            return False
        if _is_ours(self._plan, run, self._say):  # it may have been released before the claim
            return True
        self._ledger.void(run.name, number)
        self.outcome.already.append(run.name)
        return False

    def _withdraw_stop(self, run: Run) -> None:
        self._ledger.withdraw_stop(run.name)
        try:
            (run.folder / "stop").unlink(missing_ok=True)
        except OSError as error:
            raise _storage_error(run.folder, error) from error


def _release(plan: Plan, run: Run, kind: str) -> None:
    """Leave a run that was refused to whichever swarm has it next, if this one never had it queued.

    Under a claim, so that no other spawner of this swarm submits it meanwhile: one that claims the run after
    that looks again whose it is.
    """
    ledger = Ledger(plan.ledger_folder)
    latest = ledger.submission(run.name)
    if latest is not None and (not latest.is_void or latest.starts):
        return
    number = 1 if latest is None else latest.number + 1
    if not ledger.claim(run.name, number, token=new_token(), deployment=kind):
        return
    try:
        (run.folder / OWNER_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise _storage_error(run.folder, error) from error
    finally:
        ledger.void(run.name, number)


def _is_ours(plan: Plan, run: Run, say: Say) -> bool:
    """Mark the run as this swarm's, unless it is another's: swarms may overlap, a run has one ledger."""
    mark = run.folder / OWNER_FILE
    try:
        if not run.folder.is_dir():
            make_shared_folder(run.folder)
        if not mark.exists():
            content = {"swarm": plan.name, "folder": str(plan.folder)}
            make_once(
                mark,
                json.dumps(content) + "\n",
            )  # or another spawner's; whose it is stands in it
    except OSError as error:
        raise _storage_error(run.folder, error) from error
    owner = owner_of(run) or {}
    if owner.get("swarm") == plan.name:
        return True
    say(f"{run.name} belongs to swarm {owner.get('swarm')}: it is not submitted from here")
    return False


def _refuse_another_configuration(run: Run) -> None:
    """The run itself would refuse to start, on its node, after its wait in the queue."""
    path = run.folder / CONFIG_FILE
    if not path.exists():
        return
    from agents.algorithms import SCHEMA

    there, here = identity_of(SCHEMA.load_config(path)), identity_of(run.config)
    keys = [key for key in {**there, **here} if there.get(key) != here.get(key)]
    if keys:
        key = keys[0]
        raise ConfigurationError(
            f"{run.folder} contains another run: {key} is {there.get(key)} there, {here.get(key)} here.",
            "Choose another --prefix, or move that folder away.",
        )


def _prepare(plan: Plan, run: Run) -> None:
    """Put the script that is executed into the run folder.

    A running job still reads the script that it began with.
    """
    try:
        text = plan.launch_script(run).read_text(encoding="utf-8")
        if not run.job_script.exists() or run.job_script.read_text(encoding="utf-8") != text:
            temporary = run.folder / f"{JOB_FILE}{temporary_name()}"  # main.py tolerates job* there
            temporary.write_text(text, encoding="utf-8")
            temporary.chmod(0o755)
            temporary.replace(run.job_script)
    except OSError as error:
        if error.filename == str(plan.launch_script(run)) and run.job_script.exists():
            return  # --clear removed the original
        raise _storage_error(run.folder, error) from error


def _storage_error(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{error.filename or folder} cannot be used: {error.strerror or error}.",
        "Free space or fix permissions there, then run the same command again.",
    )


def _stale(plan: Plan, runs: Sequence[Run]) -> dict[str, list[str]]:
    """Tokens under which no job of a run may wait any more: those of closed submissions."""
    ledger = Ledger(plan.ledger_folder)
    stale: dict[str, list[str]] = {}
    for run in runs:
        latest = ledger.submission(run.name)
        if latest is None:
            continue
        tokens = ledger.tokens(run.name)
        old = [tokens[number] for number in tokens if number < latest.number or latest.is_void]
        if old:
            stale[run.name] = old
    return stale
