"""The process of a trial, of one worker or several: opens runs, trains some iterations, saves, on request.

It stays while its trial's settings change, and when its actor takes another trial: only the run is built anew.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from helpers.errors import DONE, UserError
from helpers.run_folder import run_lock
from helpers.trackers.jsonl import plain
from swarm.tune.trial.channel import connect, receive, send


class OpenRun(Protocol):
    """What main.py opens."""

    folder: Any
    orchestrator: Any
    publisher: Any


def serve(address: str, workers: Any, open_run: Callable[[Sequence[str]], OpenRun]) -> int:
    """Do what the actor asks for until it hangs up; collective.

    Args:
        address: of the actor, which the root connects to.
        workers: of the trial.
        open_run: opens the run of arguments (of main.py) at its newest checkpoint; collective.
    """
    file = connect(address) if workers.is_root else None
    trial = _Trial(workers, open_run)
    answer: dict[str, Any] = {"ready": os.getpid()}
    while True:
        command = workers.broadcast_json(_hear(file, answer) if workers.is_root else None)
        if command is None:
            trial.close()
            return DONE
        try:
            answer = trial.do(command)
        except UserError as error:
            answer = {"problem": error.problem, "remedy": error.remedy, "code": error.exit_code}


def _hear(file: Any, answer: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        send(file, answer)
        return receive(file)
    except OSError:
        return None


def _recorded(
    log: Callable[[Mapping[str, Any]], None],
    rows: list[Mapping[str, Any]],
) -> Callable[[Mapping[str, Any]], None]:
    """What logs a row, and keeps it."""

    def record(row: Mapping[str, Any]) -> None:
        rows.append(dict(row))
        log(row)

    return record


class _Trial:
    """The run that is open."""

    def __init__(self, workers: Any, open_run: Callable[[Sequence[str]], OpenRun]) -> None:
        self._workers, self._open = workers, open_run
        self._run: OpenRun | None = None
        self._rows: list[Mapping[str, Any]] = []  # of the iterations since the last command

    def do(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """One command; the answer."""
        if "open" in command:
            self.close()
            self._run = self._open(command["open"])
            self._rows.clear()
            tracker = self._run.orchestrator.tracker
            tracker.log = _recorded(tracker.log, self._rows)
            return self._standing(self._run)
        run = self._run
        if run is None:
            raise RuntimeError("no run is open")
        orchestrator = run.orchestrator
        if "train" in command:
            self._rows.clear()
            orchestrator.train(until=orchestrator.iteration + command["train"], save=False)
            rows = [{name: plain(value) for name, value in row.items()} for row in self._rows]
            done = orchestrator.iteration >= orchestrator.num_iterations or orchestrator.is_done
            return {"rows": rows, "done": bool(done)}
        if "save" in command:
            if orchestrator.saved != orchestrator.iteration:
                orchestrator.save()
            return self._standing(run)
        self.close()
        return {}

    def _standing(self, run: OpenRun) -> dict[str, Any]:
        return {"folder": str(run.folder), "iteration": run.orchestrator.iteration}

    def close(self) -> None:
        """Leave the run as its last checkpoint has it."""
        run, self._run = self._run, None
        if run is None:
            return
        orchestrator = run.orchestrator
        orchestrator.progress.close()
        orchestrator.tracker.close(DONE)
        if run.publisher is not None:
            is_over = orchestrator.iteration >= orchestrator.num_iterations
            run.publisher.close(None if is_over else "the search")
        for each in (orchestrator.environment, orchestrator.evaluation[0]):
            if each is not None:
                each.close()
        if self._workers.is_root:
            run_lock.release(run.folder)
        sys.stdout.flush()
