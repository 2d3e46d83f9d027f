"""Every OpenSim task: what it promises to learners, and that it goes on where it was saved, bit for bit."""

from typing import Any

import numpy as np
import pytest

from environments.expected import expected_of
from environments.factory import make_vector_env
from environments.opensim import catalogue
from environments.opensim.catalogue import ARM, GAIT, L2M
from environments.sizes import spaces_of
from tests.environments.opensim.variants import VARIANTS

STEPS = 14


def make(name: str, seeds: tuple[int, ...] = (3, 4), **changes: Any):
    env_id, options = VARIANTS[name]
    return make_vector_env(env_id, seeds=list(seeds), options={**options, **changes})


def excitations(envs, count: int = STEPS, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return draw.uniform(0, 1, (count, envs.num_envs, *envs.single_action_space.shape)).astype(
        np.float32,
    )


def play(envs, actions) -> list[tuple[Any, ...]]:
    return [tuple(np.copy(each) for each in envs.step(action)[:4]) for action in actions]


def same(one, other) -> None:
    for left, right in zip(one, other, strict=True):
        for a, b in zip(left, right, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", VARIANTS)
def test_spaces_groups_and_limit_are_those_that_are_told_without_opensim(name: str) -> None:
    env_id, options = VARIANTS[name]
    envs = make(name)
    observations, _ = envs.reset()
    told = spaces_of(env_id, options)
    assert told == (envs.single_observation_space, envs.single_action_space)
    assert observations.shape == envs.observation_space.shape and observations.dtype == np.float64
    assert (envs.single_action_space.low == 0).all() and (envs.single_action_space.high == 1).all()
    names, muscles = envs.names
    assert (
        len(names) == observations.shape[1]
        and tuple(muscles)
        == catalogue.MUSCLES[
            options.get(
                "model",
                {ARM: "arm", GAIT: "gait9dof18musc", L2M: "gait14dof22musc"}[env_id],
            )
        ]
    )
    expected = expected_of(env_id, options)
    every = sorted(index for each in expected.observation_groups.values() for index in each)
    assert every == list(range(observations.shape[1]))
    assert expected.time_limit == envs.max_episode_steps
    assert envs.time_step == 0.01 * catalogue.complete_options(env_id, options)["frame_skip"]


@pytest.mark.parametrize("name", VARIANTS)
def test_a_fresh_copy_goes_on_bit_for_bit_from_a_saved_state(name: str) -> None:
    envs, undisturbed = make(name), make(name)
    actions = excitations(envs)
    for each in (envs, undisturbed):
        each.reset()
        play(each, actions[: STEPS // 2])
    state = envs.state_dict()
    expected = play(undisturbed, actions[STEPS // 2 :])
    fresh = make(name)  # never reset
    fresh.load_state_dict(state)
    np.testing.assert_array_equal(fresh.observations, envs.observations)
    same(play(fresh, actions[STEPS // 2 :]), expected)
    envs.load_state_dict(state)  # nothing of what came after is left in the model
    same(play(envs, actions[STEPS // 2 :]), expected)
    for key in ("generator", "_np_random"):
        states = [
            str(e.envs[0].unwrapped.np_random.bit_generator.state) for e in (fresh, undisturbed)
        ]
        assert states[0] == states[1], key


@pytest.mark.parametrize("name", ["arm", "gait", "l2m"])
def test_seeds_reproduce_episodes_and_differ(name: str) -> None:
    one, other = make(name, pose_spread=0.2), make(name, pose_spread=0.2)
    first, _ = one.reset(seed=[7, 8])
    again, _ = other.reset(seed=[7, 8])
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).any()
    same(play(one, excitations(one, 3)), play(other, excitations(other, 3)))


@pytest.mark.parametrize("name", ["arm", "gait", "l2m"])
def test_infos_tell_the_terms_of_the_reward(name: str) -> None:
    envs = make(name)
    envs.reset()
    for action in excitations(envs, 5):
        _, rewards, _, _, infos = envs.step(action)
        terms = [values for key, values in infos.items() if key.startswith("reward_")]
        assert len(terms) >= 3
        np.testing.assert_allclose(np.sum(terms, axis=0), rewards, rtol=1e-12)
        assert not infos["simulator_failed"].any()


def test_an_arm_moves_as_its_muscles_pull() -> None:
    envs = make("arm", pose_spread=0.0)
    for muscle, joint, sign in (
        ("shoulder_flexor", 0, 1),
        ("shoulder_extensor", 0, -1),
        ("elbow_flexor", 1, 1),
        ("elbow_extensor", 1, -1),
    ):
        before, _ = envs.reset()
        action = np.zeros((2, 6), np.float32)
        action[:, envs.names[1].index(muscle)] = 1.0
        for _ in range(5):
            after, *_ = envs.step(action)
        assert (sign * (after - before)[:, joint] > 0.02).all()
        # what pulls gets shorter, and its activation is at most its excitation
        lengths = slice(10 + 6, 10 + 12)
        assert (after[:, lengths] < before[:, lengths])[:, envs.names[1].index(muscle)].all()
        assert 0.5 < after[0, 10 + envs.names[1].index(muscle)] <= 1.0


@pytest.mark.parametrize("target", catalogue.TARGETS)
def test_targets_are_within_reach(target: str) -> None:
    envs = make("arm", seeds=tuple(range(30)), target=target)
    observations, _ = envs.reset()
    distance = np.linalg.norm(observations[:, 6:8], axis=1)
    assert (distance < 0.65).all() and (distance > 0.1).all()
    if target == "near":
        assert (distance < 0.45).all()
    if target == "far":
        assert (distance > 0.45).all()


def test_an_arms_episode_is_truncated_after_two_seconds_and_its_last_observation_is_told() -> None:
    envs = make("arm")
    envs.reset()
    last = play(envs, excitations(envs, envs.max_episode_steps - 1))
    assert not any(each[3].any() for each in last)
    observations, _, terminated, truncated, infos = envs.step(excitations(envs, 1)[0])
    assert truncated.all() and not terminated.any()
    successors = envs.successors(observations, infos)
    assert (successors != observations).any(axis=1).all()
    assert (observations[:, 2:4] == 0).all()  # a new episode begins at rest


def test_a_walker_that_falls_terminates() -> None:
    envs = make("gait", seeds=(1,))
    envs.reset()
    action = np.full((1, 18), 0.01, np.float32)
    for _ in range(60):
        _, _, terminated, truncated, infos = envs.step(action)
        if terminated[0]:
            break
    assert terminated[0] and not truncated[0]
    assert infos["final_obs"][0][1] < 0.65 or abs(infos["final_obs"][0][0]) > 1.0


def test_a_weaker_muscle_pulls_less() -> None:
    after = []
    for factor in (1.0, 0.2):
        envs = make("arm", seeds=(1,), pose_spread=0.0, strength={"elbow_flexor": factor})
        envs.reset()
        action = np.zeros((1, 6), np.float32)
        action[0, 2] = 1.0
        for _ in range(5):
            observations, *_ = envs.step(action)
        after.append(observations[0, 1])
    assert after[1] < after[0] - 0.05


def test_more_accuracy_changes_little_and_a_longer_action_is_several_short_ones() -> None:
    found = {}
    for name, changes in {
        "coarse": {"accuracy": 1e-2},
        "fine": {"accuracy": 1e-6},
        "short": {"accuracy": 1e-6, "frame_skip": 1},
    }.items():
        envs = make("arm", seeds=(1,), **changes)
        envs.reset()
        for action in excitations(envs, 10):
            for _ in range(2 if name == "short" else 1):
                observations, *_ = envs.step(action)
        found[name] = observations
    np.testing.assert_allclose(found["coarse"], found["fine"], atol=0.05)
    np.testing.assert_allclose(found["short"], found["fine"], atol=1e-4)


@pytest.mark.parametrize("name", ["arm", "gait", "l2m"])
def test_resting_environments_stay_where_they_are(name: str) -> None:
    envs = make(name)
    envs.reset()
    envs.rest(np.array([True, False]))
    before = envs.observations
    after, rewards, terminated, truncated, _ = envs.step(excitations(envs, 1)[0])
    np.testing.assert_array_equal(after[0], before[0])
    assert rewards[0] == 0 and not terminated[0] and not truncated[0]
    assert (after[1] != before[1]).any()
