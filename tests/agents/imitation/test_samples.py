"""What a reward model is shown: of every environment, of every demonstration, and never of what is not there."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.imitation.agent import FromRollout, _FromMemory
from tests.agents.builders import SPACES, random_rollout, small_agent, small_config

CONTINUOUS = SPACES["continuous"]


def test_samples_of_a_rollout_and_of_a_memory_come_of_each_environment() -> None:
    """Row n of the uniforms is environment n's, whatever lies in the memory beyond what is filled."""
    agent = small_agent(small_config("sam", precision="float64"), CONTINUOUS)
    rollout = random_rollout(agent, CONTINUOUS)
    agent.update(rollout)
    assert agent.learner.memory.filled < agent.learner.memory.rows
    uniforms = np.random.default_rng(0).random((4, 5))
    rows = (uniforms * len(rollout.rewards)).astype(int)
    expected = np.concatenate([rollout.observations[rows[n], n] for n in range(4)])
    for sample in (FromRollout(rollout), _FromMemory(agent.learner.memory)):
        np.testing.assert_array_equal(sample(uniforms).observations, expected)


def test_a_discriminator_goes_through_all_demonstrations() -> None:
    agent = small_agent(small_config("gail", precision="float64", d_batch_size=8), CONTINUOUS)
    shown, seen = agent.demos.transitions.observations, []
    draw = agent.model.batch.draw

    def noted(sample: Any) -> None:
        draw(sample)
        seen.append(agent.model.tensors["expert.observation"].numpy().copy())
        assert set(agent.model.tensors["expert.label"].tolist()) == {1.0}
        assert set(agent.model.tensors["policy.label"].tolist()) == {0.0}

    agent.model.batch.draw = noted
    for i in range(2):
        agent.update(random_rollout(agent, CONTINUOUS, iteration=i))
    found = np.concatenate(seen)
    assert len(found) == len(shown) == 32
    np.testing.assert_array_equal(np.sort(found, axis=0), np.sort(shown, axis=0))


def test_red_distils_all_demonstrations_into_the_predictor_alone() -> None:
    config = small_config("red", precision="float64", red_epochs=3, d_batch_size=8, red_width=2.0)
    agent = small_agent(config, CONTINUOUS)
    model = agent.model
    start = model.parameters.values.clone()
    seen, step = [], model._step

    def noted() -> None:
        seen.append(model.tensors["observation"].numpy().copy())
        step()

    model._step = noted
    model.prepare()
    found = np.concatenate(seen).reshape(3, 32, -1)
    for epoch in found:
        np.testing.assert_array_equal(
            np.sort(epoch, 0),
            np.sort(agent.demos.transitions.observations, 0),
        )
    moved = (model.parameters.values != start).double()
    assert moved[model.parameters.segments["predictor"]].mean() > 0.5
    assert moved[model.parameters.segments["target"]].max() == 0.0
    assert model.tensors["width"].item() == 2.0 * model.expert_error()
