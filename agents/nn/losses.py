"""Losses and estimators: pure functions of arrays and tensors, each with its equation.

Shapes: T time, N environments, B batch, A action dimensions, K discrete choices.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)


def gae(
    rewards: np.ndarray,
    values: np.ndarray,
    *,
    next_values: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    gamma: float,
    gae_lambda: float,
) -> np.ndarray:
    """Generalised advantage estimates, arXiv:1506.02438, Eq. 16.

    `next_values` are the values of the true successors, so an episode cut by a limit bootstraps from
    its own last observation. Neither end of an episode lets an advantage leak into the one before.

    Args:
        rewards: (T, N).
        values: (T, N), of the observations.
        next_values: (T, N), of the true successors.
        terminated: bool (T, N): the successor is worth nothing.
        truncated: bool (T, N): the successor is worth its value, the sum stops there.
        gamma: discount a step.
        gae_lambda: decay of the sum over temporal differences.

    Returns:
        (T, N) advantages; `advantages + values` are the lambda-returns.
    """
    differences = rewards + gamma * next_values * ~terminated - values
    decays = gamma * gae_lambda * ~(terminated | truncated)
    advantages = np.empty_like(differences)
    advantage = np.zeros_like(differences[0])
    for t in range(len(rewards) - 1, -1, -1):
        np.multiply(decays[t], advantage, out=advantage)
        advantage += differences[t]
        advantages[t] = advantage
    return advantages


def gaussian_log_prob(actions: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log-density (B,) of unclipped actions (B, A) under a diagonal Gaussian."""
    z = (actions - mean) * torch.exp(-log_std)
    return -(0.5 * z * z + log_std + HALF_LOG_TAU).sum(-1)


def gaussian_entropy(log_std: Tensor) -> Tensor:
    """Entropy in nats of a diagonal Gaussian with log_std (..., A)."""
    return (log_std + 0.5 + HALF_LOG_TAU).sum(-1)


def categorical_log_prob(actions: Tensor, logits: Tensor) -> Tensor:
    """Log-probability (B,) of chosen indices (B,) under logits (B, K)."""
    return torch.log_softmax(logits, -1).gather(-1, actions.unsqueeze(-1)).squeeze(-1)


def categorical_entropy(logits: Tensor) -> Tensor:
    """Entropy (B,) in nats of logits (B, K)."""
    log_probs = torch.log_softmax(logits, -1)
    return -(log_probs.exp() * log_probs).sum(-1)


def ppo_clip_loss(
    log_prob: Tensor,
    old_log_prob: Tensor,
    *,
    advantage: Tensor,
    clip_ratio: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Clipped surrogate objective, negated, arXiv:1707.06347, Eq. 7.

    Returns:
        The loss, and `approx_kl` (Schulman's k3 estimate of KL(old || new), never negative),
        and `clip_fraction`: scalars without gradient.
    """
    log_ratio = log_prob - old_log_prob  # (B,)
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1.0 - clip_ratio, 1.0 + clip_ratio)
    loss = -torch.minimum(ratio * advantage, clipped * advantage).mean()
    with torch.no_grad():
        metrics = {
            "approx_kl": (torch.expm1(log_ratio) - log_ratio).mean(),
            "clip_fraction": (ratio != clipped).to(ratio.dtype).mean(),
        }
    return loss, metrics


def value_loss(
    value: Tensor,
    target: Tensor,
    *,
    old_value: Tensor | None = None,
    value_clip: float = 0.0,
) -> Tensor:
    """Mean squared error of values (B,) to lambda-returns (B,), clipped around old values if asked.

    With `value_clip` > 0 the larger of the plain and the clipped error counts, as in the PPO of
    OpenAI Baselines; it is off by default, since no study found that it helps.
    """
    error = (value - target).square()
    if value_clip > 0.0 and old_value is not None:
        near = old_value + (value - old_value).clamp(-value_clip, value_clip)
        error = torch.maximum(error, (near - target).square())
    return error.mean()


def squashed_log_prob(unsquashed: Tensor, noise: Tensor, log_std: Tensor) -> Tensor:
    """Log-density (B,) of tanh(u) for u = mean + noise * std (B, A), arXiv:1812.05905, Eq. 26.

    log(1 - tanh(u)^2) is written 2 (log 2 - u - softplus(-2 u)), which does not cancel.
    """
    gaussian = -(0.5 * noise * noise + log_std + HALF_LOG_TAU)
    squash = 2.0 * (math.log(2.0) - unsquashed - functional.softplus(-2.0 * unsquashed))
    return (gaussian - squash).sum(-1)


def temporal_difference_target(reward: Tensor, discount: Tensor, next_value: Tensor) -> Tensor:
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


def huber_loss(value: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean of half the squared error (B,) up to 1, and of the error less a half beyond, weighted."""
    return (functional.smooth_l1_loss(value, target, reduction="none") * weight).mean()
