"""Densities and entropies of policies: pure functions of tensors.

Shapes: B batch, A action dimensions, K discrete actions, D choices of one action.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)
NEVER = -1e30  # finite, so that 0 times its log-probability is 0 in an entropy


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


def by_choice(logits: Tensor, sizes: Sequence[int]) -> Tensor:
    """Logits (B, D, K) of D choices, K the most of them, of those that lie one behind another (B, sum of sizes).

    Where a choice is of fewer than K, what is missing has the logit `NEVER`, whose probability is 0.
    """
    most = max(sizes)
    if min(sizes) == most:
        return logits.unflatten(-1, (len(sizes), most))
    parts = logits.split(list(sizes), -1)
    filled = [functional.pad(part, (0, most - part.shape[-1]), value=NEVER) for part in parts]
    return torch.stack(filled, -2)


def product_log_prob(actions: Tensor, logits: Tensor, sizes: Sequence[int]) -> Tensor:
    """Log-probability (B,) of D independent choices (B, D), the sum of theirs, under logits (B, sum of sizes)."""
    return categorical_log_prob(actions, by_choice(logits, sizes)).sum(-1)


def product_entropy(logits: Tensor, sizes: Sequence[int]) -> Tensor:
    """Entropy (B,) in nats of D independent choices, the sum of theirs, of logits (B, sum of sizes)."""
    return categorical_entropy(by_choice(logits, sizes)).sum(-1)


def product_log_softmax(logits: Tensor, sizes: Sequence[int]) -> Tensor:
    """Log-probabilities (B, sum of sizes) of independent choices, of their logits, of one choice behind another."""
    parts = logits.split(list(sizes), -1)
    return torch.cat([torch.log_softmax(part, -1) for part in parts], -1)


def squashed_log_prob(unsquashed: Tensor, noise: Tensor, log_std: Tensor) -> Tensor:
    """Log-density (B,) of tanh(u) for u = mean + noise * std (B, A), arXiv:1812.05905, Eq. 26.

    log(1 - tanh(u)^2) is written 2 (log 2 - u - softplus(-2 u)), which does not cancel.
    """
    gaussian = -(0.5 * noise * noise + log_std + HALF_LOG_TAU)
    squash = 2.0 * (math.log(2.0) - unsquashed - functional.softplus(-2.0 * unsquashed))
    return (gaussian - squash).sum(-1)
