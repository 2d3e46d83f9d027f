"""Twin delayed deep deterministic policy gradient, arXiv:1802.09477, for continuous actions.

How it differs from the paper, and what every metric means, is in docs/td3.md. Shapes: b samples of this worker's
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
from agents.off_policy.config import TD3Config
from agents.off_policy.core.algorithm import Batch, Exploration, Spec, td_numbers


class TD3:
    """A deterministic policy and two critics, with target networks of all three."""

    target_period = 0

    def __init__(self, config: TD3Config, spec: Spec) -> None:
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
        self.critics = Critics(
            [
                spec.perceptron(inputs, config.q_perception_stack, 1, config.q_activation)
                for _ in range(2)
            ],
        )
        self.target_actor, self.target_critics = copy.deepcopy((self.actor, self.critics))
        self.networks = {"policy": self.actor, "critic": self.critics}
        self.targets = {"policy": self.target_actor, "critic": self.target_critics}
        self.exploration = Exploration("normal", A, std=config.exploration_std)
        self.objectives = {
            "critic": Objective(self.critic_loss, ("critic",), noise=A),
            "policy": Objective(self.policy_loss, ("policy",), every=config.policy_delay),
        }

    def act(self, observations: Tensor, noise: Tensor | None) -> Tensor:
        """Actions (N, A) in [-1, 1], with noise where it is given."""
        added = None if noise is None else self.config.exploration_std * noise
        return self.actor.act(observations, noise=added)

    def update(self, train: Trainer) -> None:
        """The critics; every `policy_delay` updates also the policy and all target networks."""
        config = self.config
        train.minimise("critic", critic=config.q_lr)
        if train.is_due(config.policy_delay):
            train.minimise("policy", policy=config.p_lr)
            train.update_targets(config.tau)

    def critic_loss(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Numbers]:
        """Squared TD errors, to targets of smoothed actions (Eq. 14) and the smaller value (Eq. 10)."""
        config = self.config
        limit = config.target_noise_clip
        with torch.no_grad():
            smoothing = (config.target_noise_std * noise).clamp(-limit, limit)
            action = self.target_actor.act(batch.next_policy_input, noise=smoothing)
            next_value = self.target_critics(batch.next_critic_input, action).amin(0)
            target = losses.td_target(batch.reward, batch.discount, next_value)
        values = self.critics(batch.critic_input, batch.action)
        loss = losses.critics_loss(values, target, batch.weight)
        return loss, td_numbers(loss, values, target)

    def policy_loss(self, batch: Batch, _: Tensor) -> tuple[Tensor, Numbers]:
        """Minus the first critic's value of the policy's action."""
        action = self.actor(batch.policy_input)
        loss = -self.critics.first(batch.critic_input, action).mean()
        return loss, {"policy/loss": loss}
