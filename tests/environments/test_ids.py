"""Which spelling stands for which environment, and what is said of those that stand for none."""

from __future__ import annotations

import subprocess
import sys

import pytest

from environments.dm_control.tasks import TASKS, task_of
from environments.gymnasium_envs.registered import MUJOCO_NAMES
from environments.ids import resolve_env_id, suite_of
from helpers.errors import ConfigurationError


@pytest.mark.parametrize(
    ("spelling", "canonical", "suite"),
    [
        ("Hopper", "Hopper-v5", "mujoco"),
        ("HalfCheetah", "HalfCheetah-v5", "mujoco"),
        ("Pusher", "Pusher-v5", "mujoco"),
        ("Hopper-v4", "Hopper-v4", "mujoco"),
        ("Humanoid-v5", "Humanoid-v5", "mujoco"),
        ("CartPole", "CartPole-v1", "gymnasium"),
        ("CartPole-v0", "CartPole-v0", "gymnasium"),
        ("Pendulum", "Pendulum-v1", "gymnasium"),
        ("FrozenLake-v1", "FrozenLake-v1", "gymnasium"),
        ("CliffWalking", "CliffWalking-v1", "gymnasium"),
        ("Cheetah-Run-Feat-v0", "Cheetah-Run-Feat-v0", "dm_control"),
        ("cheetah-run", "Cheetah-Run-Feat-v0", "dm_control"),
        ("Hopper-Hop", "Hopper-Hop-Feat-v0", "dm_control"),
        ("CartPole-Swingup-Feat-v0", "Cartpole-Swingup-Feat-v0", "dm_control"),
        ("ball_in_cup-catch", "BallInCup-Catch-Feat-v0", "dm_control"),
        ("HumanoidCMU-Run-Feat-v0", "Humanoid_CMU-Run-Feat-v0", "dm_control"),
        ("Humanoid_CMU-Run-Feat-v0", "Humanoid_CMU-Run-Feat-v0", "dm_control"),
        ("Stacker-Stack2-Feat-v0", "Stacker-Stack_2-Feat-v0", "dm_control"),
        ("Acrobot-SwingupSparse-Feat-v0", "Acrobot-SwingupSparse-Feat-v0", "dm_control"),
    ],
)
def test_spellings(spelling: str, canonical: str, suite: str) -> None:
    assert resolve_env_id(spelling) == canonical
    assert resolve_env_id(canonical) == canonical
    assert suite_of(canonical).name == suite


@pytest.mark.parametrize(
    ("env_id", "in_problem", "in_remedy"),
    [
        ("Hopper-v2", "mujoco-py", "Use Hopper-v5. Comparability of returns: v2 = v3, comparable"),
        ("Walker2d-v3", "mujoco-py", "v5 differs from v4"),
        ("HalfCheetah-v3", "mujoco-py", "v4 = v5"),
        ("Swimmer-v2", "mujoco-py", "v4 = v5"),
        ("Ant-v3", "mujoco-py", "v4 and v5 differ from them and from each other"),
        ("Humanoid-v2", "mujoco-py", "v4 and v5 differ from them and from each other"),
        ("HumanoidStandup-v2", "mujoco-py", "Use HumanoidStandup-v5. "),
        ("Pusher-v4", "MuJoCo 2", "Use Pusher-v5. "),
        ("Hopper-v6", "is not a known environment", "The nearest is Hopper-v5."),
        ("Hoper-v5", "is not a known environment", "The nearest is Hopper-v5."),
        ("halfcheetah", "is not a known environment", "The nearest is HalfCheetah-v5."),
        ("Taxi-v1", "is not a known environment", "The nearest is Taxi-v"),
        ("Cheetah-Run-v0", "is not a known environment", "The nearest is Cheetah-Run-Feat-v0."),
        ("zzzz", "is not a known environment", "Use Hopper-v5, CartPole-v1 or"),
        ("", "is not a known environment", "Use Hopper-v5"),
        ("LunarLander-v2", "Box2D, which is not installed", "pip install 'gymnasium[box2d]'"),
        (
            "BipedalWalkerHardcore",
            "Box2D, which is not installed",
            "pip install 'gymnasium[box2d]'",
        ),
        ("ALE/Pong-v5", "ale_py, which is not installed", "pip install ale-py"),
        ("PongNoFrameskip-v4", "ale_py, which is not installed", "pip install ale-py"),
        ("MiniGrid-Empty-5x5-v0", "minigrid, which is not installed", "pip install minigrid"),
        ("FetchReach", "gymnasium_robotics, which is not", "pip install gymnasium-robotics"),
        ("phys2d/CartPole-v1", "jax, which is not installed", "pip install jax"),
        ("no.such_module:Reach-v0", "there is no module no here", "python -c 'import no."),
        (
            "tests.environments.checking.faulty:Reach-v0",
            "registers no such",
            "There are Faulty-v0",
        ),
        ("pettingzoo.classic:chess_v6", "have several agents", "with one agent in it"),
        ("gym:CartPole-v1", "have the interface that Gymnasium followed", "by shimmy's GymV21"),
        ("Chetah-Run-Feat-v0", "no domain Chetah", "The nearest is Cheetah, with Run."),
        ("Walker-Runn-Feat-v0", "no task Runn", "The nearest is Walker-Run-Feat-v0. Its tasks: St"),
        ("Fish-Zz-Feat-v0", "no task Zz", "Its tasks: Upright, Swim."),
        ("Cheetah-Run-Pixels-v1", "version 0", "Use Cheetah-Run-Pixels-v0."),
        ("Cheetah-Run-Feat-v1", "version 0", "Use Cheetah-Run-Feat-v0."),
    ],
)
def test_refusals(env_id: str, in_problem: str, in_remedy: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        resolve_env_id(env_id)
    assert f"env_id={env_id}" in refusal.value.problem
    assert in_problem in refusal.value.problem
    assert in_remedy in refusal.value.remedy
    assert "\n" not in refusal.value.problem + refusal.value.remedy


def test_the_tables_are_those_of_the_packages() -> None:
    from gymnasium.envs.registration import registry

    from environments.dm_control.env import import_suite

    suite, _ = import_suite()
    assert suite.TASKS_BY_DOMAIN == {domain: tuple(each) for domain, each in TASKS.items()}
    registered = {env_id[:-3] for env_id, spec in registry.items() if ".mujoco." in str(spec)}
    assert registered == set(MUJOCO_NAMES)


def test_dm_control_ids_are_distinct_and_lead_back() -> None:
    tasks = [(domain, task) for domain in TASKS for task in TASKS[domain]]
    ids = [resolve_env_id(f"{domain}-{task}") for domain, task in tasks]
    assert [task_of(env_id) for env_id in ids] == tasks


def test_resolving_imports_no_simulator() -> None:
    script = (
        "import sys; from environments.ids import resolve_env_id;"
        "resolve_env_id('Hopper'); resolve_env_id('cheetah-run');"
        "assert not {'mujoco', 'dm_control', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
