"""Weights & Biases: a child process follows `metrics.jsonl` and feeds the real client (see `wandb_feeder`).

Nothing here waits for a network but `close`, for 5 s at most once the server is silent.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.config.run import RunConfig
from helpers.trackers.base import Session
from helpers.trackers.jsonl import Row

SILENCE_SECONDS = 5.0  # how long `close` waits for a server that does not answer
UPLOAD_SECONDS = 60.0  # how long `close` waits for one that does
LONGEST_ID = 128
SECRET = re.compile(r"(api_?key|token|password|secret)", re.IGNORECASE)
REPOSITORY = Path(__file__).resolve().parents[2]


class WandbTracker:
    """Starts the feeder and tells it what to upload and when to finish.

    Args:
        run_folder: the run folder; wandb's own files go to its `wandb/`.
        mode: "online" or "offline"; online falls back to offline by itself, saying why.
        run_name: the run's name, and its id as far as wandb takes it.
        group: what runs of other seeds share.
        project, entity: as wandb knows them; None for wandb's own defaults.
        settings: the configuration, shown with the run; keys that sound like secrets are left out.
        continued: whether the run goes on from a checkpoint.
        say: prints a line for the user.

    Raises:
        OSError: the feeder cannot be started.
    """

    name = "wandb"

    def __init__(
        self,
        run_folder: Path,
        *,
        mode: str,
        run_name: str,
        group: str,
        project: str | None,
        entity: str | None,
        settings: Mapping[str, Any],
        continued: bool,
        say: Callable[[str], None],
    ) -> None:
        self._say = say
        self._folder = run_folder / "wandb"
        self._folder.mkdir(exist_ok=True)
        self._feeder: subprocess.Popen[bytes] | None = None
        self._unread = b""
        if importlib.util.find_spec("wandb") is None:
            say("wandb: not installed, so not used; to have it: pip install wandb")
            return
        self._sync_command = f"wandb sync {shlex.quote(str(self._folder))}/offline-run-*"
        self._feeder = self._start()
        self._send(
            {
                "run_folder": str(run_folder.resolve()),
                "mode": mode,
                "run_id": run_id(run_name),
                "name": run_name[:LONGEST_ID],
                "group": group[:LONGEST_ID],
                "project": project,
                "entity": entity,
                "settings": {k: v for k, v in settings.items() if not SECRET.search(k)},
                "continued": continued,
                "sync_command": self._sync_command,
            },
        )

    def log(self, row: Row) -> None:
        """The feeder reads the row from metrics.jsonl; here only its own words are passed on."""
        for _ in self._messages(0.0):
            pass
        self._check()

    def upload(self, run_folder: Path, files: Sequence[str]) -> None:
        """Store files and folders of the run folder (checkpoints/best, config.yaml) with the run."""
        self._send({"upload": list(files)})

    def close(self, exit_code: int) -> None:
        """Finish the run; what a silent server leaves undone is given up after 5 s."""
        if self._feeder is None:
            return
        self._send({"finish": exit_code})
        end = time.monotonic() + UPLOAD_SECONDS
        patience = time.monotonic() + SILENCE_SECONDS
        while self._feeder.poll() is None and time.monotonic() < min(end, patience):
            for message in self._messages(0.1):
                if "alive" in message:
                    patience = time.monotonic() + SILENCE_SECONDS
        for _ in self._messages(0.0):
            pass
        if self._feeder.poll() is None:
            self._feeder.kill()
            self._feeder.wait()
            self._say(
                "wandb: the server is silent, given up; to send what it lacks: "
                f"python -m helpers.trackers.wandb_feeder {shlex.quote(str(self._folder.parent))}",
            )
        else:
            self._check()
        self._drop()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
        environment["WANDB_ERROR_REPORTING"] = "false"
        environment["WANDB_CACHE_DIR"] = str(self._folder.resolve() / "cache")
        with (self._folder / "feeder.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "helpers.trackers.wandb_feeder"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=REPOSITORY,
                env=environment,
                start_new_session=True,  # the terminal's Ctrl-C is for the run, which then finishes this
            )

    def _send(self, command: Mapping[str, Any]) -> None:
        if self._feeder is None or self._feeder.stdin is None:
            return
        try:
            self._feeder.stdin.write(json.dumps(command).encode() + b"\n")
            self._feeder.stdin.flush()
        except BrokenPipeError:
            self._check()

    def _messages(self, timeout: float) -> Iterator[Mapping[str, Any]]:
        """What the feeder wrote within so many seconds; its words for the user are said."""
        if self._feeder is None or self._feeder.stdout is None:
            return
        output = self._feeder.stdout.fileno()
        while select.select([output], [], [], timeout)[0]:
            data = os.read(output, 65536)
            *lines, self._unread = (self._unread + data).split(b"\n")
            for message in map(json.loads, lines):
                if "say" in message:
                    self._say(message["say"])
                yield message
            if not data:
                return
            timeout = 0.0

    def _check(self) -> None:
        """Say once that the feeder failed; the run goes on without it."""
        if self._feeder is not None and self._feeder.poll() not in (None, 0):
            self._say(
                f"wandb: stopped, the run continues without it; see {self._folder}/feeder.log",
            )
            self._drop()

    def _drop(self) -> None:
        if self._feeder is not None:
            for pipe in (self._feeder.stdin, self._feeder.stdout):
                if pipe is not None:
                    pipe.close()
        self._feeder = None


def run_id(run_name: str) -> str:
    """A valid wandb id for a run's name: the name itself, unless too long or of other characters."""
    if len(run_name) <= LONGEST_ID and re.fullmatch(r"[\w.=+@-]+", run_name, re.ASCII):
        return run_name
    digest = hashlib.sha256(run_name.encode()).hexdigest()[:12]
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '_', run_name)[: LONGEST_ID - 13]}-{digest}"


def make_tracker(config: RunConfig, session: Session) -> WandbTracker | None:
    """The feeder of Weights & Biases, unless it is disabled."""
    mode = mode_of(config)
    if mode == "disabled":
        return None
    return WandbTracker(
        session.run_folder,
        mode=mode,
        run_name=session.run_name,
        group=session.group,
        project=config.wandb_project,
        entity=config.wandb_entity,
        settings=config.model_dump(),
        continued=session.resume_step is not None,
        say=session.print,
    )


def mode_of(config: RunConfig) -> str:
    """The wanted mode; where it is not set, online if a project or an entity is named."""
    if config.wandb_mode is not None:
        return config.wandb_mode
    return "online" if config.wandb_project or config.wandb_entity else "disabled"
