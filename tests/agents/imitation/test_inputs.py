"""Rows of the absorbing state: nothing of an action shows in them, whatever actions are like."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch

from agents.base import Transitions
from agents.imitation.inputs import InputBuilder
from tests.agents.builders import OBSERVATION_DIM, small_config

SPACES: dict[str, gymnasium.Space] = {
    "uneven bounds": gymnasium.spaces.Box(np.float32([0.0, 2.0]), np.float32([0.02, 10.0])),
    "a choice": gymnasium.spaces.Discrete(4),
    "a choice from -1": gymnasium.spaces.Discrete(4, start=-1),
    "several choices": gymnasium.spaces.MultiDiscrete([3, 2], start=[1, -1]),
}


@pytest.mark.parametrize("kind", SPACES)
def test_an_absorbing_state_has_no_action(kind: str) -> None:
    space = SPACES[kind]
    config = small_config("gail", precision="float64", wrap_absorb=True)
    builder = InputBuilder(OBSERVATION_DIM, space, config)
    space.seed(0)
    made = np.stack([space.sample() for _ in range(3)])
    ends = np.array([False, True, False])
    seen = np.random.default_rng(0).normal(size=(2, 3, OBSERVATION_DIM))
    steps = Transitions(seen[0], made, np.zeros(3), seen[1], ends, ~ends)
    buffers = builder.make_buffers(4)
    builder.fill_policy(buffers, steps)
    moments = {"offset": torch.ones(OBSERVATION_DIM), "scale": torch.full((OBSERVATION_DIM,), 2.0)}
    rows = builder.rows(buffers, **moments)
    states = OBSERVATION_DIM + 1
    actions = rows[:, states : states + builder.actions]
    assert (actions[:3] != 0).any(1).all()  # what was done shows
    assert rows[3, :states].tolist() == [0.0] * OBSERVATION_DIM + [1.0]
    assert not actions[3].any()
