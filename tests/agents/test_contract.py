"""What every algorithm promises, whatever it learns by."""

import copy
from typing import Any

import numpy as np
import pytest

from tests.agents.builders import (
    CHOICES,
    OBSERVATION_DIM,
    SPACES,
    random_rollout,
    small_agent,
    small_config,
    transplant,
)
from tests.agents.cloning.cases import CLONING, sources
from tests.agents.imitation.cases import IMITATING, demonstrations

CASES = [
    ("ppo", "continuous"),
    ("ppo", "discrete"),
    ("sac", "continuous"),
    ("td3", "continuous"),
    ("ddpg", "continuous"),
    ("crossq", "continuous"),
    ("redq", "continuous"),
    ("tqc", "continuous"),
    ("dqn", "discrete"),
    ("bc", "continuous"),
    ("bc", "discrete"),
    ("dagger", "continuous"),
    ("dagger", "discrete"),
    ("gail", "continuous"),
    ("gail", "discrete"),
    ("airl", "continuous"),
    ("sam", "continuous"),
    ("dac", "continuous"),
    ("red", "continuous"),
    ("maad", "continuous"),
    ("maad", "discrete"),
    ("ppo", "from -1"),
    ("ppo", "several"),
    ("dqn", "from -1"),
    ("bc", "from -1"),
    ("bc", "several"),
    ("dagger", "several"),
    ("gail", "from -1"),
    ("gail", "several"),
    ("airl", "several"),
    ("red", "several"),
    ("maad", "several"),
]


def flat(state, prefix=""):
    """A nested state as {path: bytes or value}."""
    result = {}
    for name, value in state.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[prefix + name] = np.asarray(value).tobytes()
    return result


@pytest.fixture(params=CASES, ids=["-".join(case) for case in CASES])
def case(request):
    return made(*request.param)


def made(algo, kind):
    further: dict[str, Any] = (
        {"expert_path": str(demonstrations(kind))} if algo in IMITATING else {}
    )
    if kind == "several":
        further["compile"] = False  # no kernel in C: torch would be compiled
    return small_config(algo, **sources(algo, kind), **further), (SPACES | CHOICES)[kind]


def test_actions_fit_the_space(case):
    config, space = case
    agent = small_agent(config, space)
    rollout = random_rollout(agent, space)
    assert rollout.actions.shape == (agent.rollout_len, config.num_envs, *space.shape)
    assert rollout.actions.dtype == (np.float32 if hasattr(space, "low") else np.int64)
    if not hasattr(space, "low"):
        assert all(space.contains(each) for row in rollout.actions for each in row)
    seen = np.random.default_rng(0).normal(1.0, 3.0, (config.num_envs, OBSERVATION_DIM))
    greedy, _ = agent.predict(seen, explore=False)
    again, _ = agent.predict(seen, explore=False)
    np.testing.assert_array_equal(greedy, again)
    assert greedy.shape == (config.num_envs, *space.shape)
    assert greedy.dtype == rollout.actions.dtype
    assert not agent.rollout_len or len(np.unique(rollout.actions)) > 2


def test_the_same_seed_gives_the_same_agent_and_another_seed_another(case):
    config, space = case
    states = []
    for seed in (0, 0, 1):
        agent = small_agent(config.model_copy(update={"seed": seed}), space)
        agent.update(random_rollout(agent, space))
        states.append(flat(agent.state_dict()))
    assert states[0] == states[1]
    assert states[0] != states[2]


def test_state_dict_round_trip_gives_bitwise_the_same_next_update(case):
    config, space = case
    first = small_agent(config, space)
    for i in range(2):
        first.update(random_rollout(first, space, iteration=i))
    second = small_agent(config.model_copy(update={"seed": config.seed}), space)
    transplant(first, second)
    for i in range(2, 4):
        rollouts = [random_rollout(agent, space, iteration=i) for agent in (first, second)]
        np.testing.assert_array_equal(rollouts[0].actions, rollouts[1].actions)
        metrics = [a.update(r) for a, r in zip((first, second), rollouts, strict=True)]
        assert metrics[0] == metrics[1]
    assert flat(first.state_dict()) == flat(second.state_dict())


def test_a_saved_state_does_not_move_with_the_agent(case):
    config, space = case
    agent = small_agent(config, space)
    saved = agent.state_dict()
    before = flat(saved)
    agent.update(random_rollout(agent, space))
    assert flat(saved) == before
    assert flat(agent.state_dict()) != before


def test_the_rollout_is_not_mutated(case):
    config, space = case
    agent = small_agent(config, space)
    rollout = random_rollout(agent, space)
    before = copy.deepcopy(rollout)
    agent.update(rollout)
    for name in ("observations", "actions", "rewards", "next_observations", "terminated"):
        np.testing.assert_array_equal(getattr(rollout, name), getattr(before, name))


def test_metrics_are_finite_floats_with_a_section(case):
    config, space = case
    agent = small_agent(config, space)
    metrics = agent.update(random_rollout(agent, space))
    for name, value in metrics.items():
        assert isinstance(value, float) and np.isfinite(value), name
        assert "/" in name


@pytest.mark.parametrize(
    ("algo", "kind"),
    [(algo, kind) for algo, kind in CASES if algo not in CLONING + IMITATING],
)
def test_a_replaced_reward_is_what_is_learnt_from(algo, kind):
    config, space = made(algo, kind)
    states = []
    for reward in (lambda r: r.rewards, lambda r: -r.rewards):
        agent = small_agent(config, space)
        agent.update(random_rollout(agent, space), reward)
        states.append(flat(agent.state_dict()))
    assert states[0] != states[1]
