"""Where a run keeps files by skrl's names: EXPERIMENT_DIRECTORY/EXPERIMENT_NAME, if the user names one of them."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path

from helpers.config.run import RunConfig
from helpers.errors import StorageError

DIRECTORY = "runs"  # where only the name is given


def experiment_folder(config: RunConfig, run_folder: Path) -> Path | None:
    """The folder; None where neither setting is given, or nothing is tracked: such files then lie in the run folder.

    The name is by default the time, in UTC, at which the run first began, and what learns, as in
    `22-01-09_22-48-49-816281_DDPG`: a run that goes on finds its folder again.

    Args:
        config: a configuration of a run.
        run_folder: holds the run's capsule.json.
    """
    is_named = config.experiment_directory is not None or config.experiment_name is not None
    if not (is_named and config.tracking_interval):
        return None
    directory = Path(config.experiment_directory or DIRECTORY).expanduser()
    return directory / (config.experiment_name or _default_name(config, run_folder))


def check_folder(config: RunConfig) -> None:
    """Refuse an experiment's folder that cannot be written, before hours of work; nothing is made.

    Raises:
        StorageError: a file is in its way, or the nearest folder that is there may not be written.
    """
    if config.experiment_directory is None and config.experiment_name is None:
        return
    wanted = Path(config.experiment_directory or DIRECTORY).expanduser()
    wanted = wanted / (config.experiment_name or "")
    there = next(path for path in (wanted, *wanted.absolute().parents) if path.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return
    why = "may not be written" if there.is_dir() else "is a file"
    raise StorageError(
        f"The metrics cannot be written to {wanted}: {there} {why}.",
        "Give another --experiment_directory or --experiment_name, or mend its permissions.",
    )


def _default_name(config: RunConfig, run_folder: Path) -> str:
    capsule = json.loads((run_folder / "capsule.json").read_text(encoding="utf-8"))
    begun = datetime.fromisoformat(capsule["starts"][0]["time"])
    return f"{begun:%y-%m-%d_%H-%M-%S-%f}_{type(config).__name__.removesuffix('Config')}"


def event_file(run_name: str) -> str:
    """The name of a run's event file in an experiment's folder."""
    return f"events.out.tfevents.milozero.{run_name}"
