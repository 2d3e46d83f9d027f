"""Vector environments against single ones stepped by hand."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from environments.factory import make_vector_env
from helpers.errors import ConfigurationError

BACKENDS = ("batched MuJoCo", "Gymnasium")


@pytest.mark.parametrize("backend", BACKENDS)
def test_final_observations_are_those_of_an_environment_stepped_by_hand(backend: str) -> None:
    envs = make_vector_env("Hopper-v5", seeds=[3, 4, 5], backend=backend)
    singles = [gymnasium.make("Hopper-v5") for _ in range(3)]
    observations, _ = envs.reset()
    by_hand = np.stack([env.reset(seed=3 + i)[0] for i, env in enumerate(singles)])
    np.testing.assert_array_equal(observations, by_hand)
    envs.action_space.seed(0)
    ends = 0
    for _ in range(120):
        actions = envs.action_space.sample()
        observations, rewards, terminated, truncated, infos = envs.step(actions)
        successors = envs.successors(observations, infos)
        assert (successors is observations) == (not (terminated | truncated).any())
        for i, env in enumerate(singles):
            successor, reward, ended, limited, _ = env.step(actions[i])
            np.testing.assert_array_equal(successors[i], successor)
            assert (rewards[i], terminated[i], truncated[i]) == (reward, ended, limited)
            ends += ended
            first = env.reset()[0] if ended or limited else successor
            np.testing.assert_array_equal(observations[i], first)
    assert ends > 5


def test_the_time_limit_of_cartpole_truncates_and_its_fall_terminates() -> None:
    envs = make_vector_env("CartPole-v1", seeds=[0, 1])
    assert envs.max_episode_steps == 500
    observations, _ = envs.reset()
    for step in range(1, 501):
        # Environment 0 is balanced by hand, environment 1 pushed to the left until it falls.
        lean = observations[0] @ np.array([0.1, 0.5, 3.0, 1.0])
        observations, _, terminated, truncated, infos = envs.step(np.array([int(lean > 0), 0]))
        assert not terminated[0]
        assert truncated[0] == (step == 500)
        if terminated[1]:
            assert not truncated[1]
            successors = envs.successors(observations, infos)
            assert abs(successors[1, 2]) > 0.2  # has fallen, where the next episode stands upright
            assert abs(observations[1, 2]) < 0.05
    assert envs.successors(observations, infos)[0].tolist() != observations[0].tolist()


def test_pendulum_only_ever_truncates() -> None:
    envs = make_vector_env("Pendulum", seeds=[0])
    envs.reset()
    for step in range(1, 401):
        _, _, terminated, truncated, _ = envs.step(np.zeros((1, 1), np.float32))
        assert not terminated.any()
        assert truncated[0] == (step % 200 == 0)


def test_a_task_without_a_time_limit_gets_one() -> None:
    envs = make_vector_env("CliffWalking", seeds=[0])
    envs.reset()
    for _ in range(envs.max_episode_steps):
        _, _, terminated, truncated, _ = envs.step(np.array([0]))  # up, along the wall
    assert truncated[0] and not terminated[0]


@pytest.mark.parametrize("env_id", ["Hopper-v5", "Hopper-v4", "cheetah-run"])
def test_actions_are_clipped_inside_and_left_alone_outside(env_id: str) -> None:
    wild, tame = (make_vector_env(env_id, seeds=[0, 1]) for _ in range(2))
    wild.reset()
    tame.reset()
    actions = np.random.default_rng(0).normal(0, 3, wild.action_space.shape).astype(np.float32)
    before = actions.copy()
    for _ in range(3):
        outcome = wild.step(actions)
        expected = tame.step(actions.clip(-1, 1))
        np.testing.assert_array_equal(outcome[0], expected[0])
        np.testing.assert_array_equal(outcome[1], expected[1])
    np.testing.assert_array_equal(actions, before)


def test_actions_without_bounds_are_not_clipped() -> None:
    envs = make_vector_env("lqr-lqr_2_1", seeds=[0, 0])
    envs.reset()
    observations, *_ = envs.step(np.array([[5.0], [50.0]], np.float32))
    assert observations[0].tolist() != observations[1].tolist()


@pytest.mark.parametrize("backend", BACKENDS)
def test_seeds_decide_the_starts_and_episodes_go_on_from_them(backend: str) -> None:
    envs = make_vector_env("Hopper-v5", seeds=[7, 8, 7], backend=backend)
    first, _ = envs.reset()
    assert first[0].tolist() == first[2].tolist() != first[1].tolist()
    for _ in range(200):
        second, _, terminated, _, _ = envs.step(np.ones((3, 3), np.float32))
        if terminated[0]:
            break
    assert terminated[0] and terminated[2]
    assert second[0].tolist() == second[2].tolist() != first[0].tolist()
    again, _ = envs.reset()
    np.testing.assert_array_equal(again, first)
    others, _ = envs.reset(seed=[8, 7, 7])
    np.testing.assert_array_equal(others[:2], first[1::-1])


@pytest.mark.parametrize(
    ("env_id", "obs_dim", "actions"),
    [("FrozenLake-v1", 16, 4), ("Taxi", 500, 6), ("CliffWalking", 48, 4), ("Blackjack", 45, 2)],
)
def test_discrete_observations_are_one_hot(env_id: str, obs_dim: int, actions: int) -> None:
    envs = make_vector_env(env_id, seeds=[0, 1])
    observations, _ = envs.reset()
    assert observations.shape == (2, obs_dim) == envs.observation_space.shape
    assert observations.dtype == np.float32
    assert set(np.unique(observations)) == {0.0, 1.0}
    assert envs.single_action_space == gymnasium.spaces.Discrete(actions)
    assert envs.observation_space.contains(observations)


def test_spaces_that_no_algorithm_takes_are_refused() -> None:
    class Odd(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1, 1, (2,))
        action_space = gymnasium.spaces.Dict(a=gymnasium.spaces.Discrete(3))

    gymnasium.register("OddActions-v0", Odd)
    with pytest.raises(ConfigurationError, match="env_id=OddActions-v0 has actions in Dict"):
        make_vector_env("OddActions", seeds=[0])
    del gymnasium.registry["OddActions-v0"]


@pytest.mark.parametrize(
    ("env_id", "backend", "expected"),
    [
        ("Hopper-v5", None, "batched MuJoCo"),
        ("Hopper", None, "batched MuJoCo"),
        ("Hopper-v5", "Gymnasium", "Gymnasium"),
        ("Hopper-v4", None, "Gymnasium"),
        ("CartPole", None, "Gymnasium"),
        ("cheetah-run", None, "dm_control"),
    ],
)
def test_environments_say_what_steps_them(env_id: str, backend: str | None, expected: str) -> None:
    assert make_vector_env(env_id, seeds=[0], backend=backend).backend == expected


def test_a_backend_that_cannot_step_an_environment_is_refused() -> None:
    for env_id, backend in (("Hopper-v4", "batched MuJoCo"), ("Hopper-v5", "envpool")):
        with pytest.raises(ConfigurationError) as refusal:
            make_vector_env(env_id, seeds=[0], backend=backend)
        assert f"env_id={env_id} is not supported by {backend}" in refusal.value.problem
        assert "Gymnasium" in refusal.value.remedy


@pytest.mark.parametrize("backend", BACKENDS)
def test_mujoco_leaves_no_log_file_and_warns_once(
    backend: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from environments import mujoco_warnings

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mujoco_warnings, "_seen", set())
    envs: Any = make_vector_env("HalfCheetah-v5", seeds=[0, 1], backend=backend)
    envs.reset()  # its model file is deprecated
    with caplog.at_level(logging.WARNING):
        batched = backend == "batched MuJoCo"
        for data in envs.simulations.datas if batched else envs.get_attr("data"):
            data.qvel[0] = np.nan
        envs.step(np.zeros((2, 6), np.float32))
    assert not list(tmp_path.iterdir())
    assert len(caplog.records) == 1
    assert "QVEL" in caplog.text
    output = capfd.readouterr()
    assert "deprecated" not in output.out + output.err
