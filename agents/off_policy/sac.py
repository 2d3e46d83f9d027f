"""Soft actor-critic with a learned temperature, arXiv:1812.05905, for continuous actions.

How it differs from the paper, and what every metric means, is in docs/sac.md. Shapes: b samples of this worker's
minibatch, A action dimensions.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from agents.compute.trainer import Objective, Trainer
from agents.metric_sums import Numbers
from agents.nn.critics import Critics, SquashedGaussianActor, Temperature
from agents.nn.distributions import squashed_log_prob
from agents.off_policy import losses
from agents.off_policy.config import SACConfig
from agents.off_policy.core.algorithm import Batch, Exploration, Spec, td_numbers

INSIDE = 1.0 - 1e-5  # actions at a bound, whose density is infinite, are moved to just inside


class SAC:
    """Two critics with target networks, a squashed Gaussian policy, a temperature."""

    target_period = 0

    def __init__(self, config: SACConfig, spec: Spec) -> None:
        self.config, self.action_dim = config, spec.action_dim
        self.target_entropy = -config.target_entropy_scale * spec.action_dim
        A, inputs = spec.action_dim, spec.observation_dim + spec.action_dim
        net = spec.perceptron(
            spec.observation_dim,
            config.p_perception_stack,
            2 * A,
            config.p_activation,
        )
        self.actor = SquashedGaussianActor(net, (config.log_std_min, config.log_std_max))
        self.temperature = Temperature(config.temperature_init, spec.dtype)
        self.critics = Critics(
            [
                spec.perceptron(inputs, config.q_perception_stack, 1, config.q_activation)
                for _ in range(2)
            ],
        )
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
        """Squared TD errors, Eq. 5 with the entropy of Eq. 3."""
        with torch.no_grad():
            action, log_prob = self.actor.sample(batch.next_policy_input, noise=noise)
            values = self.target_critics(batch.next_critic_input, action).amin(0)
            target = losses.td_target(
                batch.reward,
                batch.discount,
                values - self.temperature() * log_prob,
            )
        values = self.critics(batch.critic_input, batch.action)
        loss = losses.critics_loss(values, target, batch.weight)
        return loss, td_numbers(loss, values, target)

    def policy_loss(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Numbers]:
        """Of the policy, Eq. 9, and of the temperature, Eq. 18."""
        action, log_prob = self.actor.sample(batch.policy_input, noise=noise)
        value = self.critics(batch.critic_input, action).amin(0)
        return losses.soft_policy_losses(
            log_prob,
            value,
            self.temperature(),
            target_entropy=self.target_entropy,
        )

    def log_prob(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Log-densities (B,) of actions (B, A) in [-1, 1], for inputs (B, obs_dim)."""
        mean, log_std = self.actor.head(observations)
        unsquashed = torch.atanh(actions.clamp(-INSIDE, INSIDE).to(mean.dtype))
        noise = (unsquashed - mean) * torch.exp(-log_std)
        return squashed_log_prob(unsquashed, noise, log_std)
