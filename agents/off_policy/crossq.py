"""CrossQ: batch-renormalised critics in place of slow ones, arXiv:1902.05605, for continuous actions.

One update, top to bottom: `CrossQ.gradient_step`. How it differs from the paper, and what every metric
means, is in docs/crossq.md. Shapes: B the global minibatch, b this worker's part of it, A action dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from agents.common_settings import hidden_sizes
from agents.compute.compiled_step import Piece
from agents.compute.flat_parameters import FlatAdam
from agents.metric_sums import SOFT_METRICS, SOFT_TRACKED
from agents.nn import losses
from agents.nn.batch_renorm import BatchRenorm, NormalisedNet, Statistics
from agents.nn.critics import Critics, SquashedGaussianActor, Temperature
from agents.off_policy.learner import ReplayLearner

Tensors = Mapping[str, Tensor]
BETA1 = 0.5  # of Adam, as in the paper
MOMENTUM = 0.01  # how far the running statistics move towards those of a minibatch


class CrossQ(ReplayLearner):
    """A `Learner`: soft actor-critic whose critics see this and the next action in one batch."""

    METRICS, TRACKED = SOFT_METRICS, SOFT_TRACKED

    def make_modules(self) -> dict[str, nn.Module]:
        """Actor, temperature and critics, each a segment."""
        config, dim, A = self.config, self.observation_dim, self.action_dim
        make = {"generator": self.generator, "dtype": self.torch_dtype}
        hidden = hidden_sizes(config.p_perception_stack)
        net = NormalisedNet(dim, hidden, 2 * A, start=0, **make)
        self.actor = SquashedGaussianActor(net)
        self.temperature = Temperature(config.temperature_init, self.torch_dtype)
        hidden, nets, start = hidden_sizes(config.q_perception_stack), [], net.size
        for _ in range(2):
            nets.append(NormalisedNet(dim + A, hidden, 1, start=start, **make))
            start += nets[-1].size
        self.critics = Critics(nets)
        self.size, self.boundary = start, net.size  # of the statistics; the policy's come first
        return {"policy": self.actor, "temperature": self.temperature, "critic": self.critics}

    def make_optimizers(self) -> dict[str, FlatAdam]:
        """One for the critics, one for policy and temperature."""
        return {
            "critic": self.adam("critic", beta1=BETA1),
            "policy": self.adam("policy", "temperature", beta1=BETA1),
        }

    def make_kept(self) -> dict[str, Tensor]:
        """Means 0 and variances 1 of every normalised layer; sums of them; whether to renormalise."""
        running = torch.zeros(self.size, dtype=self.torch_dtype)
        for module in [*self.actor.modules(), *self.critics.modules()]:
            if isinstance(module, BatchRenorm):
                running[module.place].chunk(2)[1].fill_(1.0)
        return {
            "statistics": running,
            "critic_statistics": torch.zeros_like(running),
            "policy_statistics": torch.zeros_like(running),
            "renormalise": torch.zeros(1, dtype=self.torch_dtype),
        }

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
        return self.actor.act(observations, Statistics(kept["statistics"]), noise=noise)

    # Learning

    def gradients(self) -> dict[str, Piece]:
        """Of the critics, and of policy and temperature."""
        return {"critic": self._critic_gradient, "policy": self._policy_gradient}

    def gradient_step(self) -> None:
        """The critics; every `policy_delay` updates also policy and temperature; collective."""
        config = self.config
        self.kept["renormalise"].fill_(self.updates >= config.renorm_warm_up)
        statistics = "critic_statistics"
        sizes = {"critic": config.q_lr}
        self.descend("critic", sizes, sums=[statistics])
        self._move(statistics, slice(self.boundary, None))
        if (self.updates + 1) % config.policy_delay == 0:
            statistics = "policy_statistics"
            sizes = {"policy": config.p_lr, "temperature": config.temperature_lr}
            self.descend("policy", sizes, sums=[statistics])
            self._move(statistics, slice(self.boundary))

    def _move(self, name: str, where: slice) -> None:
        """Let running statistics move towards those of a minibatch."""
        self.kept["statistics"][where].lerp_(self.kept[name][where], MOMENTUM)

    def _training(self, t: Tensors, parts: int) -> Statistics:
        """Statistics of the minibatch itself, which consists of `parts` like ordered parts."""
        groups = (parts, len(self.environments), self.samples)
        return Statistics(t["statistics"], groups, t["renormalise"])

    def _critic_gradient(self, t: Tensors) -> None:
        """This worker's share of the critics' gradient, and of their statistics."""
        batch, noise = self.samples_of(t), t["noise"][:, : self.action_dim]
        evaluating = Statistics(t["statistics"])
        following, temperature = batch["next_policy_input"], self.temperature

        def next_action() -> tuple[Tensor, Tensor, Tensor]:
            return *self.actor.sample(following, evaluating, noise=noise), temperature()

        now = self.parameters.views(t["values"])
        action, log_prob, weight = (
            each.detach() for each in self.parameters.call(next_action, now)
        )
        observations = torch.cat([batch["critic_input"], batch["next_critic_input"]])
        actions = torch.cat([batch["action"], action])
        count = len(batch["reward"])

        def loss() -> tuple[Tensor, tuple[Tensor, Tensor]]:
            statistics = self._training(t, parts=2)
            values = self.critics(observations, actions, statistics)
            target = losses.temporal_difference_target(
                batch["reward"],
                batch["discount"],
                (values[:, count:].amin(0) - weight * log_prob).detach(),
            )
            values = values[:, :count]
            loss = losses.critics_loss(values, target, t["weight"])
            t["error"].copy_((values - target).detach().abs().mean(0))
            self.tally.spread(t, 1, values, target)
            numbers = [loss.detach(), *values.detach().mean(-1), target.mean()]
            return loss, (torch.stack(numbers), statistics.sums(self.local_share))

        gradient, (metrics, sums) = self.parameters.gradient(loss, t["values"], of=["critic"])
        t["critic.gradients"].copy_(gradient * self.local_share)
        t["critic_statistics"].copy_(sums)
        self.tally.add(t, 0, metrics)

    def _policy_gradient(self, t: Tensors) -> None:
        """This worker's share of the gradient of policy and temperature, and of the statistics."""
        batch, noise = self.samples_of(t), t["noise"][:, self.action_dim :]
        goal = -self.config.target_entropy_scale * self.action_dim

        def loss() -> tuple[Tensor, tuple[Tensor, Tensor]]:
            statistics = self._training(t, parts=1)
            action, log_prob = self.actor.sample(batch["policy_input"], statistics, noise=noise)
            evaluating = Statistics(t["statistics"])
            value = self.critics(batch["critic_input"], action, evaluating).amin(0)
            weight = self.temperature()
            policy_loss = losses.soft_policy_loss(log_prob, value, weight.detach())
            temperature_loss = losses.temperature_loss(weight, log_prob.detach(), goal)
            numbers = [policy_loss, -log_prob.mean(), weight.squeeze(0), temperature_loss]
            extras = torch.stack(numbers).detach(), statistics.sums(self.local_share)
            return policy_loss + temperature_loss, extras

        segments = ["policy", "temperature"]
        gradient, (metrics, sums) = self.parameters.gradient(loss, t["values"], of=segments)
        t["policy.gradients"].copy_(gradient * self.local_share)
        t["policy_statistics"].copy_(sums)
        self.tally.add(t, 4, metrics, steps=self.config.policy_delay)
