"""Randomised ensembled double Q-learning (REDQ), arXiv:2101.05982, for continuous actions.

How it differs from the paper, and what every metric means, is in docs/redq.md. Shapes: b samples of this worker's
minibatch, A action dimensions, C critics.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from agents.compute.trainer import Objective, Trainer
from agents.metric_sums import Numbers
from agents.nn.critics import Critics, SquashedGaussianActor, Temperature
from agents.off_policy import losses
from agents.off_policy.config import REDQConfig
from agents.off_policy.core.algorithm import Batch, Exploration, Spec, td_numbers


class REDQ:
    """Soft actor-critic with an ensemble of critics, a random few of which make each target."""

    target_period = 0

    def __init__(self, config: REDQConfig, spec: Spec) -> None:
        self.config, self.action_dim = config, spec.action_dim
        self.target_entropy = -config.target_entropy_scale * spec.action_dim
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
        nets = [
            spec.perceptron(inputs, config.q_perception_stack, 1, config.q_activation)
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
        policy = ("policy", "temperature")
        self.objectives = {
            "critic": Objective(self.critic_loss, ("critic",), noise=A + config.num_critics),
            "policy": Objective(self.policy_loss, policy, noise=A, every=config.policy_delay),
        }

    def act(self, observations: Tensor, noise: Tensor | None) -> Tensor:
        """Actions (N, A) in (-1, 1): sampled, or the squashed mean."""
        return self.actor.act(observations, noise=noise)

    def update(self, train: Trainer) -> None:
        """The critics and their targets; every `policy_delay` updates also policy and temperature."""
        config = self.config
        train.minimise("critic", critic=config.q_lr)
        train.update_targets(config.tau)
        if train.is_due(config.policy_delay):
            train.minimise("policy", policy=config.p_lr, temperature=config.temperature_lr)

    def critic_loss(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Numbers]:
        """Squared TD errors to the least of `target_critics` random target critics, Eq. 1."""
        with torch.no_grad():
            action, log_prob = self.actor.sample(
                batch.next_policy_input,
                noise=noise[:, : self.action_dim],
            )
            values = self.target_critics(batch.next_critic_input, action)  # (C, b)
            chosen = noise[:, self.action_dim :].topk(self.config.target_critics).indices
            least = values.gather(0, chosen.T).amin(0)
            target = losses.td_target(
                batch.reward,
                batch.discount,
                least - self.temperature() * log_prob,
            )
        values = self.critics(batch.critic_input, batch.action)
        loss = losses.critics_loss(values, target, batch.weight)
        return loss, td_numbers(loss, values, target)

    def policy_loss(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Numbers]:
        """Of the policy, under the mean of all critics, and of the temperature."""
        action, log_prob = self.actor.sample(batch.policy_input, noise=noise)
        value = self.critics(batch.critic_input, action).mean(0)
        return losses.soft_policy_losses(
            log_prob,
            value,
            self.temperature(),
            target_entropy=self.target_entropy,
        )
