"""The critic's unit moves, what it says in units of reward does not; rewards in another unit give the same training."""

import numpy as np
import pytest
import torch

from agents.nn.normalizer import ReturnNormalizer
from helpers.parallel.workers import Workers
from tests.agents.builders import SPACES, random_rollout, small_agent, small_config, train_on
from tests.probes import environments as probes

OBSERVATIONS = np.random.default_rng(5).normal(1.0, 3.0, (20, 5))


def values(agent) -> np.ndarray:
    """In units of reward."""
    inputs = torch.from_numpy(agent._value_input(OBSERVATIONS))
    return agent.return_normalizer.denormalize(agent.gradient_steps.values(inputs).numpy())


@pytest.mark.parametrize(
    "settings",
    [{}, {"shared_value": True}, {"v_activation": "elu", "compile": False}],
)
@pytest.mark.parametrize(("precision", "close"), [("float64", 1e-12), ("float32", 2e-6)])
def test_new_moments_leave_values_in_units_of_reward(settings, precision, close):
    agent = small_agent(small_config(precision=precision, **settings), SPACES["discrete"])
    agent.update(random_rollout(agent, SPACES["discrete"]))
    before, sd = values(agent), agent.return_normalizer.sd
    agent.value_units.update(np.linspace(-40.0, 300.0, 64).astype(precision))
    assert agent.return_normalizer.sd > 5.0 * sd
    np.testing.assert_allclose(values(agent), before, rtol=close, atol=close * 1000.0)


def test_a_first_unit_is_there_before_the_first_gradient():
    agent = small_agent(small_config(), SPACES["discrete"])
    rollout = random_rollout(agent, SPACES["discrete"])
    large = lambda given: 1e4 * (given.rewards + 3.0)  # noqa: E731
    metrics = agent.update(rollout, large)
    assert metrics["value/return_sd"] > 1e3
    assert metrics["value/loss"] < 10.0


@pytest.mark.parametrize("scale", [1e-3, 1e3])
@pytest.mark.parametrize("kind", ["continuous", "discrete"])
def test_rewards_in_another_unit_give_the_same_training(kind, scale):
    """20 iterations with raw rewards and with scaled ones: the policies are the same, and values are scaled."""

    def trained(factor):
        settings = {"precision": "float64", "batch_norm_all": False, "gamma": 0.99}
        agent = small_agent(small_config(**settings), SPACES[kind])
        for iteration in range(20):
            agent.iteration = iteration
            rollout = random_rollout(agent, SPACES[kind], iteration=iteration)
            agent.update(
                rollout,
                lambda given: factor * (given.rewards + given.observations[..., 0]),
            )
        return agent

    plain, scaled = trained(1.0), trained(scale)
    actions = [agent.actor.outputs(torch.from_numpy(OBSERVATIONS)) for agent in (plain, scaled)]
    torch.testing.assert_close(*actions, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(values(scaled) / scale, values(plain), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("horizon", [10, 100, 1_000, 10_000])
def test_values_come_up_to_those_of_the_horizon_and_never_run_away(horizon):
    """Reward 1 for ever, lambda 0.98: a critic that multiplies its own values by each new deviation ends far above."""
    config = small_config(
        gamma=1.0 - 1.0 / horizon,
        gae_lambda=0.98,
        optim_epochs_per_iter=5,
        lr_schedule="constant",
        v_lr=1e-2,
        rollout_len=256,
        batch_size=64,
        num_timesteps=10**6,
    )
    agent = small_agent(config, probes.EndlessReward.single_action_space, dim=1)
    found = [each["value/return_mean"] for each in train_on(agent, probes.EndlessReward(), 60)]
    assert max(found) < 1.02 * horizon
    if horizon <= 100:
        assert found[-1] == pytest.approx(horizon, rel=0.03)
    else:
        assert found[-1] > found[30] > found[10]


def test_rewards_that_are_all_zero_have_a_unit_of_one():
    moments = ReturnNormalizer(active=True)
    moments.update(np.zeros(64), workers=Workers.solo())
    assert (moments.center, moments.sd) == (0.0, 1.0)
    moments.update(np.full(64, -7.0), workers=Workers.solo())
    assert moments.sd >= ReturnNormalizer.SMALLEST * 3.5


def test_moments_forget():
    moments = ReturnNormalizer(active=True)
    for _ in range(100):
        moments.update(np.array([-1000.0, 1000.0]), workers=Workers.solo())
    for _ in range(300):
        moments.update(np.array([4.0, 6.0]), workers=Workers.solo())
    assert moments.center == pytest.approx(5.0, abs=0.01)
    assert moments.sd == pytest.approx(1.0, abs=0.05)


def test_a_run_of_before_goes_on_as_it_was():
    """Its checkpoint does not say that values are preserved: neither its moments nor its critic are treated anew."""
    agent = small_agent(small_config(), SPACES["discrete"])
    agent.update(random_rollout(agent, SPACES["discrete"]))
    state = agent.state_dict()
    assert state["returns"].pop("preserves")
    agent.load_state_dict(state)
    head = agent.critic.head.weight.clone()
    count = agent.return_normalizer.count
    for _ in range(15):
        agent.value_units.update(np.linspace(-1.0, 1.5, 64).astype(np.float32))
    assert torch.equal(agent.critic.head.weight, head)
    assert agent.return_normalizer.count == count + 15 * 64
    assert agent.state_dict()["returns"]["preserves"] is False
