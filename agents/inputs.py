"""The files that an algorithm reads: demonstrations, an expert, an imported memory, models to register."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agents.algorithms import SCHEMA
from agents.cloning.config import CloningConfig, DaggerConfig
from agents.cloning.expert import find_expert
from agents.imitation.config import ImitationConfig
from agents.off_policy.core.config import ReplayConfig
from agents.replay.files import find_files
from helpers.checkpoints.manifests import SHARED
from helpers.config.run import RunConfig
from helpers.demos.load import find_demos, select_indices
from helpers.run_folder.inputs import (
    DEMONSTRATIONS,
    EXPERT,
    REGISTERED,
    REPLAY,
    Input,
    read_inputs,
)


def algorithm_inputs(config: RunConfig, *, is_new: bool) -> list[Input]:
    """The files that a run reads beside its environment's, hashed.

    Args:
        config: of the run.
        is_new: whether it begins: an imported memory is read then alone, and need not be there later.

    Raises:
        ConfigurationError, CheckpointError: one of them is missing or cannot be read.
    """
    found: list[Input] = []
    if isinstance(config, CloningConfig | ImitationConfig):
        found += _demonstrations(config)
    if isinstance(config, DaggerConfig) and config.expert_policy:
        checkpoint = find_expert(config, SCHEMA.load_config).checkpoint
        found += read_inputs(EXPERT, [checkpoint / SHARED], checkpoint)
    learner = config.learner_config if isinstance(config, ImitationConfig) else config
    if isinstance(learner, ReplayConfig) and learner.memory_import and is_new:
        paths = find_files(learner.memory_import)
        found += read_inputs(REPLAY, paths, paths[0].parent)
    if config.model_manager:
        path = Path(config.model_manager).expanduser()
        found += read_inputs(REGISTERED, [path], path.parent)
    return found


def _demonstrations(config: Any) -> list[Input]:
    """The files of those that are used; of a data set of many in one file, all of its files."""
    if config.num_demos == 0:
        return []
    given = Path(config.expert_path or "").expanduser()
    if config.expert_path and given.is_file():
        return read_inputs(DEMONSTRATIONS, [given], given.parent)
    source: Any = find_demos(config.expert_path)
    if not hasattr(source, "paths"):
        files = sorted(path for path in source.folder.rglob("*") if path.is_file())
        return read_inputs(DEMONSTRATIONS, files, source.folder)
    paths = dict.fromkeys(source.paths[index] for index in select_indices(source, config))
    return read_inputs(DEMONSTRATIONS, paths, source.folder)
