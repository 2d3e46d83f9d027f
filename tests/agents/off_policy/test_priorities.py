"""What a learner makes of priorities: importance weights, and the errors that become new ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.base import environment_reward
from agents.off_policy.core.algorithm import TD_ERROR, td_numbers
from tests.agents.builders import SPACES, random_rollout, small_agent, small_config


@pytest.mark.parametrize(("progress", "exponent"), [(0.0, 0.4), (0.5, 0.7), (1.0, 1.0), (1.5, 1.0)])
def test_rare_samples_weigh_more_and_fully_at_the_end(progress: float, exponent: float) -> None:
    """(N P)^-beta over the largest of them, beta from priority_correction to 1 (arXiv:1511.05952, 3.4)."""
    settings = {"priority_exponent": 1.0, "priority_correction": 0.4, "precision": "float64"}
    agent = small_agent(small_config("sac", **settings), SPACES["continuous"])
    agent.update(random_rollout(agent, SPACES["continuous"]))
    memory, batch = agent.memory, agent.batch
    places = np.arange(memory.filled * memory.environments)
    memory.update_priorities(places, np.random.default_rng(0).uniform(0.1, 5.0, len(places)))
    index = batch.draw(environment_reward, progress=progress)
    rows, environments = np.divmod(index, memory.environments)
    mass = memory._tree.leaves[: memory.filled]
    probability = mass[rows, environments] / mass.sum(0)[environments]
    expected = (memory.filled * probability) ** -exponent
    np.testing.assert_allclose(batch.tensors["weight"], expected / expected.max(), rtol=1e-10)
    assert np.ptp(expected) > 0.1


def test_an_error_is_the_mean_distance_of_the_critics() -> None:
    values = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    target = torch.tensor([2.0, 1.0])
    assert td_numbers(torch.zeros(()), values, target)[TD_ERROR].tolist() == [1.0, 2.0]
    assert td_numbers(torch.zeros(()), values[1], target)[TD_ERROR].tolist() == [1.0, 1.0]
