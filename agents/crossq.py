"""CrossQ: batch-renormalised critics in place of slow ones, arXiv:1902.05605, for continuous actions.

One update, top to bottom: `CrossQ.gradient_step`. How it differs from the paper, and what every metric
means, is in docs/crossq.md. Shapes: B the global minibatch, b this worker's part of it, A action dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from agents import losses
from agents.batch_renorm import BatchRenorm, NormalisedNet, Statistics
from agents.flat import FlatAdam
from agents.replay import ReplayLearner
from agents.replay_networks import Critics, SquashedGaussianActor, Temperature
from agents.shared_settings import hidden_sizes

Tensors = Mapping[str, Tensor]
BETA1 = 0.5  # of Adam, as in the paper
MOMENTUM = 0.01  # how far the running statistics move towards those of a minibatch


class CrossQ(ReplayLearner):
    """A `Learner`: soft actor-critic whose critics see this and the next action in one batch."""

    METRICS = (
        "critic/loss",
        "critic/value_1",
        "critic/value_2",
        "critic/target",
        "policy/loss",
        "policy/entropy",
        "policy/temperature",
    )

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
        adam = {"beta1": BETA1, "epsilon": 1e-8}
        return {
            "critic": FlatAdam(self.parameters, ["critic"], **adam),
            "policy": FlatAdam(self.parameters, ["policy", "temperature"], **adam),
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

    def gradient_step(self) -> None:
        """The critics; every `policy_delay` updates also policy and temperature; collective."""
        config = self.config
        self.kept["renormalise"].fill_(self.updates >= config.renorm_warm_up)
        self.optimizers["critic"].begin({"critic": config.q_lr})
        critic_sums = ("critic.gradients", "critic_statistics")
        if (self.updates + 1) % config.policy_delay:
            pieces = [self._critic_gradient, self._critic_step]
            self.run("update of the critics", pieces, sums=[critic_sums])
            return
        self.optimizers["policy"].begin(
            {"policy": config.p_lr, "temperature": config.temperature_lr},
        )
        self.run(
            "update",
            [self._critic_gradient, self._policy_gradient, self._finish],
            sums=[critic_sums, ("policy.gradients", "policy_statistics")],
        )

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
            numbers = [loss.detach(), *values.detach().mean(-1), target.mean()]
            return loss, (torch.stack(numbers), statistics.sums(self.local_share))

        gradient, (metrics, sums) = self.parameters.gradient(loss, t["values"], of=["critic"])
        t["critic.gradients"].copy_(gradient * self.local_share)
        t["critic_statistics"].copy_(sums)
        t["metrics"][:4].add_(metrics * self.local_share)

    def _critic_step(self, t: Tensors) -> None:
        """A step of the critics; their running statistics move."""
        self.descend(t, "critic")
        t["statistics"][self.boundary :].lerp_(t["critic_statistics"][self.boundary :], MOMENTUM)

    def _policy_gradient(self, t: Tensors) -> None:
        """A step of the critics; then this worker's share of the others' gradient, under these."""
        self._critic_step(t)
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
            numbers = torch.stack([policy_loss, -log_prob.mean(), weight.squeeze(0)]).detach()
            return policy_loss + temperature_loss, (numbers, statistics.sums(self.local_share))

        segments = ["policy", "temperature"]
        gradient, (metrics, sums) = self.parameters.gradient(loss, t["values"], of=segments)
        t["policy.gradients"].copy_(gradient * self.local_share)
        t["policy_statistics"].copy_(sums)
        # Counted once for each update that waited for this one, so that means over updates are right.
        t["metrics"][4:].add_(metrics * (self.local_share * self.config.policy_delay))

    def _finish(self, t: Tensors) -> None:
        """A step of policy and temperature; the policy's running statistics move."""
        self.descend(t, "policy")
        t["statistics"][: self.boundary].lerp_(t["policy_statistics"][: self.boundary], MOMENTUM)
