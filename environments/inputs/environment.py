"""What an environment is made of: its task file and what that imports, models and their parts, files in its options."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from environments.files import OPENED
from environments.ids import is_batched_task, suite_of, task_file
from environments.inputs.mjcf import files_of_model, is_model
from environments.inputs.modules import closure
from environments.inputs.opened import opened_files
from environments.opensim.catalogue import complete_options
from environments.opensim.models import require_model
from environments.suites.gymnasium_suites import spec_of
from helpers.config.run import RunConfig
from helpers.run_folder.changes import changes_since, told_changes
from helpers.run_folder.inputs import MODEL, TASK, Input, in_words, read_inputs
from helpers.user_code import is_users


def environment_inputs(env_id: str, options: Mapping[str, Any]) -> list[Input]:
    """The files that an environment reads, hashed; those of installed packages are known by their versions.

    A user's task is made for that, without a simulation, so that what it opens itself is seen too.

    Raises:
        ConfigurationError: a file cannot be read, or the task cannot be made.
    """
    folder, named = Path.cwd(), [*_files_in(options)]
    modules: list[Path] = []
    suite = suite_of(env_id)
    if suite == "opensim":
        model = complete_options(env_id, options).get("model")
        named += [require_model(model)] if model else []
    elif is_batched_task(env_id):
        own = task_file(env_id)
        if own is not None:
            folder, (modules, found) = own[0].resolve().parent, closure(own[0])
            named += found
        with opened_files() as opened:
            made = _make(env_id, options)
        named += made[0]
        opened += made[1]
        modules += [
            each for each in dict.fromkeys(opened) if each.suffix == ".py" and each not in modules
        ]
        named += [path for path in opened if path.suffix != ".py"]
    elif suite == "gymnasium" and (start := _users_module(env_id)) is not None:
        folder, (modules, found) = start.parent, closure(start)
        named += found
    return [*read_inputs(TASK, modules, folder), *_read_files(named, modules, folder)]


def _read_files(named: Iterable[Path], modules: list[Path], folder: Path) -> list[Input]:
    """Files that are no modules: models, each with its parts, and others."""
    models: dict[Path, None] = {}
    others: dict[Path, None] = {}
    for path in dict.fromkeys(each.resolve() for each in named):
        for part in files_of_model(path) if is_model(path) else [path]:
            (models if is_model(path) else others)[part] = None
    rest = [path for path in others if path not in models and path not in modules]
    return [*read_inputs(MODEL, models, folder), *read_inputs(TASK, rest, folder)]


def _files_in(value: Any) -> Iterator[Path]:
    """Existing files that options name."""
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _files_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from _files_in(each)
    elif isinstance(value, str) and 0 < len(value) < 1000 and Path(value).expanduser().is_file():
        yield Path(value).expanduser()


def _make(env_id: str, options: Mapping[str, Any]) -> tuple[list[Path], list[Path]]:
    """(the model's file, what the task's file opened when it was executed) of a task, which is made for that."""
    from gymnasium.envs.mujoco.mujoco_env import expand_model_path

    from environments.batched_mujoco.catalogue import make_task
    from environments.batched_mujoco.pictures import OPTIONS

    task = make_task(env_id, {key: each for key, each in options.items() if key not in OPTIONS})
    own = task_file(env_id)
    opened = OPENED.get(own[0].resolve(), []) if own else []
    try:
        return [Path(expand_model_path(task.xml_file))], opened
    except OSError:
        return [], opened  # loading it raises the error


def _users_module(env_id: str) -> Path | None:
    """The file of a Gymnasium environment's class, where no installed package has it."""
    entry_point: Any = spec_of(env_id).entry_point
    name = entry_point.partition(":")[0] if isinstance(entry_point, str) else entry_point.__module__
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None  # a module without a file, such as __main__; making it raises the error
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    path = Path(spec.origin)
    return path.resolve() if is_users(path) else None


def changes_of(folder: Path, trained: RunConfig, config: RunConfig) -> list[str]:
    """Lines on how the environment of a run is another one than it was, and on what the run has changed in itself."""
    lines = [f"this run {line}" for line in told_changes(folder)]
    place = (trained.env_id, trained.environment_options)
    if place != (config.env_id, config.environment_options):
        return lines  # on purpose
    changes = changes_since(folder, environment_inputs(*place))
    if changes:
        lines.append(
            f"warning: the task has changed since this policy was trained: {in_words(changes)}",
        )
    return lines
