"""The losses of the off-policy algorithms by hand, and what each of them does not move."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.off_policy import losses


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def slopes(loss: Tensor, *inputs: Tensor) -> list[Tensor | None]:
    return list(torch.autograd.grad(loss, inputs, allow_unused=True))


def test_a_target_by_hand() -> None:
    found = losses.td_target(vector(1.0, -2.0), vector(0.9, 0.0), vector(10.0, 1e6))
    assert found.tolist() == [10.0, -2.0]


def test_critics_are_weighed_by_sample_and_summed() -> None:
    values = torch.tensor([[1.0, 2.0], [0.0, 5.0]], dtype=torch.float64)
    loss = losses.critics_loss(values, vector(0.0, 1.0), vector(1.0, 0.5))
    # (1 + 0.5 * 1) / 2 of the first, (0 + 0.5 * 16) / 2 of the second
    assert loss.item() == pytest.approx(0.75 + 4.0)


def test_the_soft_losses_and_what_each_moves() -> None:
    """Entropy is wanted, and value; the temperature falls where the entropy is above its target."""
    log_prob, value, temperature = vector(-1.0, 3.0), vector(2.0, -4.0), vector(0.5)
    loss, numbers = losses.soft_policy_losses(log_prob, value, temperature, target_entropy=-2.0)
    assert numbers["policy/loss"].item() == pytest.approx((0.5 * 2.0 - -2.0) / 2)
    assert numbers["policy/entropy"].item() == pytest.approx(-1.0)
    # the mean entropy -1 is above the target -2: the slope is positive, a step lowers the temperature
    by_log_prob, by_value, by_temperature = slopes(loss, log_prob, value, temperature)
    assert by_log_prob is not None and by_value is not None and by_temperature is not None
    np.testing.assert_allclose(
        by_log_prob,
        [0.25, 0.25],
    )  # temperature / 2: none through its own loss
    np.testing.assert_allclose(by_value, [-0.5, -0.5])
    np.testing.assert_allclose(
        by_temperature,
        [1.0],
    )  # entropy less target: none through the policy's
    assert losses.temperature_loss(temperature, log_prob, -2.0).item() == pytest.approx(0.5)


def test_huber_by_hand() -> None:
    loss = losses.huber_loss(vector(0.5, 3.0, 0.0), vector(0.0, 0.0, -3.0), vector(1.0, 2.0, 1.0))
    assert loss.item() == pytest.approx((0.125 + 2.0 * 2.5 + 2.5) / 3)


def test_quantiles_by_loops() -> None:
    """arXiv:2005.04269, Eq. 10: |fraction - [error < 0]| times Huber's loss of the error."""
    rng = np.random.default_rng(0)
    C, B, M, K = 2, 3, 4, 5
    quantiles, target, weight = rng.normal(size=(C, B, M)), rng.normal(size=(B, K)), rng.random(B)
    expected = 0.0
    for c in range(C):
        for b in range(B):
            total = 0.0
            for m in range(M):
                for k in range(K):
                    error = target[b, k] - quantiles[c, b, m]
                    huber = 0.5 * error**2 if abs(error) <= 1.0 else abs(error) - 0.5
                    total += abs((m + 0.5) / M - (error < 0.0)) * huber
            expected += weight[b] * total / (M * K) / B
    found = losses.quantile_huber_loss(
        *(torch.from_numpy(each) for each in (quantiles, target, weight)),
    )
    assert found.item() == pytest.approx(expected, rel=1e-12)
