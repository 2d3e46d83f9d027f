"""Demonstrations on disk for imitations, small and the same in every process, and settings that use them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from helpers.demos.hdf5 import demo_path, write_demo
from tests.agents.cloning.cases import OBSERVATION_DIM, expert_action, room

IMITATING = ("gail", "airl", "sam", "dac", "red", "maad")
LENGTH = 40


@cache
def demonstrations(kind: str) -> Path:
    """A folder of four episodes: the task ended those of even numbers, a limit cut the others."""
    folder = room() / "imitated" / kind
    for index in range(4):
        rng = np.random.default_rng([index, 98])
        states = rng.normal(1.0, 3.0, (LENGTH + 1, OBSERVATION_DIM))
        ends = np.arange(LENGTH) == LENGTH - 1
        steps = {
            "observations": states[:-1],
            "actions": expert_action(states[:-1], kind),
            "rewards": rng.normal(size=LENGTH),
            "next_observations": states[1:],
            "terminated": ends & (index % 2 == 0),
            "truncated": ends & (index % 2 == 1),
        }
        write_demo(demo_path(folder, "made_up", index), steps, {"run": "a rule"})
    return folder


def imitation_settings(kind: str = "continuous") -> dict[str, Any]:
    """What a small imitation has beside its small learner."""
    return {
        "expert_path": str(demonstrations(kind)),
        "expert_demo_subsample_rate": 5,
        "d_perception_stack": "mlp_8",
        "d_batch_size": 16,
        "d_steps": 2,
        "red_epochs": 4,
        "compile": False,
    }
