"""PPO's loss and what it is given against its equations, written out in numpy; a resumed schedule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agents.base import Transitions
from tests.agents.builders import OBSERVATION_DIM, SPACES, random_rollout, small_agent, small_config
from tests.agents.test_losses import gae_by_double_loop

ROWS, ACTIONS = 40, 3
OPTIONS = {"precision": "float64", "compile": False}


def agent_of(kind: str = "continuous", **settings: Any) -> Any:
    """Every parameter moved by noise of its own."""
    agent = small_agent(small_config(**OPTIONS | settings), SPACES[kind])
    values = agent.parameters.values
    values.add_(0.5 * torch.from_numpy(np.random.default_rng(3).normal(size=len(values))))
    return agent


def test_the_loss_is_surrogate_value_and_entropy_as_they_are_weighed() -> None:
    agent = agent_of(clip_ratio=0.1, value_clip=0.3, baseline_scale=0.7, p_ent_reg_scale=0.2)
    rng = np.random.default_rng(0)
    seen, made = rng.normal(size=(ROWS, OBSERVATION_DIM)), rng.normal(size=(ROWS, ACTIONS))
    with torch.no_grad():
        mean = agent.actor.outputs(torch.from_numpy(seen)).numpy()
        value = agent.critic(torch.from_numpy(seen)).numpy()
    log_std = agent.actor.log_std.detach().numpy()
    z = (made - mean) / np.exp(log_std)
    log_prob = -(0.5 * z**2 + log_std + 0.5 * np.log(2 * np.pi)).sum(1)
    batch = {
        "policy_input": seen,
        "value_input": seen,
        "action": made,
        "old_log_prob": log_prob - rng.normal(size=ROWS) * 0.2,
        "advantage": rng.normal(size=ROWS),
        "target": value + rng.normal(size=ROWS),
        "old_value": value + rng.normal(size=ROWS) * 0.5,
    }
    ratio = np.exp(log_prob - batch["old_log_prob"])
    both = ratio * batch["advantage"], np.clip(ratio, 0.9, 1.1) * batch["advantage"]
    near = batch["old_value"] + np.clip(value - batch["old_value"], -0.3, 0.3)
    errors = np.maximum((value - batch["target"]) ** 2, (near - batch["target"]) ** 2)
    entropy = (log_std + 0.5 + 0.5 * np.log(2 * np.pi)).sum()
    expected = -np.minimum(*both).mean() + 0.7 * errors.mean() - 0.2 * entropy
    loss, metrics = agent.loss({name: torch.from_numpy(each) for name, each in batch.items()})
    assert loss.item() == pytest.approx(expected, rel=1e-10)
    assert metrics["policy/loss"].item() == pytest.approx(-np.minimum(*both).mean(), rel=1e-10)
    assert metrics["value/loss"].item() == pytest.approx(errors.mean(), rel=1e-10)


@pytest.mark.parametrize("settings", [{}, {"v_batch_norm": False}, {"normalize_values": False}])
def test_advantages_ask_the_value_of_the_true_successor(settings: dict[str, Any]) -> None:
    """Episodes end in states that the next row does not show; values in units of reward, targets in the critic's."""
    agent = agent_of(gamma=0.9, gae_lambda=0.8, **settings)
    agent.update(random_rollout(agent, SPACES["continuous"]))  # moments that are not 0 and 1
    rollout = random_rollout(agent, SPACES["continuous"], iteration=1)
    successors = rollout.next_observations
    goes_on = ~(rollout.terminated | rollout.truncated)[:-1]
    successors[:-1][goes_on] = rollout.observations[1:][goes_on]

    def value(observations: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            found = agent.critic(torch.from_numpy(agent._value_input(observations))).numpy()
        return np.asarray(found * agent.return_normalizer.sd + agent.return_normalizer.center)

    fresh = rollout.rows_with_own_successor()
    assert fresh[-1].all() and 4 < fresh.sum() < fresh.size
    found = agent._estimate(
        torch.from_numpy(agent._value_input(rollout.observations)).flatten(0, 1),
        torch.from_numpy(agent._value_input(successors[fresh])),
        fresh,
        rollout.rewards,
        rollout,
    )
    values = value(rollout.observations)
    expected = gae_by_double_loop(
        rollout.rewards,
        values,
        value(successors),
        rollout.terminated,
        rollout.truncated,
        0.9,
        0.8,
    )
    np.testing.assert_allclose(found["advantage"], expected.reshape(-1), rtol=1e-8, atol=1e-10)
    target = (expected + values - agent.return_normalizer.center) / agent.return_normalizer.sd
    np.testing.assert_allclose(found["target"], target.reshape(-1), rtol=1e-8, atol=1e-10)


def test_advantages_follow_the_critic_from_epoch_to_epoch_where_they_are_to() -> None:
    for recomputes in (False, True):
        agent, asked = agent_of(recompute_advantages=recomputes), []
        estimate = agent._estimate

        def noted(*given: Any, estimate: Any = estimate, asked: Any = asked) -> Any:
            asked.append(estimate(*given))
            return asked[-1]

        agent._estimate = noted
        agent.update(random_rollout(agent, SPACES["continuous"]))
        assert len(asked) == (3 if recomputes else 1)  # epochs


@pytest.mark.parametrize(
    "settings",
    [{"lr_schedule": "adaptive", "desired_kl": 1e-4}, {"lr_schedule": "linear"}],
    ids=lambda settings: str(settings["lr_schedule"]),
)
def test_a_resumed_run_goes_on_at_its_rate_with_its_moments_and_new_noise(
    settings: dict[str, Any],
) -> None:
    first, second = (
        small_agent(small_config(**OPTIONS | settings), SPACES["continuous"]) for _ in range(2)
    )
    for i in range(2):
        first.update(random_rollout(first, SPACES["continuous"], iteration=i))
    second.load_state_dict(first.state_dict())
    assert second.learning_rates.scale == first.learning_rates.scale != 1.0
    assert second.return_normalizer.sd == first.return_normalizer.sd != 1.0
    seen = np.zeros((4, OBSERVATION_DIM))
    acted = [agent.predict(seen, explore=True)[0] for agent in (first, second)]
    np.testing.assert_array_equal(*acted)


def test_moments_are_those_that_the_rollout_was_collected_under() -> None:
    """Every epoch sees the rollout standardised as it was when the policy acted; the moments move afterwards."""
    agent = agent_of()
    agent.update(random_rollout(agent, SPACES["continuous"]))
    rollout: Transitions = random_rollout(agent, SPACES["continuous"], iteration=1)
    expected = agent.observation_normalizer(rollout.observations).reshape(-1, OBSERVATION_DIM)
    given, epoch = [], agent.gradient_steps.epoch

    def noted(data: Any, *more: Any) -> Any:
        given.append(data["policy_input"].clone())
        return epoch(data, *more)

    agent.gradient_steps.epoch = noted
    agent.update(rollout)
    assert len(given) == 3
    for each in given:
        np.testing.assert_array_equal(each, expected)
