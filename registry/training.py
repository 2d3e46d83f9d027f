"""What a training does about the model registry: it checks at its start, and registers at its end.

Registering is a process of its own: nothing that a client of a server does can cost the run.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from helpers.config.run import RunConfig
from helpers.trackers.mlflow.server import experiment_name, tracking_uri
from registry.manager.names import check_name, check_tags
from registry.models_file import models_of_run, read_models_file
from registry.service import endpoints

REGISTERED = "registered.json"  # in a run folder, of registry/registration.py
REPOSITORY = Path(__file__).resolve().parents[1]
LONGEST_SECONDS = 600.0
_WORKERS = (
    "PMI_",
    "PMIX_",
    "OMPI_",
    "HYDRA_",
    "MPI_",
    "MPIR_",
)  # variables of a worker: the child is none


def registers(config: RunConfig, *, run_name: str) -> bool:
    """Whether a run registers its models when it ends; what cannot work is refused.

    Raises:
        ConfigurationError: of the file of models, or of MLFLOW_TRACKING_URI.
    """
    if config.mlflow:
        tracking_uri()
    if config.model_manager is None and not config.register_models:
        return False
    file = read_models_file(config.model_manager or config.algo)
    for info in models_of_run(file, config, run_name=run_name).values():
        check_name(info.model_name)
        check_tags(info.tags)
    wanted = not file.disabled if config.register_models is None else config.register_models
    if wanted:
        tracking_uri()
    return wanted


def check_endpoint(config: RunConfig) -> None:
    """Refuse an address of a registry service that is none.

    Raises:
        ConfigurationError: it is none.
    """
    text = config.registry_endpoint
    if text and endpoints.parse_discovery(text) is None:
        endpoints.parse(text)


def register_finished(
    config: RunConfig,
    folder: Path,
    *,
    iteration: int,
    say: Callable[[str], None],
) -> None:
    """Register the models of a run that has ended, once; where that fails, say how to do it later."""
    if _registered_iteration(folder) == iteration:
        say(f"registered already: {folder / REGISTERED}")
        return
    words = [
        f"model_manager={config.model_manager or config.algo}",
        f"checkpoint_path={folder}",
        *_run_words(config, folder),
    ]
    command = [sys.executable, "-m", "registry", "register", *words]
    problem = ""
    try:
        done = subprocess.run(
            command,
            env=clean_environment() | {"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    else:
        for line in done.stdout.splitlines():
            say(line)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
            problem = next((each for each in lines if each.startswith("milozero:")), lines[-1])
    if problem:
        say(f"warning: the models are not registered: {problem.removeprefix('milozero: ')}")
        say(f"         later: python -m registry register {shlex.join(words)}")


def clean_environment() -> dict[str, str]:
    """The environment of a child that is no worker."""
    return {name: each for name, each in os.environ.items() if not name.startswith(_WORKERS)}


def _run_words(config: RunConfig, folder: Path) -> list[str]:
    """The MLflow run: that of the tracker, else a new one in the experiment of exp_name."""
    try:
        known = json.loads((folder / "mlflow" / "run.json").read_text(encoding="utf-8"))
        if config.mlflow:
            return [f"run.id={known['run_id']}"]
    except (OSError, ValueError, LookupError, TypeError):
        pass  # it has none
    return [f"experiment.name={experiment_name(config)}", f"run.name={folder.name}"]


def _registered_iteration(folder: Path) -> int | None:
    try:
        content = json.loads((folder / REGISTERED).read_text(encoding="utf-8"))
        return int(content["iteration"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
