"""A trial as Ray Tune sees it: a small actor that holds the line to the process that trains.

Ray's checkpoint of a trial is a reference to a checkpoint of its run, which stays in the run folder for the whole
search. Restoring one of its own is going back; restoring another trial's, with other settings, is taking over.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ray import tune

from agents.algorithms import SCHEMA
from helpers.checkpoints.manifests import list_checkpoints
from helpers.config.schema import to_flags
from helpers.parallel.launch import mpiexec, on_this_machine
from swarm.backends.children import die_with_parent
from swarm.tune.reported import report_of
from swarm.tune.space import Space
from swarm.tune.trial import run_folder
from swarm.tune.trial.channel import Listener
from swarm.tune.trial.names import run_of
from swarm.tune.trial.run_folder import Reference

REFERENCE = "trial.json"  # in Ray's checkpoint
LOG = "output.log"  # in the run folder
_TAIL = 2000
_SELDOM = 1_000_000  # iterations


class TrialError(Exception):
    """A trial's process died or refused; Ray shows the text."""


class Trial(tune.Trainable):
    """One trial, whichever its settings are."""

    def setup(self, config: dict[str, Any], job: Mapping[str, Any] = MappingProxyType({})) -> None:
        """
        Args:
            config: the dimensions' values.
            job: "folder": of the search, "repository", "space", "workers", "iterations": a report,
                "metric", "mode", "checkpoint_frequency", "stop".
        """
        self._job = job
        self._space: Space = job["space"]
        self._listener: Listener | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._restarts = 0
        self._warm_up = 0.0
        self._begin(config)

    def _begin(self, config: Mapping[str, Any]) -> None:
        self._values = self._space.settle(config)
        search = Path(self._job["folder"])
        self._seed, self._folder = run_of(search, self.trial_id, self._space.first_seed)
        self._name = self._folder.name
        self._reference: Reference | None = None
        self._is_open = False
        self._before: dict[str, Any] | None = None
        self._reports = 0
        self._is_ahead = False  # the process does the next iterations already
        self._pending: dict[str, Any] | None = None  # of iterations that are done and not reported

    # What Ray asks for

    def step(self) -> dict[str, Any]:
        """Some iterations; their report."""
        answer, self._pending = self._pending, None
        if answer is None and self._is_ahead:
            answer = self._collect()
        if answer is None:
            if not self._is_open:
                started = time.monotonic()
                self._open()
                self._warm_up = time.monotonic() - started
            answer = self._ask({"train": self._job["iterations"]})
        if not answer["rows"]:  # it was at its end before it began
            return {**(self._before or {}), "done": True, "report": self._reports}
        found = report_of(
            answer["rows"],
            before=self._before,
            workers=self._job["workers"],
            restarts=self._restarts,
            warm_up=self._warm_up,
            worst=-math.inf if self._job["mode"] == "max" else math.inf,
            awaited=(self._job["metric"], *self._job["stop"]),
        )
        self._reports += 1
        found |= {"report": self._reports, "generation": run_folder.generation_of(self._folder)}
        found["time/clock"] = time.time()
        found |= {f"setting/{name}": each for name, each in self._values.items()}
        self._before = found
        if (
            self._is_open
            and not answer["done"]
            and not self._stops(found)
            and self._listener is not None
        ):
            self._listener.send({"train": self._job["iterations"]})  # while Ray decides
            self._is_ahead = True
        return {**found, "done": answer["done"]}

    def _stops(self, found: Mapping[str, Any]) -> bool:
        """Whether Ray will end the trial after this report, or save it: then nothing is done ahead."""
        number = self.training_iteration + 1
        reached = {**found, "training_iteration": number, "timesteps_total": found["step"]}
        if number % self._job["checkpoint_frequency"] == 0:
            return True
        return any(
            reached.get(name, -math.inf) >= value for name, value in self._job["stop"].items()
        )

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save the run, and refer to its checkpoint."""
        if not self._is_open:
            self._open()
        standing = self._ask({"save": True})
        generation = run_folder.generation_of(self._folder)
        saved = Reference(self.trial_id, str(self._folder), generation, standing["iteration"])
        kept = {"reference": saved.to_json(), "before": self._before, "reports": self._reports}
        kept["pending"] = self._pending  # the checkpoint has these iterations, Ray does not
        (Path(checkpoint_dir) / REFERENCE).write_text(json.dumps(kept), encoding="utf-8")

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        """Continue from there at the next step."""
        kept = json.loads((Path(checkpoint_dir) / REFERENCE).read_text(encoding="utf-8"))
        self._close()
        self._reference = Reference(**kept["reference"])
        self._before = kept["before"]
        own = self._reference.trial == self.trial_id
        self._pending = kept["pending"] if own else None
        self._reports = kept["reports"] if own else self._reports_so_far()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Continue as another trial, or with other settings: the process stays."""
        self._close()
        self._begin(new_config)
        return True

    def cleanup(self) -> None:
        """End the process."""
        self._close()
        self._hang_up()

    # The run

    def _reports_so_far(self) -> int:
        """How many this trial has made, whatever was restored; counted in its folder."""
        try:
            return int(json.loads((self._folder / "reports.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return 0

    def _open(self) -> None:
        """Bring the run folder to where it is to be resumed, and open it."""
        settings = self._space.settings(self._values) | {"seed": self._seed}
        settings |= {
            "uuid": self._name,
            "runs_dir": str(self._folder.parent),
            "keep_checkpoints": 0,
        }
        settings |= {"progress": "plain", "task": "train"}
        settings.setdefault("save_frequency", _SELDOM)  # Ray says when
        config = SCHEMA.resolve(SCHEMA.layer_of(settings)).config
        if self._folder.exists():
            run_folder.tidy(self._folder)
            self._place(config)
        self._ask({"open": to_flags(config, "full")})
        self._is_open = True

    def _place(self, config: Any) -> None:
        folder, wanted = self._folder, self._reference
        if wanted is None:  # from its beginning
            if list_checkpoints(folder / run_folder.CHECKPOINTS):
                wanted = Reference(self.trial_id, str(folder), 0, 0)
            else:
                return
        generation = run_folder.generation_of(folder)
        if wanted.trial == self.trial_id and wanted.generation == generation:
            run_folder.go_back(folder, wanted.iteration)
            return
        taken = run_folder.lineage_of(folder)
        if taken and self._is_taken_over(taken[-1], wanted):
            run_folder.go_back(folder, wanted.iteration)
            return
        saved = SCHEMA.load_config(folder / run_folder.CONFIG)
        keys = [key for each in self._space.dimensions for key in each.keys]
        run_folder.take_over(
            folder,
            wanted,
            config,
            before={key: getattr(saved, key) for key in keys},
            after={key: getattr(config, key) for key in keys},
            trial=self.trial_id,
        )

    def _is_taken_over(self, row: Mapping[str, Any], wanted: Reference) -> bool:
        """Whether the last take-over is the one that is wanted: it was done when the actor died."""
        there = row["donor"], row["donor_generation"], row["iteration"]
        values = {
            key: self._values[each.name] for each in self._space.dimensions for key in each.keys
        }
        return (
            there == (wanted.trial, wanted.generation, wanted.iteration) and row["after"] == values
        )

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            path = self._folder / "reports.json"
            path.write_text(json.dumps(self._reports), encoding="utf-8")
            if self._is_ahead and self._listener is not None:
                self._is_ahead = False
                self._listener.receive()
            if self._listener is not None and self._listener.ask({"close": True}) is None:
                self._hang_up()

    # Its process

    def _ask(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of the process, which is started where it is not there.

        Raises:
            TrialError: it died, or refuses.
        """
        if self._process is None:
            self._start()
        if self._is_ahead:
            self._pending = self._collect()
        return self._checked(self._listener.ask(command) if self._listener is not None else None)

    def _collect(self) -> dict[str, Any]:
        """The answer of the iterations that were done ahead."""
        self._is_ahead = False
        return self._checked(self._listener.receive() if self._listener is not None else None)

    def _checked(self, answer: dict[str, Any] | None) -> dict[str, Any]:
        if answer is None:
            self._restarts += 1
            self._is_open = False
            self._hang_up()
            raise TrialError(f"The process of {self._name} died: {self._last_words()}")
        if "problem" in answer:
            raise TrialError(f"{answer['problem']} {answer['remedy']}")
        return answer

    def _start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._listener = Listener()
        count, repository = self._job["workers"], self._job["repository"]
        launcher = [str(mpiexec()), "-n", str(count)] if count > 1 else []
        command = [
            *launcher,
            sys.executable,
            str(Path(repository) / "tuner.py"),
            "trial",
            self._listener.address,
        ]
        environment = {
            name: each
            for name, each in on_this_machine(os.environ).items()
            if not name.startswith("RAY_")
        }
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        with (Path(self._job["folder"]) / "runs" / LOG).open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=repository,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        while not self._listener.accept():
            if self._process.poll() is not None:
                self._hang_up()
                raise TrialError(f"The process of {self._name} did not start: {self._last_words()}")

    def _last_words(self) -> str:
        path = Path(self._job["folder"]) / "runs" / LOG
        try:
            text = path.read_bytes()[-_TAIL:].decode(errors="replace")
        except OSError:
            return "it left no log"
        lines = [line for line in text.splitlines() if line.strip()]
        messages = [line for line in lines if line.startswith("milozero: ")] or lines
        return f"{messages[-1] if messages else 'without a word'} (log: {path})"

    def _hang_up(self) -> None:
        process, self._process = self._process, None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if process is None:
            return
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
