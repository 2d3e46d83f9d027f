"""Runs on this machine, a limited number at a time: a queue process starts them one after another.

It is detached from the terminal and from the spawner, and so is every run from it: whichever dies, the runs go
on. The ledger's folder `queue/` holds the queue process as `ledger/<run>/` holds a run.

    python -m swarm.backends.local data/swarms/NAME 001
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from helpers.errors import UserError
from helpers.machine.cores import usable_cores
from swarm.backends import handover
from swarm.backends.base import DeploymentError, Job, JobState, state_of_process
from swarm.backends.tmux import TmuxScheduler
from swarm.ledger import Ledger, Submission, format_number, new_token
from swarm.plan import Plan, Run, load

NOT_SERVED = "nobody starts it: spawn again"  # why a run waits whose queue process has died
QUEUE = "queue"  # the queue process as an entry of the ledger in the swarm's folder
_PAUSE = 0.2  # seconds between two looks
_IDLENESS = 20  # how much longer than a look the pause after it is
_PATIENCE = 20.0  # seconds for a process to begin


class LocalScheduler:
    """Starts each run as a process of its own, with the log for its output."""

    kind = "local"
    at_once = False
    settling = 1.0

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.environment: Mapping[str, str] = os.environ

    def check(self) -> None:
        """See that bash is here."""
        if shutil.which("bash") is None:
            raise DeploymentError("There is no bash on this machine.", "Install it.")

    def query(self, submissions: Mapping[str, Submission]) -> Mapping[str, JobState]:
        """By the job scripts themselves."""
        return {run: state_of_process(each) for run, each in submissions.items() if each.process}

    def submit(self, batch: Sequence[tuple[Run, int]], token: str) -> Mapping[str, Job]:
        """Start a process for each."""
        jobs = {}
        for run, number in batch:
            command = ["bash", str(run.job_script), format_number(number)]
            process = start_detached(
                command,
                log=self._plan.log_file(run),
                folder=self._plan.launch.working_folder,
                environment=self.environment,
            )
            jobs[run.name] = {"deployment": "local", "job": str(process.pid)}
        return jobs

    def arrays(self, due: Sequence[tuple[Run, int]]) -> list[list[tuple[Run, int]]]:
        """One call a run."""
        return [[pair] for pair in due]

    def cancel_pending(self, tokens: Mapping[str, Collection[str]]) -> None:
        """Nothing: what is started runs."""

    def finish(self) -> None:
        """Nothing: the processes are there."""


class QueueScheduler:
    """Submits by noting; the queue process starts what is noted, `max_parallel` at a time."""

    kind = QUEUE
    at_once = False
    settling = 0.0  # noting a run is all there is to it

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._inner = starter_of(plan)

    def check(self) -> None:
        """See that runs can be started."""
        self._inner.check()

    def query(self, submissions: Mapping[str, Submission]) -> Mapping[str, JobState]:
        """What runs, and what is noted and has not begun."""
        job_states = dict(self._inner.query(submissions))
        is_served = is_running(Ledger(self._plan.folder).submission(QUEUE))
        reason = "waits for its turn" if is_served else NOT_SERVED
        for run, submission in submissions.items():
            if submission.job is not None and submission.started_by is None:
                job_states.setdefault(run, JobState("queued", submission.job, reason))
        return job_states

    def submit(self, batch: Sequence[tuple[Run, int]], token: str) -> Mapping[str, Job]:
        """What the ledger is to note."""
        try:
            return {
                run.name: {
                    "deployment": QUEUE,
                    "job": None,
                    "environment": handover.write(
                        os.environ,
                        note=self._plan.run_ledger(run) / f"{format_number(number)}.job.json",
                    ),
                }
                for run, number in batch
            }
        except OSError as error:
            raise DeploymentError(
                f"{error.filename} cannot be written: {error.strerror or error}.",
                "Free space there, or set TMPDIR, then run the same command again.",
            ) from error

    def arrays(self, due: Sequence[tuple[Run, int]]) -> list[list[tuple[Run, int]]]:
        """One call a run."""
        return [[pair] for pair in due]

    def cancel_pending(self, tokens: Mapping[str, Collection[str]]) -> None:
        """Nothing: the queue process passes over what is asked to stop, and what is closed."""

    def finish(self) -> None:
        """See that a queue process runs, and start one where none does.

        Raises:
            DeploymentError: it does not begin.
        """
        ledger = Ledger(self._plan.folder)
        deadline = time.monotonic() + _PATIENCE
        if not waiting_runs(self._plan, submissions_of(self._plan)):
            return
        while time.monotonic() < deadline:
            number = next_queue(ledger)
            if number is not None and claim_queue(ledger, number):
                start_detached(
                    [
                        sys.executable,
                        "-m",
                        "swarm.backends.local",
                        str(self._plan.folder),
                        format_number(number),
                    ],
                    log=self._plan.folder / "logs" / "queue.log",
                    folder=Path(__file__).parents[2],
                )
            elif number is None and is_running(ledger.submission(QUEUE)):
                return
            time.sleep(_PAUSE / 4)
        raise DeploymentError(
            "The process that starts the runs did not start.",
            f"See {self._plan.folder / 'logs' / 'queue.log'}, then run the same command again.",
        )


def starter_of(plan: Plan) -> TmuxScheduler | LocalScheduler:
    """What starts a single run of a swarm on this machine."""
    return TmuxScheduler(plan) if plan.launch.deployment == "tmux" else LocalScheduler(plan)


def start_detached(
    command: Sequence[str],
    *,
    log: Path,
    folder: Path,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one and its terminal.

    Raises:
        DeploymentError: it cannot be started.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as error:
        raise DeploymentError(
            f"{command[0]} cannot be started: {error.strerror or error}.",
            f"Make {log} writable, then run the same command again.",
        ) from error


def is_running(queue: Submission | None) -> bool:
    """Whether a queue process has begun and not ended."""
    if queue is None or queue.process is None or queue.verdict is not None:
        return False
    return queue.process.is_alive() is not False


def next_queue(ledger: Ledger) -> int | None:
    """The number of the queue process that is to be started; None while one runs or begins."""
    queue = ledger.submission(QUEUE)
    if queue is None:
        return 1
    if is_running(queue):
        return None
    if queue.process is None and not queue.is_void:
        begins = queue.claimed_by.is_alive() is not False
        # from either side: the clock of another machine may be ahead
        if begins and abs(time.time() - queue.claimed_at) < _PATIENCE:
            return None
        if not ledger.void(QUEUE, queue.number):
            return None  # it has begun after all
    return queue.number + 1


def claim_queue(ledger: Ledger, number: int) -> bool:
    """Take it upon this process to start, or to be, the queue process of that number."""
    return ledger.claim(QUEUE, number, token=new_token(), deployment=QUEUE)


def submissions_of(plan: Plan) -> dict[str, Submission]:
    """The latest submission of each run that has one."""
    ledger = Ledger(plan.ledger_folder)
    found = {run.name: ledger.submission(run.name) for run in plan.runs}
    return {run: each for run, each in found.items() if each is not None}


def waiting_runs(plan: Plan, submissions: Mapping[str, Submission]) -> list[tuple[Run, int]]:
    """What is noted for the queue and has not begun, in the plan's order."""
    pairs = [(run, submissions[run.name]) for run in plan.runs if run.name in submissions]
    return [
        (run, each.number)
        for run, each in pairs
        if each.deployment == QUEUE and each.job is not None and each.started_by is None
    ]


