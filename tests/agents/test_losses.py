"""Closed forms: each estimator against a slower, plainer computation of the same thing."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from agents.compute.flat_parameters import FlatAdam, FlatParameters
from agents.nn import distributions
from agents.on_policy import losses

SHAPE = (40, 5)


def gae_by_double_loop(rewards, values, next_values, terminated, truncated, gamma, gae_lambda):
    """The definition: a sum over the rest of the episode, term by term."""
    advantages = np.zeros_like(rewards)
    steps, environments = rewards.shape
    for n in range(environments):
        for t in range(steps):
            weight = 1.0
            for k in range(t, steps):
                successor = 0.0 if terminated[k, n] else next_values[k, n]
                advantages[t, n] += weight * (rewards[k, n] + gamma * successor - values[k, n])
                if terminated[k, n] or truncated[k, n]:
                    break
                weight *= gamma * gae_lambda
    return advantages


@pytest.mark.parametrize("seed", range(20))
def test_gae_is_the_sum_over_the_rest_of_the_episode(seed):
    rng = np.random.default_rng(seed)
    rewards, values, next_values = rng.normal(size=(3, *SHAPE))
    ends = rng.random(SHAPE)
    terminated, truncated = ends < 0.1, (ends > 0.85) | (ends < 0.03)  # some are both
    gamma, gae_lambda = rng.uniform(0.5, 1.0, size=2)
    expected = gae_by_double_loop(
        rewards,
        values,
        next_values,
        terminated,
        truncated,
        gamma,
        gae_lambda,
    )
    actual = losses.gae(
        rewards,
        values,
        next_values=next_values,
        terminated=terminated,
        truncated=truncated,
        gamma=gamma,
        gae_lambda=gae_lambda,
    )
    np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_no_advantage_crosses_an_episode_end():
    rng = np.random.default_rng(0)
    rewards, values, next_values = rng.normal(size=(3, *SHAPE))
    never = np.zeros(SHAPE, dtype=bool)
    ends = never.copy()
    ends[19] = True
    for terminated, truncated in ((ends, never), (never, ends)):
        masks = {"terminated": terminated, "truncated": truncated, "gamma": 0.99, "gae_lambda": 0.9}
        before = losses.gae(rewards, values, next_values=next_values, **masks)
        later = rewards.copy()
        later[20:] += 1e6
        after = losses.gae(later, values, next_values=next_values, **masks)
        np.testing.assert_array_equal(before[:20], after[:20])


def test_gaussian_log_prob_and_entropy_are_those_of_torch():
    mean, log_std, actions = torch.randn(7, 3).double(), torch.randn(3).double(), torch.randn(7, 3)
    reference = torch.distributions.Normal(mean, log_std.exp())
    torch.testing.assert_close(
        distributions.gaussian_log_prob(actions.double(), mean, log_std),
        reference.log_prob(actions.double()).sum(-1),
    )
    torch.testing.assert_close(
        distributions.gaussian_entropy(log_std),
        reference.entropy()[0].sum(),
    )


def test_categorical_log_prob_and_entropy_are_those_of_torch():
    logits, actions = torch.randn(9, 4).double(), torch.randint(0, 4, (9,))
    reference = torch.distributions.Categorical(logits=logits)
    log_prob = distributions.categorical_log_prob(actions, logits)
    torch.testing.assert_close(log_prob, reference.log_prob(actions))
    torch.testing.assert_close(distributions.categorical_entropy(logits), reference.entropy())


def test_ppo_clip_loss_by_hand():
    ratio = torch.tensor([0.5, 1.0, 1.5, 1.5])
    advantage = torch.tensor([-1.0, 2.0, 1.0, -1.0])
    loss, metrics = losses.ppo_clip_loss(
        ratio.log(),
        torch.zeros(4),
        advantage=advantage,
        clip_ratio=0.2,
    )
    # min(r A, clip(r) A): -0.8, 2, 1.2, -1.5
    assert loss.item() == pytest.approx(-(-0.8 + 2.0 + 1.2 - 1.5) / 4)
    assert metrics["clip_fraction"].item() == pytest.approx(0.75)
    expected_kl = np.mean([r - 1 - math.log(r) for r in ratio.tolist()])
    assert metrics["approx_kl"].item() == pytest.approx(expected_kl, rel=1e-5)


def test_clipped_value_loss_takes_the_larger_error():
    value, target, old = torch.tensor([2.0, 0.1]), torch.zeros(2), torch.tensor([1.0, 1.0])
    # near = 1.2 and 0.8: errors 4 > 1.44, and 0.64 > 0.01
    clipped = losses.value_loss(value, target, old_value=old, value_clip=0.2)
    assert clipped.item() == pytest.approx((4.0 + 0.64) / 2)
    assert losses.value_loss(value, target).item() == pytest.approx((4.0 + 0.01) / 2)


@pytest.mark.parametrize("native", [False, True])
def test_flat_adam_is_adam(native):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 1))
    twin = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 1))
    twin.load_state_dict(net.state_dict())
    flat = FlatParameters({"first": net[0], "second": net[2]})
    ours = FlatAdam(flat, native=native)
    reference = torch.optim.Adam(
        [
            {"params": twin[0].parameters(), "lr": 3e-3},
            {"params": twin[2].parameters(), "lr": 1e-3},
        ],
        eps=1e-5,
    )
    for _ in range(50):
        x = torch.randn(16, 5)
        loss = partial(lambda x: (net(x).square().mean(), None), x)
        flat.gradients[:], _ = flat.gradient(loss, flat.values)
        norm = ours.step_({"first": 3e-3, "second": 1e-3}, clip_norm=0.1)
        reference.zero_grad()
        twin(x).square().mean().backward()
        twin_norm = torch.nn.utils.clip_grad_norm_(twin.parameters(), 0.1)
        reference.step()
        assert norm == pytest.approx(twin_norm.item(), rel=1e-5)
    for mine, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-7)


def test_every_parameter_starts_on_a_64_byte_boundary():
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 1))
    FlatParameters({"net": net})
    assert all(parameter.data_ptr() % 64 == 0 for parameter in net.parameters())


def test_a_gradient_leaves_shared_parameters_where_they_were():
    shared = torch.nn.Linear(3, 4)
    first, second = (torch.nn.Sequential(shared, torch.nn.Linear(4, 1)) for _ in range(2))
    flat = FlatParameters({"first": first, "second": second})
    x, at = torch.randn(8, 3), flat.values.clone() * 2.0
    gradient, _ = flat.gradient(lambda: (first(x).square().mean() + second(x).mean(), None), at)
    assert shared.weight is flat.named["first.0.weight"]
    flat.values.copy_(at)
    loss = first(x).square().mean() + second(x).mean()
    for name, expected in zip(
        flat.named,
        torch.autograd.grad(loss, list(flat.named.values())),
        strict=True,
    ):
        torch.testing.assert_close(flat.views(gradient)[name], expected)


def test_a_gradient_of_some_segments_holds_the_others_constant():
    nets = {name: torch.nn.Linear(3, 3) for name in ("a", "b", "c")}
    flat = FlatParameters(nets)
    x = torch.randn(8, 3)

    def loss():
        return nets["c"](nets["b"](nets["a"](x))).square().mean(), "extra"

    whole, _ = flat.gradient(loss, flat.values)
    part, extra = flat.gradient(loss, flat.values, of=("b", "c"))
    assert extra == "extra"
    torch.testing.assert_close(part, whole[flat.span(("b", "c"))])
