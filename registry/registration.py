"""Registering the models of a checkpoint in MLflow: packaged, logged under a run, made versions."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.algorithms import SCHEMA
from helpers.checkpoints.policy_files import POLICIES
from helpers.checkpoints.resolve import resolve_checkpoint
from helpers.config.run import RunConfig
from helpers.config.schema import identity_of
from helpers.durable import write_atomically
from helpers.errors import ConfigurationError, UserError
from helpers.run_folder.experiment import CONFIG_FILE
from helpers.trackers.mlflow.server import experiment_id, experiment_name
from registry.manager.calls import NotThereError, refusals
from registry.manager.changelog import check_text
from registry.manager.names import check_name, check_tags
from registry.model_manager import METRIC, MlflowModelManager
from registry.models_file import (
    ModelInfo,
    ModelsFile,
    models_of_run,
    read_models_file,
)
from registry.package.contract import PACKAGES, read_contract
from registry.package.export import export_checkpoint, write_model
from registry.training import REGISTERED

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

_CHECKPOINT, _MODEL = "milozero.checkpoint", "milozero.model"
_PYFUNC = Path(__file__).with_name("pyfunc_model.py")


@dataclass(frozen=True)
class RunChoice:
    """The MLflow run that models are logged under.

    With `run_id`, that run; else a new run, in the experiment `experiment_id`; else in the experiment of
    `experiment_name`, which is made where it is missing.
    """

    run_id: str | None = None
    run_name: str | None = None
    experiment_id: str | None = None
    experiment_name: str | None = None


def register_checkpoint(
    models_file: str | None,
    path: Path,
    *,
    iter_num: str = "latest",
    choice: RunChoice,
    uri: str | None = None,
    print: Callable[[str], None] = print,
) -> dict[str, ModelVersion]:
    """Register the models of a checkpoint; the versions by the models' names in the agent.

    A model of this checkpoint that is registered under its name already is not registered again.

    Args:
        models_file: which models: ppo for tasks/models/ppo.yaml, or a path; None: the algorithm's own.
        path: a run folder, its checkpoints folder or a checkpoint.
        iter_num: which one, of a run folder.
        choice: the MLflow run.
        uri: of MLflow; unset: MLFLOW_TRACKING_URI.
        print: prints a line for the user.

    Raises:
        ConfigurationError: the file does not fit the run, or MLflow refuses or does not answer.
        CheckpointError: there is no such checkpoint, or it cannot be trusted.
    """
    checkpoint = resolve_checkpoint(path, iter_num).resolve()
    run = checkpoint.parent.parent
    config: RunConfig = SCHEMA.load_config(run / CONFIG_FILE)
    file: ModelsFile = read_models_file(models_file or config.algo)
    models = models_of_run(file, config, run_name=run.name)
    if not models:
        raise ConfigurationError(
            f"{file.path} names no models.",
            "Name one below models, as tasks/models/ppo.yaml does.",
        )
    for info in models.values():
        check_name(info.model_name)
        check_text(info.description)
        check_tags(info.tags)
    manager = MlflowModelManager(uri, print=print)
    with tempfile.TemporaryDirectory() as scratch:
        print("the policy is evaluated and packaged ...")
        package = _package_of(config, run, checkpoint, print)
        contract = read_contract(package)
        done = _registered(manager, models, contract)
        folders = {
            key: package if key in POLICIES else _folder_of(scratch, key, run, checkpoint, config)
            for key in models
            if key not in done
        }
        made = _register(manager, folders, models, choice, config, run, contract, done)
    _note(run, contract, made)
    return made


def _folder_of(scratch: str, key: str, run: Path, checkpoint: Path, config: RunConfig) -> Path:
    return write_model(Path(scratch) / key, key, config, run, checkpoint)


def _package_of(config: RunConfig, run: Path, checkpoint: Path, say: Callable[[str], None]) -> Path:
    """The run's package of a checkpoint, written where it is missing."""
    package = run / PACKAGES / checkpoint.name
    if not package.exists():
        made = config.model_copy(update={"task": "export", "num_trajs": 10, "deterministic": True})
        export_checkpoint(made, run, checkpoint)
        say(f"package: {package}")
    return package


