"""One id of an environment in a run's configuration, and the one that a run of an earlier version began with."""

from __future__ import annotations

from collections.abc import Callable

from helpers.config.run import RunConfig
from helpers.config.yaml_files import read_yaml
from helpers.data_root import place
from helpers.errors import ConfigurationError
from helpers.run_folder.experiment import CONFIG_FILE, run_name


def with_canonical_env_id(config: RunConfig, resolve_env_id: Callable[[str], str]) -> RunConfig:
    """The configuration with the canonical id of its environment.

    A run that began when `./my_task.py:Mine` was not `my_task.py:Mine` yet keeps its spelling, and is resumed.

    Args:
        config: as it was typed.
        resolve_env_id: the canonical id of a spelling.

    Raises:
        ConfigurationError: there is no such environment.
    """
    canonical = resolve_env_id(config.env_id)
    for env_id in (canonical, config.env_id):
        spelled = config.model_copy(update={"env_id": env_id})
        path = place(config.runs_dir, config.data_root) / run_name(spelled) / CONFIG_FILE
        try:
            saved = read_yaml(path).values.get("env_id") if path.is_file() else None
            is_another = isinstance(saved, str) and saved != canonical
            if is_another and resolve_env_id(str(saved)) == canonical:
                return config.model_copy(update={"env_id": str(saved)})
        except ConfigurationError:
            continue  # a damaged file, or another environment: said where the run is opened
    return config.model_copy(update={"env_id": canonical})
