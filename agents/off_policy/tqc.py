"""Truncated quantile critics (TQC), arXiv:2005.04269, for continuous actions.

How it differs from the paper, and what every metric means, is in docs/tqc.md. Shapes: b samples of this worker's
minibatch, A action dimensions, C critics, M quantiles of each, K quantiles of a target.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from agents.compute.trainer import Objective, Trainer
from agents.metric_sums import Numbers
from agents.nn.critics import Critics, SquashedGaussianActor, Temperature
from agents.off_policy import losses
from agents.off_policy.config import TQCConfig
from agents.off_policy.core.algorithm import Batch, Exploration, Spec, td_numbers


class TQC:
    """Soft actor-critic whose critics give quantiles of the return; targets leave out the largest."""

    target_period = 0

    def __init__(self, config: TQCConfig, spec: Spec) -> None:
        self.config, self.action_dim = config, spec.action_dim
        self.target_entropy = -config.target_entropy_scale * spec.action_dim
        self.kept = config.num_critics * (config.num_quantiles - config.dropped_quantiles)  # K
        A, inputs = spec.action_dim, spec.observation_dim + spec.action_dim
        self.actor = SquashedGaussianActor(
            spec.perceptron(
                spec.observation_dim,
                config.p_perception_stack,
                2 * A,
                config.p_activation,
            ),
            (config.log_std_min, config.log_std_max),
        )
        self.temperature = Temperature(config.temperature_init, spec.dtype)
        outputs = config.num_quantiles
        nets = [
            spec.perceptron(inputs, config.q_perception_stack, outputs, config.q_activation)
            for _ in range(config.num_critics)
        ]
        self.critics = Critics(nets)
        self.target_critics = copy.deepcopy(self.critics)
        self.networks = {
            "policy": self.actor,
            "temperature": self.temperature,
            "critic": self.critics,
        }
        self.targets = {"critic": self.target_critics}
        self.exploration = Exploration("normal", A)
        self.objectives = {
            "critic": Objective(self.critic_loss, ("critic",), noise=A),
            "policy": Objective(self.policy_loss, ("policy", "temperature"), noise=A),
        }

    def act(self, observations: Tensor, noise: Tensor | None) -> Tensor:
        """Actions (N, A) in (-1, 1): sampled, or the squashed mean."""
        return self.actor.act(observations, noise=noise)

    def update(self, train: Trainer) -> None:
        """Critics, then policy and temperature under these, then the target critics."""
        config = self.config
        train.minimise("critic", critic=config.q_lr)
        train.minimise("policy", policy=config.p_lr, temperature=config.temperature_lr)
        train.update_targets(config.tau)

    def critic_loss(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Numbers]:
        """Quantile Huber loss (Eq. 10) to the smallest quantiles of all target critics (Eq. 7 to 9)."""
        with torch.no_grad():
            action, log_prob = self.actor.sample(batch.next_policy_input, noise=noise)
            quantiles = self.target_critics(batch.next_critic_input, action)  # (C, b, M)
            pooled = quantiles.transpose(0, 1).flatten(1)  # (b, C M)
            smallest = pooled.sort(-1).values[:, : self.kept]  # (b, K)
            entropy = self.temperature() * log_prob
            target = losses.td_target(
                batch.reward.unsqueeze(-1),
                batch.discount.unsqueeze(-1),
                smallest - entropy.unsqueeze(-1),
            )
        quantiles = self.critics(batch.critic_input, batch.action)
        loss = losses.quantile_huber_loss(quantiles, target, batch.weight)
        values, target = quantiles.mean(-1), target.mean(-1)  # (C, b), (b,)
        return loss, td_numbers(loss, values, target)

    def policy_loss(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Numbers]:
        """Of the policy, under the mean of all quantiles (Eq. 11), and of the temperature."""
        action, log_prob = self.actor.sample(batch.policy_input, noise=noise)
        value = self.critics(batch.critic_input, action).mean((0, 2))
        return losses.soft_policy_losses(
            log_prob,
            value,
            self.temperature(),
            target_entropy=self.target_entropy,
        )
