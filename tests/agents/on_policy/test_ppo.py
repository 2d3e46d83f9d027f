"""PPO on probes with known values, and the silent errors of its field."""

import numpy as np
import pytest
import torch

from agents.nn.normalizer import ObservationNormalizer, RunningMoments
from agents.on_policy import losses
from agents.on_policy.minibatches import sample_orders
from agents.on_policy.native_steps import NativeSteps
from agents.on_policy.torch_steps import KL
from helpers.errors import CheckpointError, NumericalError
from helpers.parallel.workers import Workers
from helpers.seeding import Streams
from tests.agents.builders import SPACES, random_rollout, small_agent, small_config, train_on
from tests.probes import environments as probes

GAMMA = 0.8


def trained(probe, iterations=40, **settings):
    settings = {"p_lr": 3e-3, "v_lr": 1e-2, "gamma": GAMMA, "lr_schedule": "constant"} | settings
    config = small_config(optim_epochs_per_iter=5, num_timesteps=10**6, **settings)
    agent = small_agent(config, probe.single_action_space, dim=1)
    train_on(agent, probe, iterations)
    return agent


def value(agent, observation):
    standard = agent._value_input(np.array([[observation]], dtype=np.float32))
    with torch.no_grad():
        return agent.return_normalizer.denormalize(float(agent.critic(torch.from_numpy(standard))))


@pytest.mark.parametrize("normalize_values", [False, True])
def test_value_of_a_constant_reward(normalize_values):
    agent = trained(probes.ConstantReward(), normalize_values=normalize_values)
    assert value(agent, 0.0) == pytest.approx(1.0, abs=0.05)


def test_value_of_an_observed_reward():
    agent = trained(probes.ObservedReward())
    assert value(agent, 1.0) == pytest.approx(1.0, abs=0.1)
    assert value(agent, -1.0) == pytest.approx(-1.0, abs=0.1)


def test_value_of_a_delayed_reward_is_discounted():
    agent = trained(probes.DelayedReward())
    assert value(agent, 1.0) == pytest.approx(1.0, abs=0.1)
    assert value(agent, 0.0) == pytest.approx(GAMMA, abs=0.1)


@pytest.mark.parametrize("normalize_values", [False, True])
def test_value_under_a_time_limit_is_that_of_going_on(normalize_values):
    agent = trained(probes.EndlessReward(), iterations=120, normalize_values=normalize_values)
    assert value(agent, 0.0) == pytest.approx(1.0 / (1.0 - GAMMA), rel=0.03)


def test_the_better_choice_is_learnt():
    agent = trained(probes.ChosenReward())
    assert agent.predict(np.zeros((4, 1)), explore=False)[0].tolist() == [1] * 4


def test_the_choice_that_fits_the_observation_is_learnt():
    agent = trained(probes.MatchedReward())
    observations = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    assert agent.predict(observations, explore=False)[0].tolist() == [1, 0, 1, 0]


def test_a_continuous_target_is_learnt():
    agent = trained(probes.TargetReward(), iterations=150, policy_std_init=0.5)
    assert agent.predict(np.zeros((4, 1)), explore=False)[0][0, 0] == pytest.approx(0.7, abs=0.1)


@pytest.mark.parametrize("kind", ["continuous", "discrete"])
@pytest.mark.parametrize("compile", [False, True])
def test_first_ratio_is_exactly_one_also_beyond_the_bounds(kind, compile, monkeypatch):
    agent = small_agent(small_config(policy_std_init=5.0, compile=compile), SPACES[kind])
    agent.observation_normalizer.update(
        np.random.default_rng(0).normal(1, 3, (50, 5)),
        workers=agent.workers,
    )
    rollout = random_rollout(agent, SPACES[kind])
    if kind == "continuous":
        assert (np.abs(rollout.actions) > 1.0).mean() > 0.5  # most are clipped by the environment
    divergences, ratios = [], []
    epoch, surrogate = agent.gradient_steps.epoch, losses.ppo_clip_loss

    def spy_epoch(*arguments):
        metrics = epoch(*arguments)
        divergences.append(metrics[:, agent.gradient_steps.names.index(KL)])
        return metrics

    def spy_surrogate(log_prob, old_log_prob, **settings):
        ratios.append((log_prob - old_log_prob).exp().detach())
        return surrogate(log_prob, old_log_prob, **settings)

    monkeypatch.setattr(agent.gradient_steps, "epoch", spy_epoch)
    monkeypatch.setattr(losses, "ppo_clip_loss", spy_surrogate)
    agent.update(rollout)
    assert isinstance(agent.gradient_steps, NativeSteps) == compile
    assert divergences[0][0] == 0.0
    assert divergences[-1][-1] > 0.0
    if not compile:
        assert torch.equal(ratios[0], torch.ones_like(ratios[0]))


