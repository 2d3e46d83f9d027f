"""Weights & Biases: a child process follows `metrics.jsonl` and feeds the real client (see `wandb_feeder`).

Nothing here waits for a network but `close`, for 5 s at most once the server is silent.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.config.run import RunConfig
from helpers.data_root import cache_folder, data_root
from helpers.trackers.base import Session
from helpers.trackers.feeder import Feeder, without_secrets
from helpers.trackers.jsonl import Row

LONGEST_ID = 128


class WandbTracker:
    """Starts the feeder and tells it what to upload and when to finish.

    Args:
        run_folder: the run folder; wandb's own files go to its `wandb/`.
        mode: "online" or "offline"; online falls back to offline by itself, saying why.
        run_name: the run's name, and its id as far as wandb takes it.
        group: what runs of other seeds share.
        project, entity: as wandb knows them; None for wandb's own defaults.
        settings: the configuration, shown with the run; keys that sound like secrets are left out.
        continued: whether the run is resumed from a checkpoint.
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
        folder = run_folder / "wandb"
        folder.mkdir(exist_ok=True)
        self._feeder: Feeder | None = None
        if importlib.util.find_spec("wandb") is None:
            say("wandb: not installed, so not used; to have it: pip install wandb")
            return
        environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
        environment["WANDB_ERROR_REPORTING"] = "false"
        environment["WANDB_CACHE_DIR"] = str(folder.resolve() / "cache")
        if data_root() is not None:  # what waits to be uploaded is copied into the home otherwise
            environment.setdefault("WANDB_DATA_DIR", str(cache_folder() / "wandb"))
        self._feeder = Feeder(
            self.name,
            "helpers.trackers.wandb.feeder",
            folder,
            job={
                "run_folder": str(run_folder.resolve()),
                "mode": mode,
                "run_id": run_id(run_name),
                "name": run_name[:LONGEST_ID],
                "group": run_id(group),  # cut alone, two of them could become one
                "project": project,
                "entity": entity,
                "settings": without_secrets(settings),
                "continued": continued,
                "sync_command": f"wandb sync {shlex.quote(str(folder))}/offline-run-*",
            },
            environment=environment,
            say=say,
        )

    def log(self, row: Row) -> None:
        """The feeder reads the row from metrics.jsonl; here only its own words are passed on."""
        if self._feeder is not None:
            self._feeder.listen()

    def upload(self, run_folder: Path, files: Sequence[str]) -> None:
        """Store files and folders of the run folder (checkpoints/best, config.yaml) with the run."""
        if self._feeder is not None:
            self._feeder.send({"upload": list(files)})

    def close(self, exit_code: int) -> None:
        """Finish the run; what a silent server leaves undone is given up after 5 s."""
        if self._feeder is not None:
            self._feeder.close(exit_code)


def run_id(run_name: str) -> str:
    """A valid wandb id for a run's or a group's name: the name itself, unless too long or of other characters."""
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
