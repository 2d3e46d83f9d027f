"""dm_control tasks against dm_control itself."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import mujoco
import numpy as np
import pytest

from environments.dm_control.env import DmControlEnv, import_suite
from environments.factory import make_vector_env


@pytest.mark.parametrize(
    ("domain", "task"),
    [("cheetah", "run"), ("hopper", "hop"), ("quadruped", "walk"), ("reacher", "easy")],
)
def test_an_episode_is_dm_controls_own(domain: str, task: str) -> None:
    suite, _ = import_suite()
    theirs = suite.load(domain, task, task_kwargs={"random": 17})
    spec = theirs.action_spec()
    envs = make_vector_env(f"{domain}-{task}", seeds=[17])
    observations, _ = envs.reset()
    time_step = theirs.reset()
    rng = np.random.default_rng(0)
    for _ in range(12):
        by_hand = np.concatenate([np.ravel(part) for part in time_step.observation.values()])
        np.testing.assert_array_equal(observations[0], by_hand)
        assert observations.dtype == np.float64
        action = rng.uniform(-1, 1, spec.shape).astype(np.float32)
        half_range = (spec.maximum - spec.minimum) / 2
        scaled = spec.minimum + half_range + action.astype(np.float64) * half_range
        time_step = theirs.step(scaled)
        observations, rewards, terminated, truncated, infos = envs.step(action[None])
        assert rewards[0] == time_step.reward
        assert not terminated[0] and not truncated[0] and "final_obs" not in infos


def test_the_time_limit_truncates_after_1000_steps() -> None:
    envs = make_vector_env("pendulum-swingup", seeds=[0])
    assert envs.max_episode_steps == 1000
    envs.reset()
    for step in range(1, 1002):
        _, _, terminated, truncated, _ = envs.step(np.zeros((1, 1), np.float32))
        assert not terminated[0]
        assert truncated[0] == (step == 1000)


def test_a_discount_of_zero_terminates() -> None:
    envs: Any = make_vector_env("lqr-lqr_2_1", seeds=[0])
    envs.reset()
    inner = envs.envs[0].unwrapped
    assert isinstance(inner, DmControlEnv)
    inner.data.qpos[:] = inner.data.qvel[:] = 0.0
    mujoco.mj_forward(inner.model, inner.data)
    _, _, terminated, truncated, infos = envs.step(np.zeros((1, 1), np.float32))
    assert terminated[0] and not truncated[0]
    assert infos["_final_obs"][0]


def test_the_copies_of_a_random_model_are_one_task() -> None:
    envs: Any = make_vector_env("lqr-lqr_6_2", seeds=[0, 1])
    observations, _ = envs.reset()
    models = [env.unwrapped.model for env in envs.envs]
    np.testing.assert_array_equal(models[0].dof_damping, models[1].dof_damping)
    np.testing.assert_array_equal(models[0].jnt_stiffness, models[1].jnt_stiffness)
    assert observations[0].tolist() != observations[1].tolist()


def test_diverged_physics_truncates_at_the_last_valid_observation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    envs: Any = make_vector_env("cheetah-run", seeds=[0, 1])
    envs.reset()
    before, *_ = envs.step(np.zeros((2, 6), np.float32))
    envs.envs[1].unwrapped.data.qvel[0] = np.nan
    observations, rewards, terminated, truncated, infos = envs.step(np.zeros((2, 6), np.float32))
    assert truncated.tolist() == [False, True] and not terminated.any()
    assert rewards[1] == 0.0
    np.testing.assert_array_equal(envs.successors(observations, infos)[1], before[1])
    assert np.isfinite(observations).all()
    assert "cheetah-run" in caplog.text


def test_the_import_looks_for_no_display_and_keeps_the_environment() -> None:
    """dm_control would warn of what it does not find: GLFW looks for a display, and there is none."""
    script = (
        "import os; os.environ['MUJOCO_GL'] = 'glfw'; os.environ.pop('DISPLAY', None)\n"
        "from environments.factory import make_vector_env\n"
        "make_vector_env('cheetah-run', seeds=[0]).reset()\n"
        "assert os.environ['MUJOCO_GL'] == 'glfw'\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "", "")
