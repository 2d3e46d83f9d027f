"""A search in MLflow: one parent run, a child run for each trial; each report once, however often something dies.

A thread follows the `result.json` that Ray writes for each trial and sends what the server lacks; how far it got, the
server itself says (metric `report`). Parameters are written once, at a trial's first report; what PBT changes later is
a metric `setting/NAME` and a tag. (Ray's own callback writes parameters again and crashes, and leaves checkpoints out.)
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.durable import write_atomically
from helpers.trackers.feeder import without_secrets
from helpers.trackers.jsonl import is_number
from helpers.trackers.mlflow.server import experiment_id, quiet
from swarm.tune.trial.run_folder import lineage_of

FILE = "mlflow.json"  # in the folder of the search: which runs are whose
PARENT, NAME = "mlflow.parentRunId", "mlflow.runName"
RESULTS = "result.json"
SEND_SECONDS = 2.0
CLOSE_SECONDS = 30.0
_MOST = 1000  # metrics of a request
_FINISHED = {"TERMINATED": "FINISHED", "ERROR": "FAILED"}


class MlflowTree:
    """Sends a search to MLflow, beside the search.

    Args:
        uri: of the server.
        folder: of the search.
        name: of the search, and of the parent run.
        experiment: of MLflow.
        params: of the parent run.
        say: prints a line for the user.
    """

    def __init__(
        self,
        uri: str,
        folder: Path,
        *,
        name: str,
        experiment: str,
        params: Mapping[str, Any],
        say: Any = print,
    ) -> None:
        quiet()
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        self.uri, self.folder, self.name, self.experiment = uri, folder, name, experiment
        self.trials: dict[str, Trial] = {}
        self._params, self._say = params, say
        self._ended: str | None = None
        self._closing = threading.Event()
        self._is_away = False
        self._progress = 0.0  # when the server last took something
        self._client: Any = None
        try:
            self.runs = json.loads((folder / FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            self.runs = {"uri": uri, "parent": None, "trials": {}}
        self._thread = threading.Thread(target=self._follow, daemon=True, name="mlflow")

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def add(
        self,
        trial_id: str,
        *,
        name: str,
        results: Path,
        run: Path,
        config: Mapping[str, Any],
    ) -> None:
        """A trial that has begun, or is resumed.

        Args:
            trial_id: Ray's.
            name: of its run.
            results: the folder that Ray writes its results into.
            run: its run folder.
            config: its settings at the start.
        """
        if trial_id not in self.trials:
            self.trials[trial_id] = Trial(name, results, run, dict(config))

    def end(self, trial_id: str, status: str) -> None:
        """How a trial stands, by Ray's word: one that has ended is finished."""
        if trial_id in self.trials:
            self.trials[trial_id].status = _FINISHED.get(status)

    def close(self, *, finished: bool) -> bool:
        """Send the rest, and end the runs; whether all of it is there."""
        self._ended = "FINISHED" if finished else "KILLED"
        self._closing.set()
        self._progress = time.monotonic()
        while self._thread.is_alive() and time.monotonic() - self._progress < CLOSE_SECONDS:
            self._thread.join(0.2)
        sent = not self._thread.is_alive() and not self._is_away
        if not sent:
            self._say("mlflow: the server is silent; the same command again sends what it lacks")
        return sent

    # In the thread

    def _follow(self) -> None:
        while True:
            last = self._closing.wait(SEND_SECONDS)
            until = time.monotonic() + CLOSE_SECONDS / 2
            while True:
                done = self._attempt(last=last)
                if done or not last or time.monotonic() > until:
                    break
                time.sleep(0.5)
            if last:
                return

    def _attempt(self, *, last: bool) -> bool:
        try:
            self._send()
            if last:
                self._finish()
        except Exception as error:  # noqa: BLE001  # the search continues whatever it is
            for trial in self.trials.values():
                trial.sent = None  # the server is asked again
            if not self._is_away:
                text = " ".join(str(error).split())[:160]
                self._say(
                    f"mlflow: does not answer ({text}); the search continues, and sends later",
                )
            self._is_away = True
            return False
        if self._is_away:
            self._say("mlflow: answers again")
        self._is_away = False
        return True

    def _send(self) -> None:
        if self._client is None:
            from mlflow import MlflowClient

            for name in ("mlflow", "alembic"):
                logging.getLogger(name).setLevel(logging.WARNING)
            self._client = MlflowClient(self.uri)
        client = self._client
        if self.runs["parent"] is None:
            experiment = experiment_id(client, self.experiment, uri=self.uri)
            made = client.create_run(
                experiment,
                run_name=self.name,
                tags={"milozero.search": self.name},
            )
            self.runs |= {"parent": made.info.run_id, "experiment": experiment}
            self._save()
            for key, value in self._params.items():
                client.log_param(made.info.run_id, key, str(value)[:6000])
        for trial_id, trial in list(self.trials.items()):
            self._send_trial(client, trial_id, trial)

    def _save(self) -> None:
        write_atomically(self.folder / FILE, json.dumps(self.runs, indent=1) + "\n")

    def _send_trial(self, client: Any, trial_id: str, trial: Trial) -> None:
        from mlflow.entities import Metric, Param, RunTag

        run_id = self.runs["trials"].get(trial_id)
        if run_id is None:
            run_id = self._find_or_make(client, trial_id, trial)
            params = [
                Param(key, str(value)[:6000])
                for key, value in without_secrets(trial.config).items()
            ]
            for at in range(0, len(params), 100):
                client.log_batch(run_id, params=params[at : at + 100])
            self.runs["trials"][trial_id] = run_id
            self._save()
        if trial.sent is None:
            run = client.get_run(run_id)
            trial.sent = int(run.data.metrics.get("report", 0))
            trial.is_finished = run.info.status == trial.status  # an earlier session came so far
        batch: list[Metric] = []
        results = trial.new_results()
        for index, result in enumerate(results):
            step, when = int(result.get("timesteps_total") or 0), int(result["timestamp"]) * 1000
            batch += [Metric(key, value, when, step) for key, value in _metrics_of(result).items()]
            if (
                index + 1 == len(results) or len(batch) + len(result) > _MOST
            ):  # whole reports, in one transaction
                client.log_batch(run_id, metrics=batch)
                trial.sent, batch = int(result["report"]), []
                self._progress = time.monotonic()
        taken = lineage_of(trial.run)
        if len(taken) > trial.generations:
            row = taken[-1]
            tags = {
                "donor": row["donor"],
                "generation": row["generation"],
                "exploit_iteration": row["iteration"],
            }
            tags |= {f"setting.{key}": each for key, each in row["after"].items()}
            client.log_batch(run_id, tags=[RunTag(key, str(each)) for key, each in tags.items()])
            trial.generations = len(taken)
        if trial.status is not None and not trial.is_finished:
            self._finish_trial(client, run_id, trial, trial.status)

    def _finish_trial(self, client: Any, run_id: str, trial: Trial, status: str) -> None:
        """Store the files of a trial, and end its run."""
        for path, place in trial.files():
            client.log_artifact(run_id, str(path), place)
            self._progress = time.monotonic()
        if trial.best:
            client.set_tag(run_id, "best_checkpoint", trial.best)
        client.set_terminated(run_id, status)
        trial.is_finished = True

    def _find_or_make(self, client: Any, trial_id: str, trial: Trial) -> str:
        """The child of a trial: one that was made just before the search died is taken."""
        where = f"tags.trial_name = '{trial_id}' and tags.`{PARENT}` = '{self.runs['parent']}'"
        found = client.search_runs([self.runs["experiment"]], where)
        if found:
            return str(found[0].info.run_id)
        tags = {PARENT: self.runs["parent"], NAME: trial.name, "trial_name": trial_id}
        made = client.create_run(self.runs["experiment"], run_name=trial.name, tags=tags)
        return str(made.info.run_id)

    def _finish(self) -> None:
        client = self._client
        for trial_id, trial in self.trials.items():
            if not trial.is_finished:
                self._finish_trial(client, self.runs["trials"][trial_id], trial, str(self._ended))
        client.set_terminated(self.runs["parent"], self._ended)


