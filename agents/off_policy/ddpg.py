"""Deep deterministic policy gradient, arXiv:1509.02971, for continuous actions.

How it differs from the paper, and what every metric means, is in docs/ddpg.md. Shapes: b samples of this worker's
minibatch, A action dimensions.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from agents.compute.trainer import Objective, Trainer
from agents.metric_sums import Numbers
from agents.nn.critics import Critics, DeterministicActor
from agents.off_policy import losses
from agents.off_policy.config import DDPGConfig
from agents.off_policy.core.algorithm import Batch, Exploration, Spec, td_numbers


class DDPG:
    """A deterministic policy and a critic, with target networks of both."""

    target_period = 0

    def __init__(self, config: DDPGConfig, spec: Spec) -> None:
        self.config = config
        A, inputs = spec.action_dim, spec.observation_dim + spec.action_dim
        self.actor = DeterministicActor(
            spec.perceptron(
                spec.observation_dim,
                config.p_perception_stack,
                A,
                config.p_activation,
            ),
        )
        self.critic = Critics(
            [spec.perceptron(inputs, config.q_perception_stack, 1, config.q_activation)],
        )
        self.target_actor, self.target_critic = copy.deepcopy((self.actor, self.critic))
        self.networks = {"policy": self.actor, "critic": self.critic}
        self.targets = {"policy": self.target_actor, "critic": self.target_critic}
        self.exploration = Exploration("normal", A, std=config.exploration_std)
        self.objectives = {
            "critic": Objective(self.critic_loss, ("critic",)),
            "policy": Objective(self.policy_loss, ("policy",)),
        }

    def act(self, observations: Tensor, noise: Tensor | None) -> Tensor:
        """Actions (N, A) in [-1, 1], with noise where it is given."""
        added = None if noise is None else self.config.exploration_std * noise
        return self.actor.act(observations, noise=added)

    def update(self, train: Trainer) -> None:
        """The critic, the policy, the target networks."""
        config = self.config
        train.minimise("critic", critic=config.q_lr)
        train.minimise("policy", policy=config.p_lr)
        train.update_targets(config.tau)

    def critic_loss(self, batch: Batch, _: Tensor) -> tuple[Tensor, Numbers]:
        """Squared TD errors, Algorithm 1."""
        with torch.no_grad():
            action = self.target_actor(batch.next_policy_input)
            next_value = self.target_critic(batch.next_critic_input, action)[0]
            target = losses.td_target(batch.reward, batch.discount, next_value)
        values = self.critic(batch.critic_input, batch.action)  # (1, b)
        loss = losses.critics_loss(values, target, batch.weight)
        return loss, td_numbers(loss, values, target)

    def policy_loss(self, batch: Batch, _: Tensor) -> tuple[Tensor, Numbers]:
        """Minus the critic's value of the policy's action, Eq. 6."""
        action = self.actor(batch.policy_input)
        loss = -self.critic(batch.critic_input, action)[0].mean()
        return loss, {"policy/loss": loss}