def test_each_sample_is_in_exactly_one_minibatch_an_epoch_and_environments_equally():
    orders = sample_orders(
        Streams(0),
        environments=range(4),
        iteration=3,
        epochs=2,
        rollout_len=16,
        count=4,
    )
    assert orders.shape == (2, 4, 16)
    for order in orders:
        assert sorted(order.flatten().tolist()) == list(range(64))
        for part in order:
            assert np.bincount(part.numpy() % 4).tolist() == [4, 4, 4, 4]
    assert not torch.equal(orders[0], orders[1])


def test_the_normaliser_stands_still_within_an_iteration_and_counts_each_step_once():
    config = small_config(optim_epochs_per_iter=7)
    agent = small_agent(config, SPACES["continuous"])
    for i in range(3):
        rollout = random_rollout(agent, SPACES["continuous"], iteration=i)
        agent.update(rollout)
        assert agent.observation_normalizer.count == (i + 1) * config.rollout_len
    before = agent.observation_normalizer.mean.copy()
    agent.predict(rollout.observations[0], explore=False)
    np.testing.assert_array_equal(agent.observation_normalizer.mean, before)


def test_moments_are_those_of_all_the_data_even_far_from_zero():
    rng = np.random.default_rng(0)
    data = rng.normal(1e6, 2.0, (1000, 3))
    moments = RunningMoments((3,))
    for part in np.split(data, [10, 11, 400]):
        moments.update(part, workers=Workers.solo())
    np.testing.assert_allclose(moments.mean, data.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance, data.var(0), rtol=1e-9)
    normalizer = ObservationNormalizer(3, dtype=np.dtype("float64"))
    normalizer.update(data, workers=Workers.solo())
    standard = normalizer(data)
    np.testing.assert_allclose(standard.std(0), 1.0, rtol=1e-3)


def test_linear_schedule_ends_at_zero_and_counts_global_steps():
    config = small_config(num_timesteps=640, p_lr=1e-3, v_lr=2e-3)
    agent = small_agent(config, SPACES["continuous"])
    sizes = [
        agent.update(random_rollout(agent, SPACES["continuous"], iteration=i)) for i in range(10)
    ]
    policy = [metrics["update/policy_step_size"] for metrics in sizes]
    np.testing.assert_allclose(policy, 1e-3 * (1.0 - np.arange(10) / 10))
    assert sizes[5]["update/value_step_size"] == pytest.approx(1e-3)


def test_kl_stop_ends_the_epochs_early():
    config = small_config(optim_epochs_per_iter=10, target_kl=1e-6, p_lr=1e-2)
    agent = small_agent(config, SPACES["continuous"])
    assert agent.update(random_rollout(agent, SPACES["continuous"]))["update/epochs"] < 10


def test_adaptive_step_sizes_follow_the_kl():
    for desired_kl, grows in ((10.0, True), (1e-9, False)):
        config = small_config(lr_schedule="adaptive", desired_kl=desired_kl, p_lr=1e-3)
        agent = small_agent(config, SPACES["continuous"])
        metrics = agent.update(random_rollout(agent, SPACES["continuous"]))
        assert (metrics["update/policy_step_size"] > 1e-3) == grows


@pytest.mark.parametrize(
    "settings",
    [
        {"shared_value": True, "compile": False},  # compiled to the same: test_compiled_step.py
        {"layer_norm": True, "compile": False},
        {"value_clip": 0.001},
        {"normalize_advantages": False},
        {"recompute_advantages": False},
        {"p_batch_norm": False},
        {"batch_norm_all": False},
        {"p_ent_reg_scale": 0.01},
        {"clip_norm": 0.0},
        {"p_perception_stack": "mlp_24_16"},
        {"precision": "float64"},
    ],
    ids=str,
)
def test_every_option_changes_what_is_learnt(settings):
    states = []
    for options in ({}, settings):
        agent = small_agent(small_config(**options), SPACES["continuous"])
        for i in range(2):
            agent.update(random_rollout(agent, SPACES["continuous"], iteration=i))
        states.append(agent.parameters.values.double().numpy())
    same_size = states[0].shape == states[1].shape
    assert not same_size or not np.array_equal(states[0], states[1])


def test_entropy_bonus_widens_the_policy():
    deviations = []
    for scale in (0.0, 0.3):
        config = small_config(p_ent_reg_scale=scale, p_lr=3e-3)
        agent = small_agent(config, SPACES["continuous"])
        for i in range(5):
            metrics = agent.update(random_rollout(agent, SPACES["continuous"], iteration=i))
        deviations.append(metrics["policy/std"])
    assert deviations[1] > deviations[0] + 0.01


def test_a_rollout_that_is_not_finite_is_a_numerical_error():
    agent = small_agent(small_config(), SPACES["continuous"])
    rollout = random_rollout(agent, SPACES["continuous"])
    rollout.rewards[3, 1] = np.nan
    with pytest.raises(NumericalError, match="became nan in iteration 1"):
        agent.update(rollout)


def test_a_state_of_another_architecture_is_refused():
    agent = small_agent(small_config(), SPACES["continuous"])
    other = small_agent(small_config(p_perception_stack="mlp_9"), SPACES["continuous"])
    with pytest.raises(CheckpointError, match="another architecture"):
        agent.load_state_dict(other.state_dict())