class Trial:
    """What is to be sent of a trial."""

    def __init__(self, name: str, results: Path, run: Path, config: dict[str, Any]) -> None:
        self.name, self.results, self.run, self.config = name, results, run, config
        self.status: str | None = None
        self.sent: int | None = None  # the last report that the server has
        self.generations = 0
        self.is_finished = False
        self._at = 0
        self._waiting: list[dict[str, Any]] = []

    def new_results(self) -> list[dict[str, Any]]:
        """Reports that the server lacks, each once."""
        with contextlib.suppress(FileNotFoundError):
            with (self.results / RESULTS).open("rb") as file:
                file.seek(self._at)
                for line in file.read().splitlines(keepends=True):
                    if line.endswith(b"\n"):
                        self._at += len(line)
                        with contextlib.suppress(ValueError):
                            self._waiting.append(json.loads(line))
        found: list[dict[str, Any]] = []
        last = self.sent or 0
        for result in self._waiting:
            if result.get("report", 0) > last:
                last = result["report"]
                found.append(result)
        self._waiting = found if found else []
        return found

    @property
    def best(self) -> str | None:
        """The artifact that is the best checkpoint: by evaluation, where there was one, else the latest."""
        checkpoints = self.run / "checkpoints"
        links = [checkpoints / link for link in ("best", "latest") if (checkpoints / link).exists()]
        return _place(links[0].resolve().name) if links else None

    def files(self) -> list[tuple[Path, str | None]]:
        """(file, folder among the artifacts): tables, and the best and the latest checkpoint as small run folders."""
        found: list[tuple[Path, str | None]] = []
        for name in ("params.json", "progress.csv", RESULTS):
            if (self.results / name).exists():
                found.append((self.results / name, None))
        if (self.run / "lineage.jsonl").exists():
            found.append((self.run / "lineage.jsonl", None))
        checkpoints = self.run / "checkpoints"
        for link in ("best", "latest"):
            if not (checkpoints / link).exists():
                continue
            target = (checkpoints / link).resolve()
            place = _place(target.name)
            if any(where is not None and where.startswith(place) for _, where in found):
                continue
            found += [(self.run / name, place) for name in ("config.yaml", "capsule.json")]
            inside = f"{place}/checkpoints/{target.name}"
            found += [(path, inside) for path in sorted(target.iterdir())]
        return found


def _place(checkpoint: str) -> str:
    """The artifact of a checkpoint's folder."""
    return f"checkpoint_{int(checkpoint.removeprefix('iter_')):06d}"


def _metrics_of(result: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a report, under MLflow's rules for names."""
    flat = {name: float(value) for name, value in result.items() if is_number(value)}
    return {name.replace("(", "").replace(")", ""): value for name, value in flat.items()}
