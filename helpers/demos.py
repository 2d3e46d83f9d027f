"""Demonstrations: one HDF5 file an episode, in the format the field's code bases read.

Datasets: `obs0` (T, obs_dim) float64, `acs` (T, act_dim) float32 (or (T,) int64), `obs1` the true
successors, `dones1` bool, true at the last step alone, `env_rews` (T,), scalars `ep_lens` and
`ep_env_rets`. Beside them, for those who tell a death from a time limit: `terminated`, `truncated`.
The file's attributes say where it comes from.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from helpers.errors import StorageError

FORMAT = "milozero-demo-1"


def demo_path(folder: Path, env_id: str, index: int) -> Path:
    """Where episode `index` lies: `<env_id>_demo003.h5`."""
    return folder / f"{env_id}_demo{index:03d}.h5"


def write_demo(path: Path, steps: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> None:
    """Write one episode; the name appears when the file is whole, and never replaces another.

    Args:
        path: the file to make.
        steps: `observations`, `actions`, `rewards`, `next_observations`, `terminated`, `truncated`.
        attributes: scalars and strings about its origin (environment, versions, policy, seed).

    Raises:
        StorageError: the file is there already, or cannot be written.
    """
    import h5py

    if path.exists():
        raise StorageError(
            f"{path} exists",
            "give another --save_traj_dir, or remove the old demos",
        )
    actions = np.asarray(steps["actions"])
    discrete = np.issubdtype(actions.dtype, np.integer)
    rewards = np.asarray(steps["rewards"], dtype=np.float64)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(temporary, "w") as file:
            file["obs0"] = np.asarray(steps["observations"], dtype=np.float64)
            file["acs"] = actions.astype(np.int64 if discrete else np.float32)
            file["obs1"] = np.asarray(steps["next_observations"], dtype=np.float64)
            file["dones1"] = np.asarray(steps["terminated"] | steps["truncated"], dtype=bool)
            file["terminated"] = np.asarray(steps["terminated"], dtype=bool)
            file["truncated"] = np.asarray(steps["truncated"], dtype=bool)
            file["env_rews"] = rewards
            file["ep_lens"] = np.int64(len(rewards))
            file["ep_env_rets"] = np.float64(rewards.sum())
            file.attrs.update({"format": FORMAT, **attributes})
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}",
            "free some space or give another --save_traj_dir",
        ) from error


def read_demo(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Datasets and attributes of one episode, as they are in the file."""
    import h5py

    with h5py.File(path, "r") as file:
        datasets = {name: np.asarray(dataset[()]) for name, dataset in file.items()}
        attributes = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in file.attrs.items()
        }
    return datasets, attributes
