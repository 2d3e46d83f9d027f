"""MLflow: a child process follows `metrics.jsonl` and sends it to the server of MLFLOW_TRACKING_URI.

One run of ours is one run of MLflow, however often it is stopped and resumed. Where the server is away, training goes
on, and the rows are sent when it is back.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from helpers.config.run import RunConfig
from helpers.trackers.base import Session
from helpers.trackers.feeder import Feeder, without_secrets
from helpers.trackers.jsonl import Row
from helpers.trackers.mlflow.server import experiment_name, tracking_uri

FOLDER = "mlflow"  # in the run folder


class MlflowTracker:
    """Starts the feeder, and tells it what to store and when to finish."""

    name = "mlflow"

    def __init__(self, config: RunConfig, session: Session) -> None:
        folder = session.run_folder / FOLDER
        folder.mkdir(exist_ok=True)
        self._feeder = Feeder(
            self.name,
            "helpers.trackers.mlflow.feeder",
            folder,
            job={
                "run_folder": str(session.run_folder.resolve()),
                "name": session.run_name,
                "experiment": experiment_name(config),
                "settings": without_secrets(config.model_dump()),
                "tags": {
                    "group": session.group,
                    "seed": str(config.seed),
                    "env_id": config.env_id,
                    "algo": config.algo,
                },
            },
            environment=os.environ | {"OMP_NUM_THREADS": "1"},
            say=session.print,
        )

    def log(self, row: Row) -> None:
        """The feeder reads the row from metrics.jsonl; here only its own words are passed on."""
        self._feeder.listen()

    def upload(self, run_folder: Path, files: Sequence[str]) -> None:
        """Store small files of the run folder with the run; checkpoints stay."""
        self._feeder.send({"upload": True})

    def close(self, exit_code: int) -> None:
        """Finish the run; what a silent server leaves undone is given up after 5 s."""
        self._feeder.close(exit_code)


def make_tracker(config: RunConfig, session: Session) -> MlflowTracker | None:
    """The feeder of MLflow, with --mlflow."""
    if not config.mlflow:
        return None
    tracking_uri()
    return MlflowTracker(config, session)
