"""The table of which algorithm takes which actions: refusals, agents and the page are of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from agents.action_kinds import COLUMNS, check_actions, kind_of, kinds_taken, table
from agents.algorithms import ALGORITHMS
from agents.checks import algorithms_for, check_run
from helpers.errors import ConfigurationError
from helpers.parallel.workers import Workers
from tests.agents.builders import OBSERVATION_DIM, small_agent, small_config
from tests.agents.cloning.cases import CLONING

OF_KIND: dict[str, gymnasium.Space] = {
    "bounded": spaces.Box(np.array([-1.0, 0.0, 2.0]), np.array([3.0, 1.0, 5.0]), dtype=np.float64),
    "unbounded": spaces.Box(
        np.array([-np.inf, 0.0, 2.0]),
        np.array([3.0, np.inf, 5.0]),
        dtype=np.float32,
    ),
    "choice": spaces.Discrete(4, start=-1),
    "choices": spaces.MultiDiscrete([3, 2, 4], start=[0, -1, 2]),
}
OBSERVATIONS = spaces.Box(-np.inf, np.inf, (OBSERVATION_DIM,))
PAGE = Path(__file__).parents[2] / "docs/environments.md"


def test_the_page_has_the_table() -> None:
    assert table() in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", OF_KIND)
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_what_is_taken_acts_and_what_is_not_is_refused_before_anything_starts(
    algo: str,
    kind: str,
) -> None:
    space, settings = OF_KIND[kind], {"task": "eval", "compile": False}
    assert kind_of(space) == kind and set(OF_KIND) == set(dict(COLUMNS))
    config = small_config(algo, **settings)
    if kind in kinds_taken(config):
        agent = small_agent(config, space)
        seen = np.random.default_rng(0).normal(size=(config.num_envs, OBSERVATION_DIM))
        for explore in (False, True):
            actions, _ = agent.predict(seen, explore=explore)
            assert actions.shape == (config.num_envs, *(space.shape or ()))
            if kind in ("choice", "choices"):
                assert all(space.contains(each) for each in actions)
        return
    with pytest.raises(ConfigurationError) as caught:
        check_run(config, (OBSERVATIONS, space), workers=Workers.solo(), is_new=True)
    able = named_in(caught.value.remedy, algo)
    assert able, caught.value.remedy
    for learner in able:
        check_actions(learner, space)  # who is named takes them


def named_in(remedy: str, algo: str) -> list[Any]:
    """The configurations that a remedy names."""
    if algo in CLONING:
        assert "--no-squash_actions" in remedy
        return [small_config(algo, squash_actions=False)]
    words = [word.strip(",.") for word in remedy.split()]
    flags = [
        word.partition("=")[::2] for word in words if word.startswith(("--algo=", "--learner="))
    ]
    return [
        small_config(name) if flag == "--algo" else small_config(algo, learner=name)
        for flag, name in flags
    ]


@pytest.mark.parametrize(
    ("algo", "space", "words"),
    [
        ("dqn", OF_KIND["choices"], ["3 choices in each action (of 3, 2, 4)", "--algo=ppo"]),
        ("sac", OF_KIND["unbounded"], ["without finite bounds", "--algo=ppo"]),
        ("sac", OF_KIND["choice"], ["has 4 discrete actions", "--algo=dqn or --algo=ppo"]),
        ("ppo", spaces.Box(0, 5, (3,), np.int64), ["whole numbers as actions", "MultiDiscrete"]),
        ("bc", spaces.Box(0, 5, (3,), np.uint8), ["whole numbers as actions", "MultiDiscrete"]),
    ],
)
def test_a_refusal_says_what_there_is_and_who_takes_it(
    algo: str,
    space: spaces.Space,
    words: list[str],
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_actions(small_config(algo), space)
    text = f"{caught.value.problem}\n{caught.value.remedy}"
    assert all(word in text for word in words), text


def test_the_algorithms_for_a_space_are_the_tables() -> None:
    assert algorithms_for(OF_KIND["choices"]) == [
        "ppo",
        "bc",
        "dagger",
        "gail",
        "airl",
        "red",
        "maad",
    ]
    assert "dqn" in algorithms_for(OF_KIND["choice"]) and "sac" not in algorithms_for(
        OF_KIND["choice"],
    )
