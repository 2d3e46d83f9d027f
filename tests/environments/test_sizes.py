"""What is known of spaces before a simulator is started, beside what the environments say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

from environments.dm_control.tasks import TASKS
from environments.factory import make_vector_env
from environments.gymnasium_envs.registered import MUJOCO_NAMES
from environments.ids import resolve_env_id
from environments.sizes import spaces_of
from environments.suites.mujoco import SIZES
from helpers.errors import ConfigurationError

MUJOCO = [f"{name}-{version}" for name in MUJOCO_NAMES for version in ("v4", "v5")]
MUJOCO.remove("Pusher-v4")  # needs MuJoCo 2
CLASSIC = ["CartPole", "Pendulum", "MountainCarContinuous", "Acrobot", "FrozenLake", "Blackjack"]


def assert_told(env_id: str) -> None:
    environment = make_vector_env(env_id, seeds=[0])
    told = spaces_of(env_id)
    assert told is not None
    observations, actions = told
    assert observations.shape == environment.single_observation_space.shape
    theirs = environment.single_action_space
    assert type(actions) is type(theirs) and actions.shape == theirs.shape
    if isinstance(actions, gymnasium.spaces.Box):
        assert isinstance(theirs, gymnasium.spaces.Box)
        assert actions.is_bounded() == theirs.is_bounded()
    else:
        assert isinstance(actions, gymnasium.spaces.Discrete)
        assert isinstance(theirs, gymnasium.spaces.Discrete)
        assert actions.n == theirs.n
    environment.close()


def test_every_simulated_task_is_known() -> None:
    assert set(SIZES) == {resolve_env_id(env_id) for env_id in MUJOCO}


@pytest.mark.parametrize("env_id", [*MUJOCO, *CLASSIC])
def test_gymnasium_s_spaces_are_what_is_told(env_id: str) -> None:
    assert_told(resolve_env_id(env_id))


@pytest.mark.parametrize("domain", TASKS)
def test_dm_control_s_spaces_are_what_is_told(domain: str) -> None:
    for task in TASKS[domain]:
        assert_told(resolve_env_id(f"{domain}-{task}"))


def test_of_what_is_not_known_nothing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cart.py"
    path.write_text("raise SystemExit('executed')\n@dataclass\nclass Cart: ...\n")
    assert spaces_of(f"{path}:Cart") is None


def test_a_users_environment_is_made_to_know_its_spaces(tmp_path: Path) -> None:
    gymnasium.register("Own-v0", entry_point="own_package:Own")
    try:
        with pytest.raises(ConfigurationError, match="own_package"):
            spaces_of("Own-v0")
    finally:
        del gymnasium.registry["Own-v0"]


def test_asking_starts_no_simulator() -> None:
    script = (
        "import sys; from environments.sizes import spaces_of;"
        "assert spaces_of('Hopper-v5')[1].shape == (3,);"
        "assert spaces_of('Cheetah-Run-Feat-v0')[0].shape == (17,);"
        "assert spaces_of('CartPole-v1')[1].n == 2;"
        "assert not {'mujoco', 'dm_control', 'torch', 'pygame'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
