"""Where a run keeps files by skrl's names: EXPERIMENT_DIRECTORY/EXPERIMENT_NAME, if the user names one of them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from helpers.config.run import RunConfig

DIRECTORY = "runs"  # where only the name is given


def experiment_folder(config: RunConfig, run_folder: Path) -> Path | None:
    """The folder; None where neither setting is given, or nothing is tracked: such files then lie in the run folder.

    The name is by default the time, in UTC, at which the run first began, and what learns, as in
    `22-01-09_22-48-49-816281_DDPG`: a resumed run finds its folder again.

    Args:
        config: a configuration of a run.
        run_folder: holds the run's capsule.json.
    """
    is_named = config.experiment_directory is not None or config.experiment_name is not None
    if not (is_named and config.tracking_interval):
        return None
    directory = Path(config.experiment_directory or DIRECTORY).expanduser()
    return directory / (config.experiment_name or _default_name(config, run_folder))


def wanted_folder(config: RunConfig) -> Path | None:
    """Where a run that has not begun would keep them, as far as its settings say; None where it keeps none."""
    if not config.experiment_directory and not config.experiment_name:
        return None
    wanted = Path(config.experiment_directory or DIRECTORY).expanduser()
    return wanted / (config.experiment_name or "")


def _default_name(config: RunConfig, run_folder: Path) -> str:
    capsule = json.loads((run_folder / "capsule.json").read_text(encoding="utf-8"))
    begun = datetime.fromisoformat(capsule["starts"][0]["time"])
    return f"{begun:%y-%m-%d_%H-%M-%S-%f}_{type(config).__name__.removesuffix('Config')}"


def event_file(run_name: str) -> str:
    """The name of a run's event file in an experiment's folder."""
    return f"events.out.tfevents.milozero.{run_name}"
