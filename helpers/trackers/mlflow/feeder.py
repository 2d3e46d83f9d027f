"""The child process that holds the MLflow client: `python -m helpers.trackers.mlflow.feeder`.

With a run folder as its argument it sends what the server lacks of that run, and ends.

The server says how far it got: of the metric `iteration` it knows the last value, and rows after that are sent, a batch
of whole rows in one transaction. So a server or a feeder that is killed at any moment has each row once.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from helpers.durable import write_atomically
from helpers.errors import BAD_CONFIGURATION, DONE, STOPPED_EARLY, ConfigurationError, UserError
from helpers.trackers.feeder import (
    beat,
    lock,
    new_rows,
    next_command,
    one_line,
    read_commands,
    tell,
)
from helpers.trackers.jsonl import is_number
from helpers.trackers.mlflow.server import (
    answers,
    check_answers,
    experiment_id,
    quiet,
    redacted,
    tracking_uri,
)

JOB_FILE, RUN_FILE = "job.json", "run.json"
FILES = ("config.yaml", "capsule.json", "references.json", "learning_curve.png", "registered.json")
LARGEST_FILE = 2_000_000  # bytes
RETRY_SECONDS = 2.0
SEND_SECONDS = 10.0  # a request costs the same for one row as for twenty
MOST_METRICS, MOST_PARAMS, LONGEST_PARAM = 1000, 100, 6000  # of a request
NICENESS = 19  # training comes first


@dataclass(frozen=True)
class Job:
    """What to feed, as the tracker sends it."""

    run_folder: str
    name: str
    experiment: str
    settings: dict[str, Any]
    tags: dict[str, str]

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.run_folder)


def main(arguments: list[str]) -> int:
    """Feed one run, from its first command to its last; or send what an earlier feeder could not."""
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    quiet()
    if arguments:
        return resend(Path(arguments[0]))
    os.nice(NICENESS)
    sys.stdout = sys.stderr  # the client prints; what is told goes its own way
    job = Job(**json.loads(sys.stdin.readline()))
    finishing = threading.Event()
    commands = read_commands(finishing)
    only_one = lock(job.folder / "mlflow" / "lock")
    if only_one is None:
        tell(say="mlflow: not used, another process still feeds this run")
        return DONE
    with only_one:
        write_atomically(job.folder / "mlflow" / JOB_FILE, json.dumps(asdict(job)))
        server = Server(job)
        beat(finishing, lambda: answers(server.uri))
        while True:
            command = next_command(commands)
            server.send_rows()
            if "upload" in command:
                server.store_files = True
            if "finish" in command:
                server.finish(command["finish"])
                return DONE


def resend(folder: Path) -> int:
    """Bring a run on the server up to its metrics.jsonl, with its small files."""
    try:
        text = (folder / "mlflow" / JOB_FILE).read_text(encoding="utf-8")
        job = Job(**json.loads(text) | {"run_folder": str(folder.resolve())})
    except (OSError, ValueError, TypeError):
        print(f"{folder} is no run folder of a run that used MLflow.\nGive one: data/runs/NAME.")
        return BAD_CONFIGURATION
    try:
        server = Server(job)
    except UserError as error:
        print(f"milozero: {error.problem}\n  remedy: {error.remedy}", file=sys.stderr)
        return error.exit_code
    server.store_files = True
    try:
        check_answers(server.uri)
        server.send_all(DONE)
    except UserError as error:
        print(f"milozero: {error.problem}\n  remedy: {error.remedy}", file=sys.stderr)
        return error.exit_code
    print(f"mlflow: {job.name} is up to date on {redacted(server.uri)}")
    return DONE


class Server:
    """A run as the server has it; nothing is lost where it is away.

    Attributes:
        store_files: whether the run's small files are sent with its end.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.uri = job, tracking_uri()
        self.store_files = False
        self.say = lambda text: tell(say=text)
        self._client: Any = None
        self._run_id = ""
        self._waiting: list[Mapping[str, Any]] = []  # rows that it does not have yet
        self._is_away = False
        self._next_try = 0.0
        self._rows: Iterator[dict[str, Any] | None] = iter(())
        self._must_ask = True  # how far it got

    def send_rows(self) -> bool:
        """Send the rows that there are, if the server answers; whether it has all of them."""
        if time.monotonic() < self._next_try:
            return False
        self._next_try = time.monotonic() + SEND_SECONDS
        return self._try(self._send_rows)

    def finish(self, exit_code: int) -> None:
        """Send what is left, and how the run ended, when the server is there."""
        while not self._try(lambda: self.send_all(exit_code)):
            time.sleep(RETRY_SECONDS)

    def _try(self, action: Any) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            action()
        except (MlflowException, ConfigurationError, OSError) as error:
            if not self._is_away:
                print(f"mlflow: {error}", file=sys.stderr, flush=True)
                self.say(
                    f"mlflow: {redacted(one_line(error))[:100]} ...; rows are sent when {redacted(self.uri)} answers",
                )
            self._is_away, self._must_ask = True, True
            self._next_try = time.monotonic() + RETRY_SECONDS
            return False
        if self._is_away:
            self.say(f"mlflow: {redacted(self.uri)} answers again")
        self._is_away = False
        return True

    def _send_rows(self) -> None:
        if self._must_ask:
            self._open()
        for new in self._rows:
            if new is None:
                break
            self._waiting.append(new)
        batch: list[Mapping[str, Any]] = []
        count = 0
        for row in self._waiting:
            if count + len(row) > MOST_METRICS:
                self._log(batch)
                batch, count = [], 0
            batch.append(row)
            count += len(row)
        self._log(batch)
        self._waiting = []

    def _log(self, rows: list[Mapping[str, Any]]) -> None:
        """Send whole rows, in one transaction."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(name, float(value), now, int(row["step"]))
            for row in rows
            for name, value in row.items()
            if is_number(value)
        ]
        if metrics:
            self._client.log_batch(self._run_id, metrics=metrics)

    def _open(self) -> None:
        """Find or make the run, and forget the rows that it has."""
        import mlflow

        if not answers(self.uri):
            raise OSError(f"{redacted(self.uri)} does not answer")
        self._client = self._client or mlflow.MlflowClient(self.uri)
        known = self._known_run()
        if known is None:
            known = self._new_run()
            self.say(f"mlflow: run {known.info.run_id} on {redacted(self.uri)}")
        self._run_id = known.info.run_id
        if known.info.status != "RUNNING":
            self._client.update_run(self._run_id, status="RUNNING")
        reached = known.data.metrics.get("iteration", -1)
        path = self.job.folder / "metrics.jsonl"
        rows = new_rows(path)
        self._rows = (row for row in rows if row is None or row["iteration"] > reached)
        self._waiting = []
        self._must_ask = False

    def _known_run(self) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            text = (self.job.folder / "mlflow" / RUN_FILE).read_text(encoding="utf-8")
            found = self._client.get_run(json.loads(text)["run_id"])
        except (OSError, ValueError, LookupError):
            return None
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # of another server
                return None
            raise
        return found if found.info.lifecycle_stage == "active" else None

    def _new_run(self) -> Any:
        from mlflow.entities import Param

        where = experiment_id(self._client, self.job.experiment, uri=self.uri)
        made = self._client.create_run(
            where,
            run_name=self.job.name,
            tags=self.job.tags | {"milozero.run": self.job.name, **self._origin()},
        )
        values = {name: str(value)[:LONGEST_PARAM] for name, value in self.job.settings.items()}
        params = [Param(name, value) for name, value in sorted(values.items())]
        for first in range(0, len(params), MOST_PARAMS):
            self._client.log_batch(made.info.run_id, params=params[first : first + MOST_PARAMS])
        content = {"run_id": made.info.run_id, "experiment_id": where, "uri": redacted(self.uri)}
        write_atomically(self.job.folder / "mlflow" / RUN_FILE, json.dumps(content) + "\n")
        return made

    def _origin(self) -> dict[str, str]:
        try:
            capsule = json.loads((self.job.folder / "capsule.json").read_text(encoding="utf-8"))
            return {"commit": str(capsule["starts"][-1]["commit"])}
        except (OSError, ValueError, LookupError, TypeError):
            return {}

    def send_all(self, exit_code: int) -> None:
        """Send what the server lacks: rows, small files, and how the run ended."""
        self._send_rows()
        for name in FILES if self.store_files else ():
            path = self.job.folder / name
            if path.is_file() and path.stat().st_size <= LARGEST_FILE:
                self._client.log_artifact(self._run_id, str(path))
        status = {DONE: "FINISHED", STOPPED_EARLY: "KILLED"}.get(exit_code, "FAILED")
        self._client.set_terminated(self._run_id, status)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # not through the client's exit hooks: what they would wait for is done
