"""Where a run keeps files by skrl's names: EXPERIMENT_DIRECTORY/EXPERIMENT_NAME, if the user names one of them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

DIRECTORY = "runs"  # where only the name is given


def experiment_folder(config: Any, run_folder: Path) -> Path | None:
    """The folder; None where neither setting is given: then such files lie in the run folder.

    The name is by default the time, in UTC, at which the run first began, and what learns, as in
    `22-01-09_22-48-49-816281_DDPG`: a run that goes on finds its folder again.

    Args:
        config: a configuration of a run.
        run_folder: holds the run's capsule.json.
    """
    if config.experiment_directory is None and config.experiment_name is None:
        return None
    directory = Path(config.experiment_directory or DIRECTORY).expanduser()
    return directory / (config.experiment_name or _default_name(config, run_folder))


def _default_name(config: Any, run_folder: Path) -> str:
    capsule = json.loads((run_folder / "capsule.json").read_text(encoding="utf-8"))
    begun = datetime.fromisoformat(capsule["starts"][0]["time"])
    return f"{begun:%y-%m-%d_%H-%M-%S-%f}_{type(config).__name__.removesuffix('Config')}"
