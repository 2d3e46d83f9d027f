"""MAAD: the inverse dynamics find a law that is known, and the guide's term is what its equation says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.base import Transitions
from agents.imitation.agent import FromRollout
from agents.imitation.inverse_dynamics import states_of
from tests.agents.builders import SPACES, small_agent, small_config
from tests.agents.cloning.cases import OBSERVATION_DIM

ACTIONS = 3
STEPS, COPIES = 16, 4  # 64 steps of a rollout over 4 environments


def law(rng: np.random.Generator, *shape: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States, actions beyond their bounds now and then, and successors: s' = s + C clip(a)."""
    states = rng.normal(1.0, 3.0, (*shape, OBSERVATION_DIM))
    actions = rng.uniform(-1.3, 1.3, (*shape, ACTIONS))
    control = np.random.default_rng(5).normal(size=(actions.shape[-1], OBSERVATION_DIM))
    return states, actions, states + actions.clip(-1, 1) @ control


def rollout(seed: int) -> Transitions:
    """What a random policy does under the law."""
    states, actions, successors = law(np.random.default_rng(seed), STEPS, COPIES)
    zeros = np.zeros((STEPS, COPIES))
    return Transitions(
        observations=states,
        actions=actions,
        rewards=zeros,
        next_observations=successors,
        terminated=zeros > 0,
        truncated=zeros > 0,
    )


@pytest.fixture
def agent():
    """In float64, its expert obeying the law too, with actions that nobody is shown."""
    config = small_config("maad", precision="float64", idm_lr=3e-3, idm_perception_stack="mlp_32")
    made = small_agent(config, SPACES["continuous"])
    states, _, successors = law(np.random.default_rng(99), 50)
    given = made.demos.transitions
    assert given.actions.shape[-1] == 0, "actions of demonstrations of states alone"
    made.inverse._seen = states, successors
    made.inverse.tensors |= made.inverse._make_tensors(16, made.normalizers) | {
        name: made.inverse.tensors[name] for name in ("values", "gradients")
    }
    made.inverse._step.tensors.update(made.inverse.tensors)
    return made


def test_the_expert_s_actions_are_found_from_his_states(agent) -> None:
    _, actions, _ = law(np.random.default_rng(99), 50)
    before = (agent.inverse.actions().numpy() - actions.clip(-1, 1)).std()
    for seed in range(60):
        agent.inverse.update(FromRollout(rollout(seed)))
    found = agent.inverse.actions().numpy()
    assert found.shape == actions.shape and np.abs(found).max() <= 1.0
    assert (found - actions.clip(-1, 1)).std() < 0.12 < 0.5 < before
    assert agent.inverse.metrics()["inverse_dynamics/loss"] < 0.3


def test_the_guide_s_term_is_the_squared_distance_of_means() -> None:
    config = small_config("maad", precision="float64", guide_scale=0.7)
    learner = small_agent(config, SPACES["continuous"]).learner
    plain = small_agent(
        small_config("maad", precision="float64", guide_scale=1e-300),
        SPACES["continuous"],
    ).learner
    rng = np.random.default_rng(0)
    batch = {
        "policy_input": rng.normal(size=(8, OBSERVATION_DIM)),
        "value_input": rng.normal(size=(8, OBSERVATION_DIM)),
        "action": rng.normal(size=(8, ACTIONS)),
        **{name: rng.normal(size=8) for name in ("old_log_prob", "advantage", "target")},
        "old_value": rng.normal(size=8),
        "guide_input": rng.normal(size=(8, OBSERVATION_DIM)),
        "guide_action": rng.uniform(-1, 1, (8, ACTIONS)),
    }
    given = {name: torch.from_numpy(array) for name, array in batch.items()}
    loss, metrics = learner.loss(given)
    mean = learner.actor.act(given["guide_input"], None).detach().numpy()
    distance = np.mean((mean - batch["guide_action"]) ** 2)  # bounds are -1 and 1
    assert metrics["policy/guide_loss"].item() == pytest.approx(distance)
    assert loss.item() - plain.loss(given)[0].item() == pytest.approx(0.7 * distance)
    (gradient,) = torch.autograd.grad(loss, [learner.actor.log_std], retain_graph=True)
    (without,) = torch.autograd.grad(plain.loss(given)[0], [plain.actor.log_std])
    torch.testing.assert_close(gradient, without)  # the deviation is PPO's alone


def test_absorbing_states_ask_for_no_action() -> None:
    config = small_config("maad", precision="float64", wrap_absorb=True)
    demos = small_agent(config, SPACES["continuous"]).demos
    before, after = states_of(demos, OBSERVATION_DIM)
    plain = small_agent(small_config("maad", precision="float64"), SPACES["continuous"]).demos
    assert before.shape == after.shape == (len(before), OBSERVATION_DIM)
    assert 0 < len(before) < len(demos) and len(before) <= len(plain)


def test_each_environment_has_its_own_part_of_the_demonstrations() -> None:
    agent = small_agent(small_config("maad", precision="float64"), SPACES["continuous"])
    agent.rollouts = 3
    places = agent._places().reshape(STEPS, COPIES)
    agent.environments = range(2, 4)
    np.testing.assert_array_equal(agent._places().reshape(STEPS, 2), places[:, 2:])
    agent.rollouts = 4
    assert (agent._places().reshape(STEPS, 2) != places[:, 2:]).any()