def _registered(
    manager: MlflowModelManager,
    models: Mapping[str, ModelInfo],
    contract: Mapping[str, Any],
) -> dict[str, ModelVersion]:
    """Versions that are there already of this checkpoint."""
    found = {}
    for key, info in models.items():
        try:
            versions = manager.versions(info.model_name)
        except NotThereError:
            continue
        for each in versions:
            mine = contract["policy"]["sha256"], key
            if (each.tags.get(_CHECKPOINT), each.tags.get(_MODEL)) == mine:
                found[key] = each
    return found


def _register(
    manager: MlflowModelManager,
    folders: Mapping[str, Path],
    models: Mapping[str, ModelInfo],
    choice: RunChoice,
    config: RunConfig,
    run: Path,
    contract: Mapping[str, Any],
    done: dict[str, ModelVersion],
) -> dict[str, ModelVersion]:
    """Log all models first, then make versions of them; where one fails, none stays."""
    import mlflow

    made: dict[str, ModelVersion] = dict(done)
    with refusals(manager.uri):
        run_id = _run_id(manager, choice, config, run) if folders else ""
        places = {}
        if run_id:
            with mlflow.start_run(run_id=run_id) if not mlflow.active_run() else nullcontext():
                for key, folder in folders.items():
                    places[key] = _log(key, folder)
            value = float(contract["evaluation"]["return_mean"])
            manager.client.log_metric(run_id, METRIC, value, step=0)
            settings = json.dumps(identity_of(config), indent=1)
            manager.client.log_text(run_id, settings, "config.json")
    new: list[ModelVersion] = []
    origin = {
        "algo": config.algo,
        "env_id": config.env_id,
        "seed": str(config.seed),
        "run_name": run.name,
        "commit": str(contract["run"]["commit"]),
        "return_mean": f"{contract['evaluation']['return_mean']:.4f}",
        _CHECKPOINT: contract["policy"]["sha256"],
    }
    try:
        for key, place in places.items():
            info = models[key]
            tags = origin | {_MODEL: key} | dict(info.tags)
            made[key] = manager.register_model(place, info.model_name, info.description, tags)
            new.append(made[key])
    except UserError:
        for each in new:
            with refusals(manager.uri):
                manager.client.delete_model_version(each.name, str(each.version))
        raise
    return made


def _run_id(
    manager: MlflowModelManager,
    choice: RunChoice,
    config: RunConfig,
    run: Path,
) -> str:
    client = manager.client
    if choice.run_id is not None:
        return str(client.get_run(choice.run_id).info.run_id)
    if choice.experiment_id is not None:
        where = str(client.get_experiment(choice.experiment_id).experiment_id)
    else:
        name = experiment_name(config)
        given = choice.experiment_name or f"{name}_{datetime.now():%Y-%m-%d_%H-%M-%S}"
        where = experiment_id(client, given, uri=manager.uri)
    run_name = choice.run_name or f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{experiment_name(config)}"
    made = client.create_run(where, run_name=run_name, tags={"milozero.run": run.name})
    return str(made.info.run_id)


def _log(key: str, folder: Path) -> str:
    """Log a package as an MLflow model of the active run; its address."""
    import mlflow

    with redirect_stderr(StringIO()):  # what MLflow says of it
        info = mlflow.pyfunc.log_model(
            name=key,
            python_model=str(_PYFUNC),
            artifacts={"package": str(folder)},
            pip_requirements=[
                f"{name}=={version(name)}" for name in ("numpy", "onnxruntime", "pandas")
            ],
        )
    return str(info.model_uri)


def _note(run: Path, contract: Mapping[str, Any], made: Mapping[str, ModelVersion]) -> None:
    """Keep in the run folder what was registered."""
    content = {
        key: {"name": each.name, "version": int(each.version), "run_id": each.run_id}
        for key, each in made.items()
    }
    text = json.dumps({"iteration": contract["policy"]["iteration"], "models": content}, indent=1)
    write_atomically(run / REGISTERED, text + "\n")
