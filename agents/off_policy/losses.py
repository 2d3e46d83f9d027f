"""Losses of the off-policy algorithms: pure functions of tensors, each with its equation.

Shapes: B batch, C critics.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from agents.metric_sums import Numbers


def td_target(reward: Tensor, discount: Tensor, next_value: Tensor) -> Tensor:
    """r + discount * V(s') (B,); `discount` is 0 where the task has ended, not where a limit cut."""
    return reward + discount * next_value


def critics_loss(values: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Squared errors of critics (C, B) against one target (B,), summed over critics, mean over B.

    `weight` (B,) corrects for samples that were not drawn uniformly (arXiv:1511.05952, 3.4).
    """
    return ((values - target).square() * weight).mean(-1).sum()


def soft_policy_loss(log_prob: Tensor, value: Tensor, temperature: Tensor) -> Tensor:
    """Mean of temperature * log pi - Q, arXiv:1812.05905, Eq. 9."""
    return (temperature * log_prob - value).mean()


def temperature_loss(temperature: Tensor, log_prob: Tensor, target_entropy: float) -> Tensor:
    """Raises the temperature where the entropy is below its target, arXiv:1812.05905, Eq. 18."""
    return -(temperature * (log_prob + target_entropy)).mean()


def soft_policy_losses(
    log_prob: Tensor,
    value: Tensor,
    temperature: Tensor,
    *,
    target_entropy: float,
) -> tuple[Tensor, Numbers]:
    """The loss of a soft policy and that of its temperature, added, and their numbers for metrics.

    Args:
        log_prob: (B,) of sampled actions.
        value: (B,) of these.
        temperature: (1,).
        target_entropy: in nats.
    """
    policy_loss = soft_policy_loss(log_prob, value, temperature.detach())
    of_temperature = temperature_loss(temperature, log_prob.detach(), target_entropy)
    return policy_loss + of_temperature, {
        "policy/loss": policy_loss,
        "policy/entropy": -log_prob.mean(),
        "policy/temperature": temperature,
        "Loss / Entropy loss": of_temperature,
    }


def huber_loss(value: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean of half the squared error (B,) up to 1, and of the error less a half beyond, weighted."""
    return (functional.smooth_l1_loss(value, target, reduction="none") * weight).mean()


def quantile_huber_loss(quantiles: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Quantile regression of critics (C, B, M) on target quantiles (B, K), arXiv:2005.04269, Eq. 10.

    Mean over samples and both kinds of quantiles, summed over critics. Quantile m stands for the fraction
    (m + 1/2) / M. `weight` (B,) corrects for samples that were not drawn uniformly.
    """
    count = quantiles.shape[-1]
    fractions = (torch.arange(count, dtype=quantiles.dtype) + 0.5) / count  # (M,)
    errors = target[:, None, :] - quantiles[..., None]  # (C, B, M, K)
    huber = functional.smooth_l1_loss(errors, torch.zeros_like(errors), reduction="none")
    sides = (fractions[:, None] - (errors.detach() < 0.0).to(errors.dtype)).abs()
    return ((sides * huber).mean((-1, -2)) * weight).mean(-1).sum()
