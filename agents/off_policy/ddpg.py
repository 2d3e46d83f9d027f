"""Deep deterministic policy gradient, arXiv:1509.02971, for continuous actions.

One update, top to bottom: `DDPG.gradient_step`. How it differs from the paper, and what every metric
means, is in docs/ddpg.md. Shapes: B the global minibatch, b this worker's part of it, A action dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from agents.common_settings import hidden_sizes
from agents.compute.compiled_step import Piece
from agents.compute.flat_parameters import FlatAdam
from agents.nn import losses
from agents.nn.critics import Critics, DeterministicActor
from agents.off_policy.learner import ReplayLearner

Tensors = Mapping[str, Tensor]


class DDPG(ReplayLearner):
    """A `Learner`: a deterministic policy and a critic, with slow copies of both."""

    METRICS = ("critic/loss", "critic/value_1", "critic/target", "policy/loss")
    TRACKED = ("Loss / Critic loss", "Q-network / Q1", "Target / Target", "Loss / Policy loss")
    ADDS_NOISE = True

    def make_modules(self) -> dict[str, nn.Module]:
        """Actor and critic, each a segment."""
        config = self.config
        hidden = hidden_sizes(config.p_perception_stack)
        net = self.perceptron(self.observation_dim, hidden, self.action_dim)
        self.actor = DeterministicActor(net)
        hidden = hidden_sizes(config.q_perception_stack)
        inputs = self.observation_dim + self.action_dim
        self.critic = Critics([self.perceptron(inputs, hidden, 1)])
        return {"policy": self.actor, "critic": self.critic}

    def make_optimizers(self) -> dict[str, FlatAdam]:
        """One for the critic, one for the policy."""
        return {name: self.adam(name) for name in ("critic", "policy")}

    def make_kept(self) -> dict[str, Tensor]:
        """The slow parameters, of both networks."""
        return {"slow": self.parameters.values.clone()}

    def choose(
        self,
        observations: Tensor,
        noise: Tensor | None,
        kept: Tensors,
    ) -> Tensor:
        """Actions (N, A) in [-1, 1], with noise where it is given."""
        added = None if noise is None else self.config.exploration_std * noise
        return self.actor.act(observations, noise=added)

    # Learning

    def gradients(self) -> dict[str, Piece]:
        """Of the critic and of the policy."""
        return {"critic": self._critic_gradient, "policy": self._policy_gradient}

    def gradient_step(self) -> None:
        """The critic, the policy, the slow networks; collective."""
        config = self.config
        self.descend("critic", {"critic": config.q_lr})
        self.descend("policy", {"policy": config.p_lr})
        self.kept["slow"].lerp_(self.parameters.values, config.polyak)

    def _critic_gradient(self, t: Tensors) -> None:
        """This worker's share of the critic's gradient."""
        batch = self.samples_of(t)

        def next_value() -> Tensor:
            action = self.actor(batch["next_policy_input"])
            value: Tensor = self.critic(batch["next_critic_input"], action)[0]
            return value

        target = losses.temporal_difference_target(
            batch["reward"],
            batch["discount"],
            self.parameters.call(next_value, self.parameters.views(t["slow"])).detach(),
        )

        def loss() -> tuple[Tensor, Tensor]:
            values = self.critic(batch["critic_input"], batch["action"])
            loss = losses.critics_loss(values, target, t["weight"])
            t["error"].copy_((values - target).detach().abs().mean(0))
            self.tally.spread(t, 1, values, target)
            return loss, torch.stack([loss.detach(), values.detach().mean(), target.mean()])

        gradient, metrics = self.parameters.gradient(loss, t["values"], of=["critic"])
        t["critic.gradients"].copy_(gradient * self.local_share)
        self.tally.add(t, 0, metrics)

    def _policy_gradient(self, t: Tensors) -> None:
        """This worker's share of the policy's gradient."""
        batch = self.samples_of(t)

        def loss() -> tuple[Tensor, Tensor]:
            action = self.actor(batch["policy_input"])
            loss = -self.critic(batch["critic_input"], action)[0].mean()
            return loss, loss.detach().unsqueeze(0)

        gradient, loss_ = self.parameters.gradient(loss, t["values"], of=["policy"])
        t["policy.gradients"].copy_(gradient * self.local_share)
        self.tally.add(t, 3, loss_)
