"""Losses and estimators of PPO: pure functions of arrays and tensors, each with its equation.

Shapes: T time, N environments, B batch.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


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
