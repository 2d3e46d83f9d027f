"""Groups of the observation that a reward model does not see: it does not depend on them, and all else is as ever."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from agents.algorithms import SCHEMA
from agents.base import Transitions
from agents.checks import unseen_numbers
from agents.factory import make_agent
from agents.imitation.inputs import InputBuilder
from helpers.demos.episode import Expected
from helpers.errors import ConfigurationError
from helpers.parallel.workers import Workers
from helpers.seeding import Streams
from tests.agents.imitation.cases import IMITATING, imitation_settings

SIZE = 4
GROUPS = {"bones": [0, 2], "muscles": [1, 3]}
EXPECTED = Expected("Made-Up-v0", observation_size=SIZE, observation_groups=GROUPS)


def config_of(algo: str, **settings: object):
    kept = {"algo": algo, "num_envs": 2, "env_id": "Hopper-v5", **settings}
    return SCHEMA.resolve(SCHEMA.layer_of(kept)).config


def transitions(draw: np.random.Generator, count: int = 6) -> Transitions:
    ends = np.zeros(count, dtype=bool)
    return Transitions(
        draw.normal(size=(count, SIZE)),
        draw.uniform(-1, 1, (count, 2)),
        np.zeros(count),
        draw.normal(size=(count, SIZE)),
        ends,
        ends.copy(),
        {},
    )


@pytest.mark.parametrize("settings", [{}, {"state_state": True}, {"wrap_absorb": True}])
def test_rows_are_made_of_what_is_seen(settings) -> None:
    space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    config = config_of("gail", **imitation_settings(), **settings)
    seen, every = (
        InputBuilder(SIZE, space, config, GROUPS["muscles"]),
        InputBuilder(SIZE, space, config),
    )
    assert seen.columns.tolist() == [0, 2] and seen.full_dim == SIZE
    assert every.size - seen.size == 2 * (1 + every.has_successor)
    given = transitions(np.random.default_rng(0))
    changed = Transitions(
        given.observations + [0, 9, 0, 9],
        given.actions,
        given.rewards,
        given.next_observations + [0, -7, 0, 7],
        given.terminated,
        given.truncated,
        {},
    )

    def rows(builder: InputBuilder, steps: Transitions) -> np.ndarray:
        buffers = builder.make_buffers(len(steps.rewards))
        builder.fill_policy(buffers, steps)
        offset, scale = torch.zeros(builder.observation_dim), torch.ones(builder.observation_dim)
        return builder.rows(buffers, offset=offset, scale=scale).numpy()

    np.testing.assert_array_equal(rows(seen, given), rows(seen, changed))
    assert (rows(every, given) != rows(every, changed)).any()
    left = [0, 2] if not config.wrap_absorb else [0, 2, 4]
    np.testing.assert_array_equal(rows(seen, given)[:, : len(left)], rows(every, given)[:, left])


def test_groups_by_name() -> None:
    settings = imitation_settings()
    assert unseen_numbers(config_of("gail", **settings), EXPECTED) == []
    assert unseen_numbers(config_of("gail", **settings, d_without="muscles"), EXPECTED) == [1, 3]
    for wrong, expected, said in (
        ("nerves", EXPECTED, "no group nerves[\\s\\S]*bones, muscles"),
        ("bones,muscles", EXPECTED, "leaves nothing"),
        ("bones", Expected("Hopper-v5"), "no groups: omit"),
        ("bones", None, "no groups: omit"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            unseen_numbers(config_of("gail", **settings, d_without=wrong), expected)


@pytest.mark.parametrize("algo", IMITATING)
def test_every_imitation_takes_it(algo: str) -> None:
    from tests.agents.cloning.cases import OBSERVATION_DIM

    groups = {"bones": list(range(1, OBSERVATION_DIM)), "muscles": [0]}
    expected = Expected("Hopper-v5", observation_groups=groups)
    learner = (
        {"mem_size": 400, "rollout_len": 4}
        if algo in ("sam", "dac")
        else {"rollout_len": 20, "batch_size": 20}
    )
    config = config_of(
        algo,
        **imitation_settings(),
        **learner,
        d_without="muscles",
        expert_mismatch="warn",
    )
    agent: Any = make_agent(
        config,
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATION_DIM,)),
        action_space=gymnasium.spaces.Box(-1, 1, (3,), np.float32),
        workers=Workers.solo(),
        streams=Streams(0),
        environments=slice(0, 2),
        expected=expected,
    )
    assert agent.model.rows.columns.tolist() == groups["bones"]


def test_a_gaussian_begins_in_the_middle_of_uneven_bounds() -> None:
    """Its deviation is half the range there: a muscle's 0 to 1 is explored from 0.5."""
    bounds = np.float32([0, -1, -np.inf]), np.float32([1, 3, np.inf])
    config = config_of("ppo", p_batch_norm=False, policy_std_init=0.5, compile=False, task="eval")
    agent = make_agent(
        config,
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (SIZE,)),
        action_space=gymnasium.spaces.Box(*bounds),
        workers=Workers.solo(),
        streams=Streams(0),
        environments=slice(0, 2),
    )
    seen = np.zeros((2, SIZE), np.float32)
    middle, _ = agent.predict(seen, explore=False)
    np.testing.assert_allclose(middle, [[0.5, 1.0, 0.0]] * 2)
    drawn = np.stack([agent.predict(seen, explore=True)[0] for _ in range(400)]).reshape(-1, 3)
    np.testing.assert_allclose(drawn.std(0), [0.25, 1.0, 0.5], rtol=0.15)
