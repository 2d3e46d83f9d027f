"""Demonstrations made up for tests: a walk with a known end, in files that pass or that do not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np

from helpers.demos.hdf5 import demo_path, write_demo

MADE_BY = {
    "env_id": "Hopper-v5",
    "mujoco_version": "3.17.0",
    "seed": 7,
    "run": "expert.seed00",
    "deterministic": True,
    "return": 12.5,
    "action_low": np.array([-1, -1, -1], np.float32),
    "action_high": np.array([1, 1, 1], np.float32),
}


def steps_of(
    seed: int,
    length: int = 50,
    *,
    terminated: bool = True,
    discrete: bool = False,
) -> dict[str, np.ndarray]:
    """One episode, arrays (length, ...) by name."""
    rng = np.random.default_rng(seed)
    states = 3.0 * rng.normal(size=(length + 1, 11))  # not standardised, as no task gives them
    states[1, 0] = -0.0
    ends = np.arange(length) == length - 1
    actions = rng.uniform(-1, 1, size=(length, 3)).astype(np.float32)
    return {
        "observations": states[:-1],
        "actions": rng.integers(0, 3, size=length) if discrete else actions,
        "rewards": rng.normal(size=length),
        "next_observations": states[1:],
        "terminated": ends & terminated,
        "truncated": ends & (not terminated),
    }


def write_demos(folder: Path, count: int = 4, **changes: Any) -> list[Path]:
    """So many files; episodes of even numbers terminated, those of odd ones truncated."""
    paths = []
    for i in range(count):
        path = demo_path(folder, "Hopper-v5", i)
        write_demo(path, steps_of(i, 40 + i, terminated=i % 2 == 0), MADE_BY | changes)
        paths.append(path)
    return paths


def write_plain(path: Path, steps: dict[str, np.ndarray], **changes: Any) -> Path:
    """A file as other code bases write it: no attributes, one word for both ends; None leaves one out."""
    datasets: dict[str, Any] = {
        "obs0": steps["observations"],
        "acs": steps["actions"],
        "obs1": steps["next_observations"],
        "dones1": steps["terminated"] | steps["truncated"],
        "env_rews": steps["rewards"],
        "ep_lens": np.int64(len(steps["rewards"])),
        "ep_env_rets": np.float64(steps["rewards"].sum()),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, value in (datasets | changes).items():
            if value is not None:
                file[name] = value
    return path


def settings(**changes: Any) -> Any:
    """The settings of demonstrations that loading looks at."""
    defaults = {
        "expert_path": None,
        "num_demos": None,
        "expert_demo_choice": "first",
        "expert_demo_subsample": True,
        "expert_demo_subsample_rate": 20,
        "expert_state_only": False,
        "expert_mismatch": "refuse",
        "expert_convert": False,
        "expert_accept_wrappers": None,
        "expert_time_limit": None,
        "wrap_absorb": False,
        "seed": 0,
        "precision": "float64",
    }
    return SimpleNamespace(**(defaults | changes))
