"""Deep Q-learning with double targets, arXiv:1509.06461, for discrete actions; duelling if wanted.

One update, top to bottom: `DQN.gradient_step`. How it differs from the paper, and what every metric
means, is in docs/dqn.md. Shapes: B the global minibatch, b this worker's part of it, K choices.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from agents.base import Metrics, RewardFunction, Transitions, environment_reward
from agents.common_settings import hidden_sizes
from agents.compute.compiled_step import Piece
from agents.compute.flat_parameters import FlatAdam
from agents.nn import losses
from agents.nn.critics import ChoiceValues
from agents.off_policy.learner import ReplayLearner
from helpers.trackers.skrl_metrics import EPSILON

Tensors = Mapping[str, Tensor]


class DQN(ReplayLearner):
    """A `Learner`: values of the choices, with a slow copy that is renewed now and then."""

    METRICS = ("critic/loss", "critic/value", "critic/target")
    TRACKED = ("Loss / Q-network loss", "", "Target / Target")
    EXPLORATION = "uniform"

    def make_modules(self) -> dict[str, nn.Module]:
        """The values, one segment."""
        config, K = self.config, self.action_dim
        *hidden, width = hidden_sizes(config.q_perception_stack)
        features = nn.Sequential(self.perceptron(self.observation_dim, hidden, width), nn.ReLU())
        head = self.perceptron(width, (), K)
        baseline = self.perceptron(width, (), 1) if config.duelling else None
        self.critic = ChoiceValues(features, head, baseline)
        return {"critic": self.critic}

    def make_optimizers(self) -> dict[str, FlatAdam]:
        """One for the values."""
        return {"critic": self.adam("critic")}

    def make_kept(self) -> dict[str, Tensor]:
        """The slow parameters."""
        return {"slow": self.parameters.values.clone()}

    # Acting

    def exploration_dim(self) -> int:
        """Whether to explore, and what."""
        return 2

    @property
    def epsilon(self) -> float:
        """How often a choice is random, falling linearly over the first part of the training."""
        config = self.config
        done = self.steps / (config.exploration_fraction * config.num_timesteps)
        return float(
            max(config.epsilon_end, 1.0 + done * (config.epsilon_end - 1.0)),
        )

    def choose(
        self,
        observations: Tensor,
        noise: Tensor | None,
        kept: Tensors,
    ) -> Tensor:
        """Choices (N,) int64: the most valued, or where noise (N, 2) says so, any."""
        best = self.critic(observations).argmax(-1)
        if noise is None:
            return best
        random = (noise[:, 1] * self.action_dim).long()
        return torch.where(noise[:, 0] < 0.0, random, best)

    def exploration(self, noise: np.ndarray) -> np.ndarray:
        """The first number negative where the choice is to be random."""
        return noise - np.array([self.epsilon, 0.0], dtype=noise.dtype)

    # Learning

    def update(
        self,
        rollout: Transitions,
        reward: RewardFunction = environment_reward,
    ) -> Metrics:
        """Renew the slow copy where a multiple of its period is passed, then learn; collective."""
        if self.steps >= self.config.warm_up:
            self.track_data(EPSILON, self.epsilon)
        period = self.config.slow_period
        if (self.steps + self.config.rollout_len) // period > self.steps // period:
            self.kept["slow"].copy_(self.parameters.values)
        metrics = dict(super().update(rollout, reward))
        return metrics | {"policy/epsilon": self.epsilon} if metrics else metrics

    def gradients(self) -> dict[str, Piece]:
        """Of the values."""
        return {"critic": self._gradient}

    def gradient_step(self) -> None:
        """One step of the values; collective."""
        self.descend("critic", {"critic": self.config.q_lr})

    def _gradient(self, t: Tensors) -> None:
        """This worker's share of the gradient: the quick net chooses, the slow one values."""
        batch = self.samples_of(t)
        following = batch["next_critic_input"]
        quick = self.parameters.views(t["values"])
        slow = self.parameters.views(t["slow"])
        slow_values = self.parameters.call(lambda: self.critic(following), slow)
        if self.config.double:
            best = self.parameters.call(lambda: self.critic(following), quick).argmax(-1)
            next_value = slow_values.gather(-1, best.unsqueeze(-1)).squeeze(-1)
        else:
            next_value = slow_values.amax(-1)
        target = losses.temporal_difference_target(
            batch["reward"],
            batch["discount"],
            next_value.detach(),
        )

        def loss() -> tuple[Tensor, Tensor]:
            values = self.critic(batch["critic_input"])
            value = values.gather(-1, batch["action"].unsqueeze(-1)).squeeze(-1)
            loss = losses.huber_loss(value, target, t["weight"])
            t["error"].copy_((value - target).detach().abs())
            self.tally.spread(t, 2, target)
            return loss, torch.stack([loss.detach(), value.detach().mean(), target.mean()])

        gradient, metrics = self.parameters.gradient(loss, t["values"], of=["critic"])
        t["critic.gradients"].copy_(gradient * self.local_share)
        self.tally.add(t, 0, metrics)
