"""Deep Q-learning with double targets, arXiv:1509.06461, for discrete actions; dueling on request.

How it differs from the paper, and what every metric means, is in docs/dqn.md. Shapes: b samples of this worker's
minibatch, K discrete actions.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from agents.common_settings import hidden_sizes
from agents.compute.trainer import Objective, Trainer
from agents.metric_sums import Numbers
from agents.nn.critics import QNetwork
from agents.nn.perceptrons import ACTIVATIONS
from agents.off_policy import losses
from agents.off_policy.config import DQNConfig
from agents.off_policy.core.algorithm import Batch, Exploration, Spec, td_numbers


class DQN:
    """A Q-network, and a target network that equals it every `target_period` steps."""

    def __init__(self, config: DQNConfig, spec: Spec) -> None:
        self.config, self.action_dim = config, spec.action_dim
        self.critic = self._q_network(spec)
        self.target_critic = copy.deepcopy(self.critic)
        self.networks = {"critic": self.critic}
        self.targets, self.target_period = {"critic": self.target_critic}, config.target_period
        self.exploration = Exploration("uniform", 2, epsilon=self.epsilon)
        skrl_names = {"critic/loss": "Loss / Q-network loss"}
        self.objectives = {
            "critic": Objective(self.critic_loss, ("critic",), skrl_names=skrl_names),
        }

    def _q_network(self, spec: Spec) -> QNetwork:
        kind = self.config.q_activation
        features: nn.Module
        if spec.picture is not None:
            features = spec.picture_layers(self.config.q_perception_stack, kind)
            width = features.width
        else:
            *hidden, width = hidden_sizes(self.config.q_perception_stack)
            stack = spec.perceptron(spec.observation_dim, hidden, width, kind)
            features = nn.Sequential(stack, ACTIVATIONS[kind]())
        head = spec.perceptron(width, (), spec.action_dim)
        baseline = spec.perceptron(width, (), 1) if self.config.dueling else None
        return QNetwork(features, head, baseline)

    def epsilon(self, steps: int) -> float:
        """The share of random actions after `steps` steps: it falls linearly over the first part of the training."""
        config = self.config
        done = steps / (config.exploration_fraction * config.num_timesteps)
        return float(max(config.epsilon_end, 1.0 + done * (config.epsilon_end - 1.0)))

    def act(self, observations: Tensor, noise: Tensor | None) -> Tensor:
        """Actions (N,) int64: those of highest value; where noise (N, 2) begins below 0, random ones."""
        best = self.critic(observations).argmax(-1)
        if noise is None:
            return best
        random = (noise[:, 1] * self.action_dim).long()
        return torch.where(noise[:, 0] < 0.0, random, best)

    def update(self, train: Trainer) -> None:
        """One step of the Q-network."""
        train.minimise("critic", critic=self.config.q_lr)

    def critic_loss(self, batch: Batch, _: Tensor) -> tuple[Tensor, Numbers]:
        """Huber loss of TD errors: the Q-network chooses the next action, the target network values it."""
        with torch.no_grad():
            next_values = self.target_critic(batch.next_critic_input)
            if self.config.double:
                best = self.critic(batch.next_critic_input).argmax(-1)
                next_value = next_values.gather(-1, best.unsqueeze(-1)).squeeze(-1)
            else:
                next_value = next_values.amax(-1)
            target = losses.td_target(batch.reward, batch.discount, next_value)
        values = self.critic(batch.critic_input)
        value = values.gather(-1, batch.action.unsqueeze(-1)).squeeze(-1)
        loss = losses.huber_loss(value, target, batch.weight)
        return loss, td_numbers(loss, value, target)
