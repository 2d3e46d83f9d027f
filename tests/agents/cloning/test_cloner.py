"""Behaviour cloning against closed forms: regressions, gradients, early stopping; what it shares with DAgger."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from agents.cloning import cloner as cloning
from agents.cloning.policies import (
    Choice,
    Likelihood,
    Regression,
    mean_squared_error,
    squashed_log_likelihood,
)
from agents.demonstrations.dataset import minibatch_rows
from agents.nn import distributions
from helpers.errors import CheckpointError, ConfigurationError
from helpers.parallel.workers import Workers
from tests.agents.builders import (
    OBSERVATION_DIM,
    SPACES,
    random_rollout,
    small_agent,
    small_config,
    transplant,
)
from tests.agents.cloning.cases import LENGTH, sources, write_episodes

CONTINUOUS = SPACES["continuous"]
EXACT = {"precision": "float64", "expert_demo_subsample": False}


def bc(kind="continuous", **settings):
    config = small_config("bc", **sources("bc", kind) | EXACT | settings)
    return small_agent(config, SPACES[kind])


def dagger(kind="continuous", **settings):
    config = small_config("dagger", **sources("dagger", kind) | EXACT | settings)
    return small_agent(config, SPACES[kind])


def train(agent, updates):
    """bc, whose rollouts are empty."""
    empty = random_rollout(agent, CONTINUOUS)
    return [agent.update(empty) for _ in range(updates)]


# Regression


@pytest.fixture()
def linear_policy(monkeypatch):
    """A policy without hidden layers, whose regression has a closed form."""

    def make(*, observations, actions, dtype, generator, **_):
        net = nn.Linear(observations, actions, dtype=dtype)
        nn.init.normal_(net.weight, generator=generator)
        return Regression(net, squash=False, actions=actions)

    monkeypatch.setattr(cloning, "make_policy", make)


FULL = {"batch_size": 5 * LENGTH, "held_out_demos": 0, "squash_actions": False}


def regression_of(folder, *, weight_decay, standardised):
    """(design matrix with a column of ones, actions, solution) of the normal equations."""
    files = sorted(folder.glob("*.h5"))
    from helpers.demos.hdf5 import read_demo

    demos = [read_demo(path) for path in files]
    seen = np.concatenate([demo.observations for demo in demos])
    made = np.concatenate([demo.actions for demo in demos]).astype(np.float64)
    if standardised:
        seen = (seen - seen.mean(0)) / np.sqrt(seen.var(0) + 1e-8)
        seen = seen.clip(-10, 10)
    design = np.column_stack([seen, np.ones(len(seen))])
    scale = 2.0 / made.size  # of the mean over rows and dimensions
    left = scale * design.T @ design + weight_decay * np.eye(design.shape[1])
    return np.linalg.solve(left, scale * design.T @ made)


@pytest.mark.parametrize("standardised", [True, False])
@pytest.mark.parametrize("weight_decay", [0.0, 0.05])
def test_what_is_learnt_in_the_limit_is_ridge_regression(
    tmp_path,
    linear_policy,
    weight_decay,
    standardised,
):
    folder = write_episodes(tmp_path, "continuous", noise=0.3)
    settings = {"weight_decay": weight_decay, "p_batch_norm": standardised, "p_lr": 0.03}
    agent = bc(expert_path=str(folder), num_timesteps=700, **FULL | settings)
    train(agent, 700)
    solution = regression_of(folder, weight_decay=weight_decay, standardised=standardised)
    net = agent.cloner.policy.net
    np.testing.assert_allclose(net.weight.detach().numpy().T, solution[:-1], atol=1e-5)
    np.testing.assert_allclose(net.bias.detach().numpy(), solution[-1], atol=1e-5)


def test_a_linear_expert_is_recovered(tmp_path, linear_policy):
    from helpers.demos.hdf5 import demo_path, write_demo

    weights = np.random.default_rng(1).normal(size=(OBSERVATION_DIM, 3)) / 10.0
    for index in range(5):
        states = np.random.default_rng(index).normal(1.0, 1.0, (LENGTH + 1, OBSERVATION_DIM))
        ends = np.arange(LENGTH) == LENGTH - 1
        steps = {
            "observations": states[:-1],
            "actions": states[:-1] @ weights + 0.1,
            "rewards": np.zeros(LENGTH),
            "next_observations": states[1:],
            "terminated": ends,
            "truncated": ~ends & ends,
        }
        assert abs(steps["actions"]).max() < 1.0
        write_demo(demo_path(tmp_path, "line", index), steps, {})
    settings = {"weight_decay": 0.0, "p_lr": 0.03, "num_timesteps": 700}
    agent = bc(expert_path=str(tmp_path), **FULL | settings)
    metrics = train(agent, 700)[-1]
    seen = np.random.default_rng(9).normal(1.0, 1.0, (4, OBSERVATION_DIM))
    actions, _ = agent.predict(seen, explore=False)
    np.testing.assert_allclose(actions, np.clip(seen @ weights + 0.1, -1, 1), atol=1e-5)
    assert metrics["policy/loss"] < 1e-9


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("continuous", {}),
        ("continuous", {"p_activation": "tanh", "squash_actions": False}),
        ("continuous", {"cloning_loss": "log_likelihood"}),
        ("discrete", {}),
    ],
)
def test_a_perceptron_learns_the_rule_that_is_shown(kind, settings):
    small = {"p_perception_stack": "mlp_32", "p_lr": 1e-2, "num_timesteps": 500}
    agent = bc(kind, patience=0, batch_size=32, steps_per_iteration=20, **small | settings)
    rows = list(filter(None, train(agent, 500)))
    held_out = [row["policy/held_out_loss"] for row in rows]
    assert len(rows) == 25
    if "cloning_loss" in settings:
        assert min(held_out) < held_out[0] - 1.0  # nats
    else:
        assert min(held_out) < held_out[0] / 3


# Losses


def test_the_squared_error_and_its_gradient_are_those_of_hand():
    mean = torch.tensor([[0.5, -1.0], [0.0, 2.0]], dtype=torch.float64, requires_grad=True)
    actions = torch.tensor([[0.0, 1.0], [0.25, 2.0]], dtype=torch.float64)
    loss = mean_squared_error(mean, actions)
    assert loss.item() == pytest.approx((0.25 + 4.0 + 0.0625 + 0.0) / 4, abs=1e-15)
    (gradient,) = torch.autograd.grad(loss, [mean])
    expected = [[2 * 0.5 / 4, 2 * -2.0 / 4], [2 * -0.25 / 4, 0.0]]
    np.testing.assert_allclose(gradient.numpy(), expected, atol=1e-15)


def test_the_squashed_likelihood_and_its_gradient_are_those_of_hand():
    action, mean, log_std = 0.5, 0.3, -0.5
    inputs = [torch.tensor([[x]], dtype=torch.float64) for x in (action, mean, log_std)]
    for each in inputs[1:]:
        each.requires_grad_()
    found = squashed_log_likelihood(*inputs)
    z = (math.atanh(action) - mean) / math.exp(log_std)
    gaussian = -0.5 * z * z - log_std - 0.5 * math.log(2 * math.pi)
    assert found.item() == pytest.approx(gaussian - math.log(1 - action**2), abs=1e-12)
    by_mean, by_log_std = torch.autograd.grad(found.sum(), inputs[1:])
    assert by_mean.item() == pytest.approx(z / math.exp(log_std), abs=1e-12)
    assert by_log_std.item() == pytest.approx(z * z - 1.0, abs=1e-12)


def test_the_squashed_density_sums_to_one_and_is_finite_at_the_bounds():
    grid = torch.linspace(-1, 1, 400_001, dtype=torch.float64)[1:-1, None]
    mean, log_std = torch.full_like(grid, 0.4), torch.full_like(grid, -0.3)
    density = squashed_log_likelihood(grid, mean, log_std).exp()
    assert density.sum().item() * (2 / 400_000) == pytest.approx(1.0, abs=1e-5)
    for dtype in (torch.float32, torch.float64):
        edge = torch.tensor([[1.0], [-1.0]], dtype=dtype)
        zeros = torch.zeros_like(edge, requires_grad=True)
        value = squashed_log_likelihood(edge, zeros, torch.zeros_like(edge))
        (gradient,) = torch.autograd.grad(value.sum(), [zeros])
        assert torch.isfinite(value).all() and torch.isfinite(gradient).all()


def test_the_losses_of_policies_are_these_functions():
    torch.manual_seed(0)
    seen, made = torch.randn(7, 5).double(), torch.rand(7, 3).double() * 2 - 1
    net = nn.Linear(5, 6).double()
    mean, raw = net(seen).chunk(2, -1)
    log_std = -5.0 + 3.5 * (torch.tanh(raw) + 1.0)
    squashed = Likelihood(net, squash=True, actions=3).loss(seen, made)
    assert torch.equal(squashed, -squashed_log_likelihood(made, mean, log_std).mean())
    plain = Likelihood(net, squash=False, actions=3).loss(seen, made)
    assert torch.equal(plain, -distributions.gaussian_log_prob(made, mean, log_std).mean())
    head = nn.Linear(5, 3).double()
    by_error = Regression(head, squash=True, actions=3).loss(seen, made)
    assert torch.equal(by_error, (torch.tanh(head(seen)) - made).square().mean())
    chosen = torch.tensor([0, 1, 2, 2, 1, 0, 0])
    by_choice = Choice(head, choices=3).loss(seen, chosen)
    log_probs = torch.log_softmax(head(seen), -1)[torch.arange(7), chosen]
    torch.testing.assert_close(by_choice, -log_probs.mean(), rtol=1e-12, atol=0)


# Minibatches, early stopping


def test_a_step_is_adam_along_the_gradient_of_the_minibatch(linear_policy):
    """By hand: rows, loss, decay, and the first step of Adam, which is the sign of the gradient."""
    agent = bc(p_batch_norm=False, squash_actions=False, lr_schedule="constant", p_lr=0.01)
    seen, made = agent._train_rows
    net = agent.cloner.learner.net
    weight, bias = net.weight.detach().numpy().copy(), net.bias.detach().numpy().copy()
    rows = minibatch_rows(0, len(seen), 0, batch_size=16, workers=Workers.solo())
    x, y = seen.numpy()[rows], made.numpy()[rows]
    error = 2.0 * (x @ weight.T + bias - y) / y.size
    by_weight, by_bias = error.T @ x + 1e-4 * weight, error.sum(0) + 1e-4 * bias
    agent.update(random_rollout(agent, CONTINUOUS))
    for parameter, before, gradient in ((net.weight, weight, by_weight), (net.bias, bias, by_bias)):
        step = 0.01 * gradient / (abs(gradient) + 1e-8)
        np.testing.assert_allclose(parameter.detach().numpy(), before - step, atol=1e-12)


def test_early_stopping_keeps_what_fitted_best_and_ends_the_training(tmp_path):
    folder = write_episodes(tmp_path, "continuous", count=3, noise=1.0)
    settings = {"p_perception_stack": "mlp_64", "p_lr": 3e-3, "lr_schedule": "constant"}
    agent = bc(expert_path=str(folder), patience=8, steps_per_iteration=10, **settings)
    acting, learning, held_out = [], [], []
    while not agent.is_done:
        metrics = {}
        while not metrics:
            metrics = agent.update(random_rollout(agent, CONTINUOUS))
        held_out.append(metrics["policy/held_out_loss"])
        learning.append(agent.cloner.learning.values.clone())
        acting.append(agent.parameters.values.clone())
        assert metrics["policy/best_held_out_loss"] == min(held_out)
        assert len(held_out) < 500
    best = int(np.argmin(held_out))
    assert len(held_out) == best + 1 + 8
    assert torch.equal(acting[-1], learning[best])
    assert not torch.equal(acting[-1], learning[-1])
    saved = agent.state_dict()
    assert all(torch.equal(saved["parameters"][n], p) for n, p in agent.parameters.named.items())
    again = bc(expert_path=str(folder), patience=8, steps_per_iteration=10, **settings)
    transplant(agent, again)
    assert again.is_done and again.best_loss == min(held_out)


def test_what_is_held_out_is_whole_and_never_learnt_from():
    agent = bc(held_out_demos=2)
    (learned, _), (judged, _) = agent._train_rows, agent._held_out_rows
    assert len(learned) == 3 * LENGTH and len(judged) == 2 * LENGTH
    assert not {row.tobytes() for row in learned.numpy()} & {
        row.tobytes() for row in judged.numpy()
    }
    moments = agent.cloner.observation_normalizer
    np.testing.assert_allclose(moments.mean, learned.numpy().mean(0), atol=1e-12)
    assert moments.count == len(learned)


@pytest.mark.parametrize(
    "settings",
    [{}, {"cloning_loss": "log_likelihood", "p_activation": "tanh"}, {"squash_actions": False}],
    ids=str,
)
def test_compiled_steps_do_what_torch_does(settings, caplog):
    agents = [bc(precision="float32", compile=c, batch_size=32, **settings) for c in (False, True)]
    for _ in range(20):
        metrics = [agent.update(random_rollout(agent, CONTINUOUS)) for agent in agents]
        for name, value in metrics[0].items():
            assert metrics[1][name] == pytest.approx(value, rel=1e-4, abs=1e-5), name
    values = [agent.cloner.learning.values for agent in agents]
    torch.testing.assert_close(values[0], values[1], rtol=0, atol=2e-6)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_actions_are_inside_their_bounds_and_sampled_where_that_is_asked():
    seen = 100.0 * np.random.default_rng(0).normal(size=(4, OBSERVATION_DIM))
    for settings in ({}, {"squash_actions": False}, {"cloning_loss": "log_likelihood"}):
        agent = bc(**settings)
        modes = [agent.predict(seen, explore=False)[0] for _ in range(2)]
        sampled = [agent.predict(seen, explore=True)[0] for _ in range(2)]
        assert all(abs(each).max() <= 1.0 for each in (*modes, *sampled))
        assert np.array_equal(*modes)
        assert np.array_equal(*sampled) == ("cloning_loss" not in settings)


# Saving


def test_a_run_that_goes_on_learns_from_what_it_began_with(tmp_path):
    state = bc().state_dict()
    other = write_episodes(tmp_path, "continuous", noise=0.5)
    with pytest.raises(CheckpointError, match="the demonstrations of this run have changed"):
        bc(expert_path=str(other)).load_state_dict(state)
    state = dagger().state_dict() | {"expert": "0" * 64}
    with pytest.raises(CheckpointError, match="the weights of the expert of this run have changed"):
        dagger().load_state_dict(state)


def test_an_evaluation_needs_neither_demonstrations_nor_an_expert():
    seen = np.random.default_rng(0).normal(size=(4, OBSERVATION_DIM))
    for agent in (bc(), dagger()):
        agent.update(random_rollout(agent, CONTINUOUS))
        gone = {"task": "eval", "expert_path": "/nowhere"}
        if agent.config.algo == "dagger":
            gone["expert_policy"] = "/nowhere"
        judge = small_agent(agent.config.model_copy(update=gone), CONTINUOUS)
        judge.load_state_dict(agent.state_dict())
        acted = [each.predict(seen, explore=False)[0] for each in (agent, judge)]
        assert np.array_equal(*acted)


def test_too_few_demonstrations_are_refused():
    with pytest.raises(
        ConfigurationError,
        match="held_out_demos=2 of 2 demonstrations leaves none",
    ):
        bc(num_demos=2, held_out_demos=2)
    with pytest.raises(ConfigurationError, match="num_demos=9"):
        bc(num_demos=9)
