"""--max_episode_steps: episodes of every backend are truncated there, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agents.algorithms import SCHEMA
from environments.factory import make_vector_env
from helpers.config.override import override
from helpers.config.schema import identity_of
from helpers.errors import ConfigurationError
from helpers.run_folder.experiment import run_name

ENDLESS = """import gymnasium
import numpy as np


class Endless(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 1.0, False, False, {}
"""
OWN = {  # of environments that never terminate within some steps: their own limit
    "Pendulum-v1": 200,
    "HalfCheetah-v5": 1000,
    "HalfCheetah-v4": 1000,
    "docs/examples/cart.py:Cart": 200,
    "Reacher-Easy-Feat-v0": 1000,
    "Lqr-Lqr_2_1-Feat-v0": 1000,
    "Opensim-Arm-Reach-v0": 200,
    "Endless": 1000,
}


@pytest.fixture
def id_of(tmp_path: Path):
    path = tmp_path / "endless.py"
    path.write_text(ENDLESS)
    return lambda name: f"{path}:Endless" if name == "Endless" else name


def ends(env_id: str, limit: int | None, steps: int, **more: int) -> tuple[int, list[int]]:
    """(what the environments say of their limit, the steps in which both episodes were truncated)."""
    envs = make_vector_env(env_id, seeds=[1, 2], max_episode_steps=limit, **more)
    try:
        envs.reset()
        action = np.zeros((2, *(envs.single_action_space.shape or ())), np.float32)
        found = []
        for step in range(1, steps + 1):
            _, _, terminated, truncated, _ = envs.step(action)
            assert not terminated.any()
            assert truncated.all() == truncated.any()
            found += [step] if truncated.all() else []
        return envs.max_episode_steps, found
    finally:
        envs.close()


@pytest.mark.parametrize(
    ("name", "processes"),
    [*((name, 0) for name in OWN), ("Endless", 2), ("docs/examples/cart.py:Cart", 1)],
)
def test_a_shorter_limit_truncates_in_every_backend(id_of, name: str, processes: int) -> None:
    assert ends(id_of(name), 3, 7, processes=processes) == (3, [3, 6])


@pytest.mark.parametrize("name", [name for name in OWN if not name.startswith("Opensim")])
def test_a_longer_limit_is_that_of_the_run_and_not_the_environments_own(id_of, name: str) -> None:
    own = OWN[name]
    assert ends(id_of(name), None, own + 2) == (own, [own])
    assert ends(id_of(name), own + 1, own + 2) == (own + 1, [own + 1])


def test_it_is_part_of_the_runs_identity_and_changes_no_older_name() -> None:
    def config(*flags: str):
        return SCHEMA.parse_command_line(["--env_id=Pendulum-v1", *flags]).config

    assert config().max_episode_steps is None
    limited = config("--max_episode_steps=50")
    assert identity_of(limited)["max_episode_steps"] == 50
    assert limited.environment["max_episode_steps"] == 50
    assert run_name(limited) != run_name(config())
    with pytest.raises(ConfigurationError, match="max_episode_steps=0"):
        config("--max_episode_steps=0")
    changed = SCHEMA.parse_command_line(["--override=max_episode_steps=9"])
    with pytest.raises(ConfigurationError, match="a resumed run keeps its max_episode_steps"):
        override(SCHEMA, changed)
