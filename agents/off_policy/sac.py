"""Soft actor-critic with a learned temperature, arXiv:1812.05905, for continuous actions.

One update, top to bottom: `SAC.gradient_step`. How it differs from the paper, and what every metric
means, is in docs/sac.md. Shapes: B the global minibatch, b this worker's part of it, A action dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from agents.common_settings import hidden_sizes
from agents.compute.compiled_step import Piece
from agents.compute.flat_parameters import FlatAdam
from agents.metric_sums import SOFT_METRICS, SOFT_TRACKED
from agents.nn import losses
from agents.nn.critics import Critics, SquashedGaussianActor, Temperature
from agents.off_policy.learner import ReplayLearner

Tensors = Mapping[str, Tensor]
INSIDE = 1.0 - 1e-5


class SAC(ReplayLearner):
    """A `Learner`: two critics with slow copies, a squashed Gaussian policy, a temperature."""

    METRICS, TRACKED = SOFT_METRICS, SOFT_TRACKED

    def make_modules(self) -> dict[str, nn.Module]:
        """Actor, temperature and critics, each a segment."""
        config, A = self.config, self.action_dim
        hidden = hidden_sizes(config.p_perception_stack)
        net = self.perceptron(self.observation_dim, hidden, 2 * A)
        self.actor = SquashedGaussianActor(net)
        self.temperature = Temperature(config.temperature_init, self.torch_dtype)
        hidden = hidden_sizes(config.q_perception_stack)
        inputs = self.observation_dim + A
        self.critics = Critics([self.perceptron(inputs, hidden, 1) for _ in range(2)])
        return {"policy": self.actor, "temperature": self.temperature, "critic": self.critics}

    def make_optimizers(self) -> dict[str, FlatAdam]:
        """One for the critics, one for policy and temperature."""
        return {
            "critic": self.adam("critic"),
            "policy": self.adam("policy", "temperature"),
        }

    def make_kept(self) -> dict[str, Tensor]:
        """The slow critics' parameters."""
        return {"slow": self.parameters.values[self.optimizers["critic"].where].clone()}

    def update_dim(self) -> int:
        """Noise of the next action and of this one."""
        return 2 * self.action_dim

    def choose(
        self,
        observations: Tensor,
        noise: Tensor | None,
        kept: Tensors,
    ) -> Tensor:
        """Actions (N, A) in (-1, 1): sampled, or the squashed mean."""
        return self.actor.act(observations, noise=noise)

    def log_prob(self, observations: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Log-densities (B,) of actions (B, A) in raw observations (B, obs_dim), both as in [-1, 1].

        An action at a bound, of which a squashed policy has no density, counts as one just inside.
        """
        standard = np.asarray(observations, dtype=self.dtype)
        if self.config.p_batch_norm:
            standard = self.observations(standard)
        inside = self.actions.to_networks(torch.from_numpy(actions)).clamp(-INSIDE, INSIDE)
        with torch.no_grad():
            mean, log_std = self.actor.head(torch.from_numpy(standard))
            unsquashed = torch.atanh(inside.to(mean.dtype))
            noise = (unsquashed - mean) * torch.exp(-log_std)
            found: np.ndarray = losses.squashed_log_prob(unsquashed, noise, log_std).numpy()
        return found

    # Learning

    def gradients(self) -> dict[str, Piece]:
        """Of the critics, and of policy and temperature."""
        return {"critic": self._critic_gradient, "policy": self._policy_gradient}

    def gradient_step(self) -> None:
        """Critics, then policy and temperature under these, then the slow critics; collective."""
        config = self.config
        self.descend("critic", {"critic": config.q_lr})
        step_sizes = {"policy": config.p_lr, "temperature": config.temperature_lr}
        self.descend("policy", step_sizes)
        fast = self.parameters.values[self.optimizers["critic"].where]
        self.kept["slow"].lerp_(fast, config.polyak)

    def _critic_gradient(self, t: Tensors) -> None:
        """This worker's share of the critics' gradient."""
        batch, noise = self.samples_of(t), t["noise"][:, : self.action_dim]
        now = self.parameters.views(t["values"])
        slow = now | self.parameters.views(t["slow"], start=self.optimizers["critic"].where.start)

        def next_value() -> Tensor:
            action, log_prob = self.actor.sample(batch["next_policy_input"], noise=noise)
            values = self.critics(batch["next_critic_input"], action).amin(0)
            return values - self.temperature() * log_prob

        target = losses.temporal_difference_target(
            batch["reward"],
            batch["discount"],
            self.parameters.call(next_value, slow).detach(),
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
        """This worker's share of the gradient of policy and temperature."""
        batch, noise = self.samples_of(t), t["noise"][:, self.action_dim :]
        goal = -self.config.target_entropy_scale * self.action_dim

        def loss() -> tuple[Tensor, Tensor]:
            action, log_prob = self.actor.sample(batch["policy_input"], noise=noise)
            value = self.critics(batch["critic_input"], action).amin(0)
            temperature = self.temperature()
            policy_loss = losses.soft_policy_loss(log_prob, value, temperature.detach())
            temperature_loss = losses.temperature_loss(temperature, log_prob.detach(), goal)
            numbers = [policy_loss, -log_prob.mean(), temperature.squeeze(0), temperature_loss]
            return policy_loss + temperature_loss, torch.stack(numbers).detach()

        gradient, metrics = self.parameters.gradient(
            loss,
            t["values"],
            of=["policy", "temperature"],
        )
        t["policy.gradients"].copy_(gradient * self.local_share)
        self.tally.add(t, 4, metrics)