class Queue:
    """The queue process: starts what is noted until nothing is left.

    Args:
        plan: the swarm.
        number: its own in the ledger.
    """

    def __init__(self, plan: Plan, number: int) -> None:
        self._plan, self._number = plan, number
        cores_worth = max(1, usable_cores() // plan.launch.num_workers)
        self._places = plan.launch.max_parallel or cores_worth
        self._starter = starter_of(plan)
        self._beginning: dict[tuple[str, int], float] = {}  # started, not yet at their first line

    def run(self) -> None:
        """Until all that is noted has been started."""
        own = Ledger(self._plan.folder)
        while own.begin(QUEUE, self._number):
            self._empty()
            own.end(QUEUE, self._number, "empty")
            # A spawner that noted a run before it saw that end has relied on this process; one
            # that saw it has claimed the next number, or loses it here.
            if not waiting_runs(self._plan, submissions_of(self._plan)):
                return
            self._number += 1
            if not claim_queue(own, self._number):
                return

    def _empty(self) -> None:
        while True:
            began = time.monotonic()
            submissions = submissions_of(self._plan)
            self._update_beginning(submissions)
            waiting = waiting_runs(self._plan, submissions)
            if not waiting:
                return
            fresh = [each for each in waiting if (each[0].name, each[1]) not in self._beginning]
            self._start(fresh, submissions)
            time.sleep(max(_PAUSE, _IDLENESS * (time.monotonic() - began)))

    def _start(
        self,
        waiting: Sequence[tuple[Run, int]],
        submissions: Mapping[str, Submission],
    ) -> None:
        """Fill the free places."""
        job_states = self._starter.query(submissions)
        busy = {
            run for run, job_state in job_states.items() if job_state.life in ("queued", "running")
        }
        busy |= {run for run, _ in self._beginning}
        for run, number in waiting[: max(self._places - len(busy), 0)]:
            self._starter.environment = _environment_of(submissions[run.name])
            self._starter.submit([(run, number)], "")
            self._beginning[run.name, number] = time.monotonic()

    def _update_beginning(self, submissions: Mapping[str, Submission]) -> None:
        """A script that does not come to its first line must not hold its place for ever."""
        for (run, number), since in list(self._beginning.items()):
            has_begun = submissions[run].number != number or submissions[run].started_by is not None
            if not has_begun and time.monotonic() - since > _PATIENCE:
                has_begun = True
                Ledger(self._plan.ledger_folder).void(run, number)
            if has_begun:
                del self._beginning[run, number]


def _environment_of(submission: Submission) -> Mapping[str, str]:
    """That of the command which noted a run; this process's where it is lost with a restart of the machine."""
    name = (submission.job or {}).get("environment")
    if name is None:
        return os.environ
    try:
        return handover.read(name)
    except FileNotFoundError:
        print(f"{submission.run}: its environment is gone; it gets that of the queue", flush=True)
        return os.environ


def main(argv: Sequence[str]) -> int:
    """The queue process of a swarm."""
    folder, number = argv
    try:
        Queue(load(Path(folder)), int(number)).run()
    except UserError as error:
        print(f"milozero: {error.problem}\n  remedy: {error.remedy}", file=sys.stderr, flush=True)
        return error.exit_code
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
