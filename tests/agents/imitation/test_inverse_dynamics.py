"""The inverse dynamics' loss by hand: of actions as they reached the environment, of states and their changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agents.imitation.agent import FromRollout
from tests.agents.builders import SPACES, random_rollout, small_agent, small_config


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
