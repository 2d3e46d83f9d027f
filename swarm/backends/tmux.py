"""Runs as windows of a tmux session, on a socket of its own: `tmux -L milozero attach -t SWARM`.

A window is made together with the command it runs, so that no moment lies between the two in which a spawner
could die. It stays when its run has ended, with what was printed last.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from libtmux import Server
from libtmux.exc import LibTmuxException

from swarm.backends.base import (
    Backend,
    DeploymentError,
    Job,
    JobState,
    Scheduler,
    Starter,
    state_of_process,
)
from swarm.backends.handover import command_with, discard
from swarm.backends.local import QueueScheduler
from swarm.ledger import Submission, format_number
from swarm.plan import Plan, Run

_COLUMNS = "#{session_name}|#{pane_id}|#{pane_dead}|#{window_name}|#{pane_start_command}"
_FIRST_WINDOW = "swarm"  # a shell, which keeps the session when all runs are closed
_SIZE = ("-x", "200", "-y", "50")  # until somebody attaches


@dataclass(frozen=True)
class _Window:
    pane: str
    is_dead: bool
    run: str
    number: int


class TmuxScheduler:
    """Opens a window for each run.

    Attributes:
        environment: of the runs; that of this process, and not that of the tmux server.
    """

    at_once = False
    kind = "tmux"
    settling = 1.0

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.environment: Mapping[str, str] = os.environ
        self._session = session_name(plan)
        self._server = Server(socket_name=plan.launch.tmux_socket, config_file=os.devnull)

    def check(self) -> None:
        """See that tmux is here."""
        if shutil.which("tmux") is None:
            raise DeploymentError(
                "There is no tmux on this machine.",
                "Install it (sudo apt-get install tmux), or spawn with --deployment=local.",
            )

    def query(self, submissions: Mapping[str, Submission]) -> Mapping[str, JobState]:
        """By the job scripts that have begun, and by windows for those that have not yet."""
        windows = {(each.run, each.number): each for each in self._windows() if not each.is_dead}
        job_states = {}
        for run, submission in submissions.items():
            window = windows.get((run, submission.number))
            if submission.process is not None:
                job_states[run] = state_of_process(submission)
            elif window is not None:
                job_states[run] = JobState("queued", self._job(run, window.pane), "starting")
        return job_states

    def submit(self, batch: Sequence[tuple[Run, int]], token: str) -> Mapping[str, Job]:
        """Open a window for each.

        Raises:
            DeploymentError: tmux refuses.
        """
        self._open_session()
        jobs = {}
        for run, number in batch:
            self._close_ended(run.name, number)
            where = ("-t", f"={self._session}:", "-c", str(self._plan.launch.working_folder))
            command = self._in_environment("bash", str(run.job_script), format_number(number))
            form = ("-P", "-F", "#{pane_id}")
            [pane] = self._call("new-window", "-d", *form, *where, "-n", run.name, *command)
            jobs[run.name] = self._job(run.name, pane)
        return jobs

    def arrays(self, due: Sequence[tuple[Run, int]]) -> list[list[tuple[Run, int]]]:
        """One call a run."""
        return [[pair] for pair in due]

    def cancel_pending(self, tokens: Mapping[str, Collection[str]]) -> None:
        """Nothing: what has a window has begun."""

    def finish(self) -> None:
        """Nothing: the windows are there."""

    def _open_session(self) -> None:
        """Make the session where it is missing; another spawner may be first."""
        shell = self._in_environment(self.environment.get("SHELL") or "/bin/sh")
        try:
            # both in one call: the option must stand before any window can end
            begin = ("start-server", ";", "set-option", "-g", "remain-on-exit", "on", ";")
            first = ("-n", _FIRST_WINDOW, "-c", str(self._plan.launch.working_folder))
            self._call(*begin, "new-session", "-d", "-s", self._session, *_SIZE, *first, *shell)
        except DeploymentError as error:
            discard(shell)
            if "duplicate session" not in error.problem:
                raise

    def _in_environment(self, *command: str) -> list[str]:
        try:
            return command_with(self.environment, command)
        except OSError as error:
            raise DeploymentError(
                f"{error.filename} cannot be written: {error.strerror or error}.",
                "Free space there, or set TMPDIR, then run the same command again.",
            ) from error

    def _close_ended(self, run: str, number: int) -> None:
        """Close the windows of earlier submissions."""
        for window in self._windows() if number > 1 else []:
            if window.run == run and window.is_dead:
                self._call("kill-pane", "-t", window.pane)

    def _windows(self) -> list[_Window]:
        """Those of the session that run something of ours; none where there is no server."""
        try:
            lines = self._call("list-panes", "-a", "-F", _COLUMNS)
        except DeploymentError as error:
            if re.search(
                "no server running|error connecting|no current|server exited|lost server",
                error.problem,
            ):
                return []
            raise
        windows = []
        for line in lines:
            session, pane, dead, name, command = line.split("|", 4)
            number = re.search(r" (\d{3,})\W*$", command)
            if session == self._session and number is not None:
                windows.append(_Window(pane, dead == "1", name, int(number[1])))
        return windows

    def _job(self, run: str, pane: str) -> Job:
        host = os.uname().nodename
        socket = self._plan.launch.tmux_socket
        return {"deployment": "tmux", "job": f"{socket}:{pane}", "window": run, "host": host}

    def _call(self, *command: str) -> list[str]:
        """The lines that a tmux command answers with.

        Raises:
            DeploymentError: it fails.
        """
        try:
            done = self._server.cmd(*command)
        except (LibTmuxException, OSError) as error:
            raise DeploymentError(f"tmux cannot be used: {error}.", "Run tmux by hand.") from error
        if done.returncode != 0:
            said = done.stderr[-1] if done.stderr else f"status {done.returncode}"
            raise DeploymentError(
                f"tmux refuses {command[0]}: {said}",
                f"See: tmux -L {self._plan.launch.tmux_socket} list-sessions",
            )
        return list(done.stdout)


def session_name(plan: Plan) -> str:
    """The swarm's name without what tmux reads as parts of an address, and its folder in short.

    Two clones may have swarms of one name; the server is the same.
    """
    folder = hashlib.sha256(os.fsencode(plan.folder.resolve())).hexdigest()[:6]
    return re.sub(r"[.:]", "_", plan.name) + f"-{folder}"


def render_session(plan: Plan) -> str:
    """The session as `tmuxp load` takes it by hand: a window a run, made together with its command."""
    windows = [
        {
            "window_name": run.name,
            "window_shell": f"exec bash {shlex.quote(str(plan.launch_script(run)))} 001",
            "panes": [""],
        }
        for run in plan.runs
    ]
    session = {"session_name": plan.name, "windows": windows}
    text: str = yaml.safe_dump(session, sort_keys=False, width=10**9)
    return text


class TmuxBackend(Backend):
    """Windows of a tmux session on this machine."""

    name = "tmux"
    title = "tmux"
    template = "here.sh.j2"

    def schedulers(self, plan: Plan) -> tuple[Scheduler, ...]:
        """Windows at once, or one after another from the queue of this machine."""
        windows, queue = TmuxScheduler(plan), QueueScheduler(plan)
        is_queued = plan.launch.max_parallel is not None or plan.launch.pin
        return (queue, windows) if is_queued else (windows, queue)

    def starter(self, plan: Plan) -> Starter:
        """A window."""
        return TmuxScheduler(plan)

    def job_values(self, plan: Plan, run: Run) -> Mapping[str, object]:
        """What a window shows goes into the log as well."""
        return {"directives": [], "log": "tee"}

    def launch_files(self, plan: Plan) -> Mapping[Path, str]:
        """The session for tmuxp."""
        return {plan.session_file: render_session(plan)}

    def next_commands(self, plan: Plan) -> tuple[str, ...]:
        """How to look at the windows."""
        return (f"tmux -L {plan.launch.tmux_socket} attach -t {session_name(plan)}",)


TMUX = TmuxBackend()
