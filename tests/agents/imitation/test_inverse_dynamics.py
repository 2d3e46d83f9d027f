"""The inverse dynamics' loss by hand: of actions as they reached the environment, of states and their changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agents.demonstrations.dataset import LOOP
from agents.imitation.agent import FromRollout
from agents.imitation.inverse_dynamics import states_of
from tests.agents.builders import OBSERVATION_DIM, SPACES, random_rollout, small_agent, small_config


def test_the_loss_is_the_squared_distance_from_what_reached_the_environment() -> None:
    agent = small_agent(
        small_config("maad", precision="float64", idm_steps=1),
        SPACES["continuous"],
    )
    inverse, sample = agent.inverse, FromRollout(random_rollout(agent, SPACES["continuous"]))
    sample.flat.actions[:] *= 3.0  # most of them are beyond the bounds, which are -1 and 1
    start, given = inverse.parameters.values.clone(), []

    def noted(uniforms: np.ndarray) -> Any:
        given.append(sample(uniforms))
        return given[-1]

    inverse.metrics()
    inverse.update(noted)
    loss = inverse.metrics()["inverse_dynamics/loss"]
    (shown,) = given
    t, moments = inverse.tensors, agent.normalizers
    state = (shown.observations - moments.mean) / np.sqrt(moments.variance)
    before, after = inverse._seen
    change = (shown.next_observations - shown.observations) / (after - before).std(0)
    inputs = torch.from_numpy(np.concatenate([state, change], 1).clip(-10, 10))
    inverse.parameters.values.copy_(start)
    with torch.no_grad():
        found = inverse.net(inputs, inputs)[0].numpy()
    expected = np.square(found - shown.actions.clip(-1, 1)).mean()
    assert (np.abs(shown.actions) > 1).mean() > 0.3 and len(t["action"]) == 16
    assert loss == pytest.approx(expected, rel=1e-9)


def test_no_action_leads_to_an_absorbing_state_or_out_of_it() -> None:
    """The task ended two of four episodes: neither the step to the end nor the loop there is asked about."""
    config = small_config(
        "maad",
        precision="float64",
        wrap_absorb=True,
        expert_demo_subsample=False,
    )
    demos = small_agent(config, SPACES["continuous"]).demos
    given = demos.transitions
    before, after = states_of(demos, OBSERVATION_DIM)
    leads = (given.next_observations[:, -1] == 1) & (given.extras["step"] != LOOP)
    loops = given.extras["step"] == LOOP
    assert leads.sum() == loops.sum() == 2
    assert len(before) == len(demos) - leads.sum() - loops.sum()
    assert before.any(1).all() and after.any(1).all()  # an absorbing state is zeros
