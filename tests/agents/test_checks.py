"""What a run asks before it begins, beside what the agent itself then makes."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from agents.algorithms import ALGORITHMS
from agents.checks import check_run, record_of
from agents.common_settings import ALL_ACTIONS, BOUNDED, CHOICE
from helpers.errors import ConfigurationError
from helpers.parallel.workers import Workers
from tests.agents.builders import OBSERVATION_DIM, SPACES, small_agent, small_config

REPLAYING = ("sac", "td3", "ddpg", "crossq", "redq", "tqc", "dqn")
OBSERVATIONS = gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATION_DIM,))


def kind_of(algo: str) -> str:
    return "discrete" if algo == "dqn" else "continuous"


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("algo", REPLAYING)
def test_the_arithmetic_is_of_the_records_that_the_memory_takes(algo: str, precision: str) -> None:
    config = small_config(algo, precision=precision)
    space = SPACES[kind_of(algo)]
    agent = small_agent(config, space)
    assert record_of(config, (OBSERVATIONS, space)) == agent.memory._ring.records.dtype


def test_every_algorithm_says_what_actions_it_takes() -> None:
    taken = {algo: getattr(config, "ACTIONS", None) for algo, config in ALGORITHMS.items()}
    assert taken["ppo"] == ALL_ACTIONS
    kinds = {algo: {CHOICE} if algo == "dqn" else {BOUNDED} for algo in REPLAYING}
    assert {algo: taken[algo] for algo in REPLAYING} == kinds


@pytest.mark.parametrize("algo", REPLAYING)
def test_an_agent_refuses_actions_it_cannot_give_whoever_makes_it(algo: str) -> None:
    """Also where the spaces were not known before: a user's own environment, an evaluation."""
    other = "continuous" if kind_of(algo) == "discrete" else "discrete"
    with pytest.raises(ConfigurationError, match=f"algo={algo} takes {kind_of(algo)} actions"):
        small_agent(small_config(algo), SPACES[other])
    config = small_config(algo)
    check_run(config, None, workers=Workers.solo(), is_new=True)
    check_run(config, (OBSERVATIONS, SPACES[kind_of(algo)]), workers=Workers.solo(), is_new=True)
    with pytest.raises(ConfigurationError, match=f"algo={algo} takes"):
        check_run(config, (OBSERVATIONS, SPACES[other]), workers=Workers.solo(), is_new=True)


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_no_learner_takes_actions_of_no_numbers(algo: str) -> None:
    """PPO's kernels crashed on them; off-policy learners raised KeyError."""
    nothing = gymnasium.spaces.Box(-1.0, 1.0, (0,), np.float32)
    with pytest.raises(ConfigurationError, match="actions of no numbers"):
        small_agent(small_config(algo), nothing)
    config = small_config(algo)
    with pytest.raises(ConfigurationError, match="actions of no numbers"):
        check_run(config, (OBSERVATIONS, nothing), workers=Workers.solo(), is_new=True)


def test_what_is_imported_is_looked_at_only_by_a_new_run() -> None:
    config = small_config("sac", memory_import="no/such/*.pt")
    spaces = OBSERVATIONS, SPACES["continuous"]
    check_run(config, spaces, workers=Workers.solo(), is_new=False)
    for known in (spaces, None):
        with pytest.raises(ConfigurationError, match="matches no exported file"):
            check_run(config, known, workers=Workers.solo(), is_new=True)
