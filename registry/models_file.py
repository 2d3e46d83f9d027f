"""The YAML files of tasks/models: which models of a run are registered, under which names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from agents.algorithms import model_names
from helpers.config.run import RunConfig
from helpers.errors import ConfigurationError
from helpers.trackers.mlflow.server import experiment_name

FOLDER = Path(__file__).resolve().parents[1] / "tasks" / "models"
_KEYS = {"disabled", "models", "defaults"}
_MODEL_KEYS = {"model_name", "description", "tags"}
_PLACE = re.compile(r"\$\{([^{}]*)\}")
_SHAPE = (
    "Write it as in tasks/models/ppo.yaml: disabled, models, and for each model model_name, "
    "description and tags."
)


@dataclass(frozen=True)
class ModelInfo:
    """What a model is registered as.

    Attributes:
        model_name: in the registry.
        description: of the version.
        tags: of the version.
    """

    model_name: str
    description: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class ModelsFile:
    """What a file says.

    Attributes:
        path: of the file.
        disabled: whether a training that ends registers nothing.
        models: by the model's name in the agent, as they stand in the file.
    """

    path: Path
    disabled: bool
    models: Mapping[str, ModelInfo]


def find_models_file(name: str) -> Path:
    """The file that `ppo` or `tasks/models/ppo.yaml` names.

    Raises:
        ConfigurationError: there is none.
    """
    given = Path(name).expanduser()
    for path in (given, FOLDER / f"{name}.yaml"):
        if path.is_file():
            return path
    there = ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml")))
    raise ConfigurationError(
        f"model_manager={name} is no file of models.",
        f"Give a path, or one of tasks/models: {there}.",
    )


def read_models_file(name: str) -> ModelsFile:
    """Read a file, and the files that its `defaults` name, in their order.

    Raises:
        ConfigurationError: there is no such file, or it says something else than models.
    """
    path = find_models_file(name)
    content = _with_defaults(path, seen=())
    models = content.get("models") or {}
    disabled = content.get("disabled", True)
    if not isinstance(disabled, bool):
        raise ConfigurationError(f"{path}: disabled is {disabled!r}.", "Write True or False.")
    if not isinstance(models, dict):
        raise ConfigurationError(f"{path}: models is {models!r}.", _SHAPE)
    return ModelsFile(path, disabled, {str(k): _model(path, k, v) for k, v in models.items()})


def _with_defaults(path: Path, *, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        raise ConfigurationError(f"{path} names itself in its defaults.", "Remove it there.")
    own = _read(path)
    unknown = own.keys() - _KEYS
    if unknown:
        raise ConfigurationError(
            f"{path} has the key {min(unknown, key=str)}, which is not known.",
            _SHAPE,
        )
    defaults = own.pop("defaults", None) or []
    if not isinstance(defaults, list) or not all(isinstance(each, str) for each in defaults):
        raise ConfigurationError(f"{path}: defaults is {defaults!r}.", "Write [default, _self_].")
    merged: dict[str, Any] = {}
    for name in defaults if "_self_" in defaults else [*defaults, "_self_"]:
        if name == "_self_":
            layer = own
        else:
            beside = path.with_name(f"{name}.yaml")
            if not beside.is_file():
                raise ConfigurationError(
                    f"{path}: defaults names {name}, and there is no {beside}.",
                    "Name files of the same folder, without .yaml.",
                )
            layer = _with_defaults(beside, seen=(*seen, path))
        before, models = merged.get("models"), layer.get("models")
        merged |= layer
        if isinstance(before, dict) and isinstance(models, dict):
            merged["models"] = before | models
    return merged


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        _refuse_repeated_keys(path, yaml.compose(text, Loader=yaml.SafeLoader))
        content = yaml.safe_load(text)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.", _SHAPE) from error
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())[:200]
        raise ConfigurationError(f"{path} is not valid YAML: {said}.", _SHAPE) from error
    if content is not None and not isinstance(content, dict):
        raise ConfigurationError(f"{path} is a {type(content).__name__}, no mapping.", _SHAPE)
    return content or {}


def _refuse_repeated_keys(path: Path, node: yaml.Node | None) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    seen = set()
    for key, value in node.value:
        if key.value in seen:
            raise ConfigurationError(
                f"{path}, line {key.start_mark.line + 1}: {key.value} is there twice.",
                "Remove one of them.",
            )
        seen.add(key.value)
        _refuse_repeated_keys(path, value)


def _model(path: Path, key: object, content: Any) -> ModelInfo:
    if not isinstance(content, dict) or content.keys() - _MODEL_KEYS or "model_name" not in content:
        raise ConfigurationError(f"{path}: models.{key} is {content!r}.", _SHAPE)
    tags = content.get("tags") or {}
    if not isinstance(tags, dict) or any(isinstance(v, dict | list) for v in tags.values()):
        raise ConfigurationError(f"{path}: the tags of {key} are {tags!r}.", "Write NAME: TEXT.")
    return ModelInfo(
        str(content["model_name"]),
        str(content.get("description") or ""),
        {str(name): str(value) for name, value in tags.items()},
    )


def models_of_run(file: ModelsFile, config: RunConfig, *, run_name: str) -> dict[str, ModelInfo]:
    """What is registered of a run: names, descriptions and tags with the run's values in them.

    Raises:
        ConfigurationError: a key is no model of the algorithm, or `${...}` names what no run has.
    """
    known = model_names(config)
    for key in file.models:
        if key not in known:
            raise ConfigurationError(
                f"{file.path}: {config.algo} has no model {key}.",
                f"Its models: {', '.join(known)}.",
            )
    values = {
        "exp_name": experiment_name(config),
        "env.id": config.env_id,
        "algo.name": config.algo,
        "seed": str(config.seed),
        "run_name": run_name,
    }

    def fill(text: str) -> str:
        unknown = [name for name in _PLACE.findall(text) if name not in values]
        if unknown:
            raise ConfigurationError(
                f"{file.path}: ${{{unknown[0]}}} is not known.",
                f"Known are: {', '.join(f'${{{name}}}' for name in values)}.",
            )
        return _PLACE.sub(lambda match: values[match[1]], text)

    return {
        key: ModelInfo(
            fill(info.model_name),
            fill(info.description),
            {name: fill(value) for name, value in info.tags.items()},
        )
        for key, info in file.models.items()
    }
