"""What an environment is made of: its task file and what that imports, models and their parts, files in its options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from environments.ids import suite_of
from environments.inputs.mjcf import files_of_model, is_model
from helpers.config.run import RunConfig
from helpers.run_folder.changes import changes_since, changes_in_words
from helpers.run_folder.inputs import MODEL, TASK, Input, in_words, read_inputs


def environment_inputs(env_id: str, options: Mapping[str, Any]) -> list[Input]:
    """The files that an environment reads, hashed; those of installed packages are known by their versions.

    A user's task is made for that, without a simulation, so that what it opens itself is seen too.

    Raises:
        ConfigurationError: a file cannot be read, or the task cannot be made.
    """
    found = suite_of(env_id).files(env_id, options)
    folder, modules = found.folder or Path.cwd(), list(found.modules)
    named = [*_files_in(options), *found.others]
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


def changes_of(folder: Path, trained: RunConfig, config: RunConfig) -> list[str]:
    """Lines on how the environment of a run is another one than it was, and on what the run has changed in itself."""
    lines = [f"this run {line}" for line in changes_in_words(folder)]
    place = (trained.env_id, trained.environment_options)
    if place != (config.env_id, config.environment_options):
        return lines  # on purpose
    changes = changes_since(folder, environment_inputs(*place))
    if changes:
        lines.append(
            f"warning: the task has changed since this policy was trained: {in_words(changes)}",
        )
    return lines
