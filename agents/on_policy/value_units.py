"""The unit that PPO's critic speaks in, taken from returns, and changed without changing what the critic says.

PopArt, arXiv:1602.07714: when the moments of the returns move, the critic's last layer moves against them (Eq. 6), so
that its values in units of reward stay. Adam's moments of that layer are left as they are. The moments are merged over
workers once an iteration, and remember about ten rollouts (`ReturnNormalizer`).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from agents.base import Transitions
from agents.nn.actors import Critic
from agents.nn.normalizer import ReturnNormalizer
from helpers.parallel.workers import Workers


class Estimator(Protocol):
    """`losses.gae`, with its discounts."""

    def __call__(
        self,
        rewards: np.ndarray,
        values: np.ndarray,
        *,
        next_values: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
    ) -> np.ndarray: ...


class ValueUnits:
    """What changes the moments of the returns, and with them the critic.

    Args:
        moments: of the returns.
        critic: speaks in deviations from their mean.
        workers: who share them.
    """

    def __init__(self, moments: ReturnNormalizer, critic: Critic, workers: Workers) -> None:
        self.moments, self.critic, self.workers = moments, critic, workers

    def begin(self, rewards: np.ndarray, rollout: Transitions, gae: Estimator) -> None:
        """Take the first unit from the first rollout's returns under a critic of zeros, rewards (T, N); collective."""
        if not self.moments.preserves or self.moments.count:
            return
        zeros = np.zeros_like(rewards)
        returns = gae(
            rewards,
            zeros,
            next_values=zeros.copy(),
            terminated=rollout.terminated,
            truncated=rollout.truncated,
        )
        self.moments.update(returns, workers=self.workers)

    def update(self, targets: np.ndarray) -> None:
        """Take in an iteration's value targets (B,), in the critic's unit; collective."""
        moments = self.moments
        center, sd = moments.center, moments.sd
        moments.update(moments.denormalize(targets), workers=self.workers)
        if moments.preserves:
            self.critic.rescale_(sd / moments.sd, (center - moments.center) / moments.sd)
