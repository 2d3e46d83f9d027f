"""Episodes end one by one: those that have ended rest, and the others' numbers do not know of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from environments.factory import make_vector_env
from helpers.episodes import STEP_NAMES, RandomPolicy, clip_actions, run_episodes

SEEDS = [3, 11, 4, 27]
CASES = [
    "Hopper-v5",
    "Ant-v5",
    "CartPole-v1",
    "Pendulum-v1",
]  # batched, with contact forces, serial, all of one length


class Watched:
    """A vector environment whose steps are counted, environment by environment."""

    def __init__(self, environment: Any) -> None:
        self.environment, self.steps, self.resting = environment, 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.environment, name)

    def step(self, actions: np.ndarray) -> Any:
        self.steps += self.environment.num_envs - self.resting
        return self.environment.step(actions)

    def rest(self, chosen: np.ndarray) -> None:
        self.resting += int(chosen.sum())
        self.environment.rest(chosen)


def all_stepped_to_the_last(environment: Any, policy: RandomPolicy) -> list[dict[str, np.ndarray]]:
    """The same episodes, every environment going on beside them until all have ended."""
    observations, _ = environment.reset(seed=SEEDS)
    rows: list[list[Any]] = [[] for _ in SEEDS]
    running = np.ones(len(SEEDS), dtype=bool)
    while running.any():
        actions, _ = policy.predict(observations, explore=False)
        after, rewards, terminated, truncated, infos = environment.step(actions)
        successors = environment.successors(after, infos)
        executed = clip_actions(actions, environment.single_action_space)
        for i in np.flatnonzero(running):
            columns = (observations, executed, rewards, successors, terminated, truncated)
            rows[i].append([column[i].copy() for column in columns])
        running &= ~(terminated | truncated)
        observations = after
    stacked = [[np.stack(column) for column in zip(*each, strict=True)] for each in rows]
    return [dict(zip(STEP_NAMES, each, strict=True)) for each in stacked]


@pytest.mark.parametrize("env_id", CASES)
def test_what_has_ended_is_not_stepped_and_nothing_else_changes(env_id: str) -> None:
    environment = make_vector_env(env_id, seeds=SEEDS)
    watched = Watched(environment)
    policy = RandomPolicy(environment.action_space, seed=5)
    wanted = all_stepped_to_the_last(environment, RandomPolicy(environment.action_space, seed=5))
    found = run_episodes(watched, policy, seeds=SEEDS, keep_steps=True)
    assert watched.steps == sum(episode.length for episode in found)
    assert env_id == "Pendulum-v1" or len({episode.length for episode in found}) > 1
    for episode, seed, steps in zip(found, SEEDS, wanted, strict=True):
        assert episode.seed == seed and episode.steps.keys() == steps.keys()
        for name, column in steps.items():
            assert np.array_equal(episode.steps[name], column), name
        assert episode.length == len(steps["rewards"])
        assert episode.return_ == sum(steps["rewards"].tolist())
        assert episode.terminated == steps["terminated"][-1]
    again = run_episodes(environment, RandomPolicy(environment.action_space, seed=5), seeds=SEEDS)
    assert [(e.return_, e.length) for e in again] == [(e.return_, e.length) for e in found]
    environment.close()


@pytest.mark.parametrize("env_id", CASES)
def test_what_rests_stays_where_it_is_until_it_is_reset(env_id: str) -> None:
    environment, undisturbed = (make_vector_env(env_id, seeds=SEEDS) for _ in range(2))
    first, _ = environment.reset()
    undisturbed.reset()
    environment.rest(np.array([False, True, False, True]))
    for seed in range(3):
        environment.action_space.seed(seed)
        actions = environment.action_space.sample()
        after, rewards, terminated, truncated, infos = environment.step(actions)
        others, *outcome, _ = undisturbed.step(actions)
        assert np.array_equal(after[1::2], first[1::2]) and np.array_equal(after[::2], others[::2])
        for mine, theirs in zip((rewards, terminated, truncated), outcome, strict=True):
            assert not mine[1::2].any() and np.array_equal(mine[::2], theirs[::2])
        assert np.array_equal(environment.successors(after, infos), after)
        assert np.array_equal(environment.observations, after)
    environment.reset()
    undisturbed.reset()
    step, other = environment.step(actions), undisturbed.step(actions)
    assert np.array_equal(step[0], other[0]) and np.array_equal(step[1], other[1])
    environment.rest(np.ones(len(SEEDS), dtype=bool))
    environment.close()
