"""Twin delayed deep deterministic policy gradient, arXiv:1802.09477, for continuous actions.

One update, top to bottom: `TD3.gradient_step`. How it differs from the paper, and what every metric
means, is in docs/td3.md. Shapes: B the global minibatch, b this worker's part of it, A action dimensions.
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


class TD3(ReplayLearner):
    """A `Learner`: a deterministic policy and two critics, with slow copies of all three."""

    METRICS = (
        "critic/loss",
        "critic/value_1",
        "critic/value_2",
        "critic/target",
        "policy/loss",
    )
    TRACKED = (
        "Loss / Critic loss",
        "Q-network / Q1",
        "Q-network / Q2",
        "Target / Target",
        "Loss / Policy loss",
    )
    ADDS_NOISE = True

    def make_modules(self) -> dict[str, nn.Module]:
        """Actor and critics, each a segment."""
        config = self.config
        hidden = hidden_sizes(config.p_perception_stack)
        net = self.perceptron(self.observation_dim, hidden, self.action_dim)
        self.actor = DeterministicActor(net)
        hidden = hidden_sizes(config.q_perception_stack)
        inputs = self.observation_dim + self.action_dim
        self.critics = Critics([self.perceptron(inputs, hidden, 1) for _ in range(2)])
        return {"policy": self.actor, "critic": self.critics}

    def make_optimizers(self) -> dict[str, FlatAdam]:
        """One for the critics, one for the policy."""
        return {name: self.adam(name) for name in ("critic", "policy")}

    def make_kept(self) -> dict[str, Tensor]:
        """The slow parameters, of all networks."""
        return {"slow": self.parameters.values.clone()}

    def update_dim(self) -> int:
        """Noise of the next action."""
        return self.action_dim

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
        """Of the critics and of the policy."""
        return {"critic": self._critic_gradient, "policy": self._policy_gradient}

    def gradient_step(self) -> None:
        """The critics; every `policy_delay` updates also the policy and all slow networks."""
        config = self.config
        self.descend("critic", {"critic": config.q_lr})
        if (self.updates + 1) % config.policy_delay == 0:
            self.descend("policy", {"policy": config.p_lr})
            self.kept["slow"].lerp_(self.parameters.values, config.polyak)

    def _critic_gradient(self, t: Tensors) -> None:
        """This worker's share of the critics' gradient."""
        config, batch = self.config, self.samples_of(t)
        limit = config.target_noise_clip
        noise = (config.target_noise_std * t["noise"]).clamp(-limit, limit)

        def next_value() -> Tensor:
            action = self.actor.act(batch["next_policy_input"], noise=noise)
            value: Tensor = self.critics(batch["next_critic_input"], action).amin(0)
            return value

        target = losses.temporal_difference_target(
            batch["reward"],
            batch["discount"],
            self.parameters.call(next_value, self.parameters.views(t["slow"])).detach(),
        )

        def loss() -> tuple[Tensor, Tensor]:
            values = self.critics(batch["critic_input"], batch["action"])
            loss = losses.critics_loss(values, target, t["weight"])
            t["error"].copy_((values - target).detach().abs().mean(0))
            self.tally.spread(t, 1, values, target)
            return loss, torch.stack([loss.detach(), *values.detach().mean(-1), target.mean()])

        gradient, metrics = self.parameters.gradient(loss, t["values"], of=["critic"])
        t["critic.gradients"].copy_(gradient * self.local_share)
        self.tally.add(t, 0, metrics)

    def _policy_gradient(self, t: Tensors) -> None:
        """This worker's share of the policy's gradient."""
        batch = self.samples_of(t)

        def loss() -> tuple[Tensor, Tensor]:
            action = self.actor(batch["policy_input"])
            loss = -self.critics.first(batch["critic_input"], action).mean()
            return loss, loss.detach().unsqueeze(0)

        gradient, loss_ = self.parameters.gradient(loss, t["values"], of=["policy"])
        t["policy.gradients"].copy_(gradient * self.local_share)
        self.tally.add(t, 4, loss_, steps=self.config.policy_delay)
