"""The functions of imitation against values computed by hand, and against differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.imitation import losses
from agents.imitation.networks import Discriminator, Perceptron, ShapedReward
from agents.on_policy.losses import gae

DOUBLE = torch.float64


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=DOUBLE)


def perceptron(
    inputs: int,
    *hidden: int,
    activation: str = "tanh",
    spectral: bool = False,
) -> Perceptron:
    return Perceptron(
        inputs,
        hidden,
        1,
        activation=activation,
        spectral=spectral,
        generator=torch.Generator().manual_seed(3),
        dtype=DOUBLE,
    )


# Verdicts


def test_the_discriminator_s_loss_by_hand() -> None:
    """D = 1/2, 3/4 on the expert, 1/4 on the policy."""
    expert, policy = vector(0.0, math.log(3.0)), vector(-math.log(3.0))
    half = vector(0.5, 0.5)
    cost = losses.verdict_loss(expert, vector(1.0, 1.0), half)
    assert cost.item() == pytest.approx(-(math.log(0.5) + math.log(0.75)) / 2, abs=1e-15)
    cost = losses.verdict_loss(policy, vector(0.0), vector(1.0))
    assert cost.item() == pytest.approx(-math.log(0.75), abs=1e-15)
    smooth = losses.verdict_loss(expert[1:], vector(0.9), vector(1.0))
    assert smooth.item() == pytest.approx(-0.9 * math.log(0.75) - 0.1 * math.log(0.25), abs=1e-15)


def test_the_entropy_by_hand() -> None:
    found = losses.verdict_entropy(vector(0.0, math.log(3.0)), vector(0.5, 0.5)).item()
    other = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert found == pytest.approx((math.log(2.0) + other) / 2, abs=1e-15)


@pytest.mark.parametrize(
    ("kind", "real", "fake"),
    [
        ("none", [1.0, 1.0], [0.0, 0.0]),
        ("random-uniform_0.7_1.2", [0.75, 1.1], [0.75, 1.1]),
        ("soft-labels_0.1", [0.9, 0.9], [0.1, 0.1]),
        ("disturb-label_0.2", [0.0, 1.0], [1.0, 0.0]),
    ],
)
def test_smoothed_labels(kind: str, real: list[float], fake: list[float]) -> None:
    uniform = vector(0.1, 0.8)
    for label, expected in ((1.0, real), (0.0, fake)):
        found = losses.smooth_labels(kind, uniform, label=label).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


def test_the_risk_of_the_unlabelled_by_hand() -> None:
    """E_policy[-log(1-D)] - eta E_expert[-log(1-D)]; negative where the expert is told apart too well."""
    weights = {"expert_weight": vector(1.0), "policy_weight": vector(1.0)}
    risk = losses.unlabelled_risk(vector(math.log(3.0)), vector(0.0), eta=0.25, **weights)
    assert risk.item() == pytest.approx(math.log(2.0) - 0.25 * math.log(4.0), abs=1e-15)
    told = losses.unlabelled_risk(vector(20.0), vector(-20.0), eta=0.25, **weights)
    assert told.item() < 0.0


def test_entropy_and_penalty_are_added_around_a_loss() -> None:
    """A linear discriminator, whose gradient has norm 5 everywhere."""
    slope = vector(3.0, 4.0)

    def net(rows: Tensor, goes_on: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        return rows @ slope, vectors

    sides = {"expert": torch.eye(2, dtype=DOUBLE), "policy": torch.ones(3, 2, dtype=DOUBLE)}
    t = {"uniform": torch.full((2, 1), 0.5, dtype=DOUBLE)}
    t |= {name: vector(1.0) for name in ("gate", "spread", "vectors")}
    for label, (side, rows) in enumerate(reversed(sides.items())):
        count = len(rows)
        t |= {f"{side}.rows": rows, f"{side}.logit": rows @ slope}
        t |= {f"{side}.goes_on": torch.ones(count, dtype=DOUBLE)}
        t |= {f"{side}.weight": torch.full((count,), 1 / count, dtype=DOUBLE)}
        t |= {f"{side}.label": torch.full((count,), float(label), dtype=DOUBLE)}
    base = losses.labelled_loss(t)
    assert base["loss"].item() == pytest.approx(
        (math.log1p(math.exp(-3.0)) + math.log1p(math.exp(-4.0))) / 2 + math.log1p(math.exp(7.0)),
    )
    settings = {"target": 1.0, "one_sided": True, "batch_size": 2}
    loss = losses.add_entropy(losses.labelled_loss)
    terms = losses.add_gradient_penalty(loss, net, kind="wgan", **settings)(t)
    assert terms["loss"] == base["loss"] and terms["entropy"] == loss(t)["entropy"] > 0.0
    assert terms["gradient_norm"].item() == pytest.approx(5.0)
    assert terms["penalty"].item() == pytest.approx(16.0)
    without = losses.add_gradient_penalty(loss, net, kind=None, **settings)(t)
    assert without["penalty"] == without["gradient_norm"] == 0.0
    unlabelled = losses.unlabelled_loss(eta=0.25)
    shut = unlabelled(t | {"gate": vector(0.0)})["loss"].item()
    assert shut == pytest.approx(
        0.25 * (math.log1p(math.exp(-3.0)) + math.log1p(math.exp(-4.0))) / 2,
    )


# Rewards


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("gail", -math.log(0.25)),
        ("log_d", math.log(0.75)),
        ("airl", math.log(3.0)),
        ("fairl", -math.log(3.0) * 3.0),
        ("probability", 0.75),
        ("signed", 0.5),
    ],
)
def test_rewards_of_a_verdict(shape: str, expected: float) -> None:
    """Of D = 3/4, and what each can become."""
    found = losses.reward_of_logit(vector(math.log(3.0)), shape).item()
    assert found == pytest.approx(expected, abs=1e-14)
    many = losses.reward_of_logit(torch.linspace(-50.0, 50.0, 1001, dtype=DOUBLE), shape)
    assert many.isfinite().all()
    low, high = {"gail": (0, 51), "log_d": (-51, 0), "probability": (0, 1), "signed": (-1, 1)}.get(
        shape,
        (-math.inf, math.inf),
    )
    assert many.min() >= low and many.max() <= high


def test_rewards_are_cut_then_scaled() -> None:
    found = losses.clip_and_scale(vector(-5.0, 0.5, 7.0), scale=2.0, limit=3.0)
    assert found.tolist() == [-6.0, 1.0, 6.0]
    assert losses.clip_and_scale(vector(-5.0, 7.0), scale=2.0, limit=0.0).tolist() == [-10.0, 14.0]


# Absorbing states


def test_the_value_of_a_task_s_end_is_that_of_the_chain_with_an_absorbing_state() -> None:
    """Two states: from the first, the task ends with probability p, else it goes on; solved both ways."""
    gamma, p, r, r_end, r_absorbing = 0.9, 0.3, 0.7, -0.4, 1.3
    moves = np.array([[1 - p, p], [0.0, 1.0]])
    paid = np.array([(1 - p) * r + p * r_end, r_absorbing])
    value, value_absorbing = np.linalg.solve(np.eye(2) - gamma * moves, paid)
    assert value_absorbing == pytest.approx(r_absorbing / (1 - gamma))
    ended = losses.with_end_value(
        vector(r, r_end),
        vector(0.0, 1.0),
        absorbing=vector(r_absorbing).squeeze(),
        gamma=gamma,
    ).numpy()
    # without the state: V = (1 - p) (r + gamma V) + p r_end', for what has ended has discount 0
    without = ((1 - p) * ended[0] + p * ended[1]) / (1 - gamma * (1 - p))
    assert without == pytest.approx(value, rel=1e-12)


def test_gae_with_the_end_s_value_is_the_sum_over_the_loop() -> None:
    """lambda = 1, values 0: the return of an episode whose absorbing state goes round ten thousand times."""
    gamma, r_absorbing = 0.95, -0.8
    rewards = np.random.default_rng(0).normal(size=(6, 1))
    terminated = np.array([[False]] * 5 + [[True]])
    ended = losses.with_end_value(
        torch.from_numpy(rewards.reshape(-1)),
        torch.from_numpy(terminated.reshape(-1)).double(),
        absorbing=torch.tensor(r_absorbing, dtype=DOUBLE),
        gamma=gamma,
    )
    zeros = np.zeros((6, 1))
    found = gae(
        ended.numpy().reshape(6, 1),
        zeros,
        next_values=zeros + 100.0 * terminated,  # beyond the end nothing may be asked
        terminated=terminated,
        truncated=np.zeros((6, 1), bool),
        gamma=gamma,
        gae_lambda=1.0,
    )
    long = np.concatenate([rewards[:, 0], np.full(10_000, r_absorbing)])
    for t in range(6):
        expected = (gamma ** np.arange(len(long) - t) * long[t:]).sum()
        assert found[t, 0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", ["gail", "log_d", "airl", "fairl", "probability", "signed"])
@pytest.mark.parametrize("logit", [-1.0, 0.0, 2.0])
def test_no_sign_of_a_reward_prefers_to_live_or_to_die(shape: str, logit: float) -> None:
    """Where nothing can be told apart every step pays the same, and so do living for ever and ending now.

    Without the end's value, a positive reward would keep alive and a negative one would kill.
    """
    gamma = 0.99
    reward = losses.reward_of_logit(vector(logit), shape)
    living = reward.item() / (1 - gamma)
    dying = losses.with_end_value(reward, vector(1.0), absorbing=reward[0], gamma=gamma).item()
    assert dying == pytest.approx(living, rel=1e-12)


# Gradient penalty


def test_the_penalty_of_a_linear_discriminator_by_hand() -> None:
    """Its gradient is its weights, (3, 4), of norm 5 everywhere."""
    rows = torch.randn(7, 2, dtype=DOUBLE).requires_grad_()
    norms = losses.gradient_norms(rows @ vector(3.0, 4.0), rows)
    np.testing.assert_allclose(norms.detach(), 5.0, rtol=1e-12)
    for target, one_sided, expected in ((1.0, False, 16.0), (7.0, False, 4.0), (7.0, True, 0.0)):
        found = losses.gradient_penalty(norms, target=target, one_sided=one_sided)
        np.testing.assert_allclose(found.detach(), expected, rtol=1e-12)


def test_interpolates_are_drawn_for_each_row() -> None:
    expert, policy = torch.ones(3, 2, dtype=DOUBLE), torch.zeros(3, 2, dtype=DOUBLE)
    uniform = torch.tensor([[0.1, 0.5, 0.2], [0.6, 0.0, 1.0], [0.9, 0.3, 0.3]], dtype=DOUBLE)
    spread = vector(2.0, 4.0)
    between = losses.interpolates("wgan", expert, policy, uniform=uniform, spread=spread)
    np.testing.assert_allclose(between, [[0.1, 0.1], [0.6, 0.6], [0.9, 0.9]], rtol=1e-15)
    around = losses.interpolates("dragan", expert, policy, uniform=uniform, spread=spread)
    expected = [[1.05, 1.04], [1.0, 2.2], [1.27, 1.54]]
    np.testing.assert_allclose(around, expected, rtol=1e-14)


@pytest.mark.parametrize("activation", ["tanh", "relu", "leaky_relu"])
@pytest.mark.parametrize("kind", ["plain", "spectral", "shaped"])
def test_the_gradient_of_the_penalty_against_differences(activation: str, kind: str) -> None:
    net: Discriminator | ShapedReward
    spectral = kind == "spectral"
    if kind == "shaped":
        own, shaping = (perceptron(n, 5, activation=activation) for n in (4, 2))
        net = ShapedReward(own, shaping, states=2, gamma=0.9)
    else:
        net = Discriminator(perceptron(6, 5, 4, activation=activation, spectral=spectral))
    given = torch.randn(8, 6, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    vectors = net.first_vectors(torch.Generator().manual_seed(1))

    def penalty() -> Tensor:
        rows = given.clone().requires_grad_()
        logits, _ = net(rows, torch.ones(8, dtype=DOUBLE), vectors)
        norms = losses.gradient_norms(logits, rows)
        return losses.gradient_penalty(norms, target=0.3, one_sided=False).mean()

    parameters = list(net.parameters())
    found = torch.autograd.grad(penalty(), parameters, allow_unused=True)
    rng, step = np.random.default_rng(0), 1e-6
    assert max(float(each.abs().max()) for each in found if each is not None) > 1e-3
    for parameter, gradient in zip(parameters, found, strict=True):
        for _ in range(4):
            place = tuple(int(rng.integers(size)) for size in parameter.shape)
            sides = []
            for sign in (1.0, -1.0):
                with torch.no_grad():
                    parameter[place] += sign * step
                if (
                    spectral
                ):  # the vectors are constants to the gradient, and singular ones nearly so
                    vectors = net.first_vectors(torch.Generator().manual_seed(1))
                sides.append(penalty().item())
                with torch.no_grad():
                    parameter[place] -= sign * step
            expected = 0.0 if gradient is None else float(gradient[place])
            assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(expected, rel=2e-4, abs=1e-6)


# Spectral norm


def test_the_spectral_norm_is_the_largest_singular_value() -> None:
    weight = torch.randn(9, 13, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    left = torch.ones(9, dtype=DOUBLE) / 3.0
    for _ in range(300):
        norm, left = losses.spectral_norm(weight, left)
    largest = torch.linalg.svdvals(weight)[0].item()
    assert norm.item() == pytest.approx(largest, rel=1e-12)
    assert left.norm().item() == pytest.approx(1.0)


def test_a_normalised_net_begins_with_hidden_matrices_of_norm_one() -> None:
    net = perceptron(6, 8, 7, activation="relu", spectral=True)
    with torch.no_grad():
        net.weights[0].mul_(5.0)
    vectors = net.first_vectors(torch.Generator().manual_seed(0))
    rows = torch.randn(20, 6, dtype=DOUBLE)
    hidden = rows
    for weight, bias in list(zip(net.weights, net.biases, strict=True))[:-1]:
        normal = weight / torch.linalg.matrix_norm(weight, ord=2)
        hidden = torch.relu(hidden @ normal.t() + bias)
    expected = hidden @ net.weights[-1].t() + net.biases[-1]
    found, again = net(rows, vectors)
    np.testing.assert_allclose(found.detach(), expected.detach(), rtol=1e-6)
    np.testing.assert_allclose(again, vectors, atol=1e-6)


# AIRL and RED


def test_the_shaped_reward_by_hand() -> None:
    own, shaping = perceptron(2), perceptron(2)
    with torch.no_grad():
        own.weights[0].copy_(torch.tensor([[1.0, 2.0]]))
        shaping.weights[0].copy_(torch.tensor([[10.0, -1.0]]))
        shaping.biases[0].fill_(0.5)
    net = ShapedReward(own, shaping, states=2, gamma=0.9)
    rows = torch.tensor([[1.0, 1.0, 2.0, 3.0], [1.0, 1.0, 2.0, 3.0]], dtype=DOUBLE)
    f, _ = net(rows, vector(1.0, 0.0), torch.zeros(1, dtype=DOUBLE))
    g, h, h_next = 3.0, 9.5, 17.5
    np.testing.assert_allclose(f.detach(), [g + 0.9 * h_next - h, g - h], rtol=1e-14)


def test_distillation_by_hand() -> None:
    predicted, target = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]])
    errors = losses.distillation_errors(predicted, target)
    assert errors.tolist() == [5.0]
    reward = losses.distilled_reward(errors, width=torch.tensor([2.5])).item()
    assert reward == pytest.approx(math.exp(-2.0), rel=1e-6)
