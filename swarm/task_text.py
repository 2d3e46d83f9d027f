"""The settings of a run as a task file: what differs from the defaults, and nothing of where and how it was run."""

from __future__ import annotations

from helpers.config.run import RunConfig
from helpers.config.yaml_files import yaml_text

_ALWAYS = ("algo", "env_id", "num_timesteps")
_NOT_OF_A_TASK = {
    "uuid", "runs_dir", "task", "model_path", "progress", "keep_checkpoints", "seed", "iter_num", "export_dir",
    "save_frequency", "eval_frequency", "data_root",
}  # fmt: skip


def task_lines(config: RunConfig) -> list[str]:
    """Lines of YAML that main.py reads."""
    values = {key: getattr(config, key) for key in config.settings}
    return [
        f"{key}: {yaml_text(values[key])}"
        for key, each in config.settings.items()
        if key in _ALWAYS or (values[key] != each.default and key not in _NOT_OF_A_TASK)
    ]
