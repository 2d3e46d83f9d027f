"""CrossQ: batch-renormalised critics in place of target networks, arXiv:1902.05605, for continuous actions.

How it differs from the paper, and what every metric means, is in docs/crossq.md. Shapes: b samples of this worker's
minibatch, A action dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from agents.common_settings import hidden_sizes
from agents.compute.trainer import Objective, Trainer
from agents.metric_sums import Numbers
from agents.nn.batch_renorm import NormalisedNet, RunningStatistics, Statistics
from agents.nn.critics import Critics, SquashedGaussianActor, Temperature
from agents.off_policy import losses
from agents.off_policy.config import CrossQConfig
from agents.off_policy.core.algorithm import Batch, Exploration, Spec, td_numbers

BETA1 = 0.5  # of Adam, as in the paper


class CrossQ:
    """Soft actor-critic whose critics see this and the next action in one batch."""

    target_period = 0
    targets: Mapping[str, nn.Module] = {}

    def __init__(self, config: CrossQConfig, spec: Spec) -> None:
        self.config, self.spec = config, spec
        self.target_entropy = -config.target_entropy_scale * spec.action_dim
        A, inputs = spec.action_dim, spec.observation_dim + spec.action_dim
        widths, nets, start = hidden_sizes(config.p_perception_stack), [], 0
        activation = config.p_activation
        for net_inputs, outputs in ((spec.observation_dim, 2 * A), (inputs, 1), (inputs, 1)):
            net = NormalisedNet(
                net_inputs,
                widths,
                outputs,
                start=start,
                activation=activation,
                init=config.init,
                generator=spec.generator,
                dtype=spec.dtype,
            )
            nets.append(net)
            start += net.size
            widths, activation = hidden_sizes(config.q_perception_stack), config.q_activation
        self.actor = SquashedGaussianActor(nets[0], (config.log_std_min, config.log_std_max))
        self.critics = Critics(nets[1:])
        self.temperature = Temperature(config.temperature_init, spec.dtype)
        self.running = RunningStatistics(nets, spec.dtype)
        self.networks = {
            "policy": self.actor,
            "temperature": self.temperature,
            "critic": self.critics,
            "running": self.running,
        }
        self.exploration = Exploration("normal", A)
        self.objectives = {
            "critic": Objective(self.critic_loss, ("critic",), noise=A, beta1=BETA1),
            "policy": Objective(
                self.policy_loss,
                ("policy", "temperature"),
                noise=A,
                beta1=BETA1,
                every=config.policy_delay,
            ),
        }

    def act(self, observations: Tensor, noise: Tensor | None) -> Tensor:
        """Actions (N, A) in (-1, 1): sampled, or the squashed mean."""
        return self.actor.act(observations, noise=noise)

    def update(self, train: Trainer) -> None:
        """The critics; every `policy_delay` updates also policy and temperature."""
        config, running = self.config, self.running
        running.renormalise.fill_(train.updates >= config.renorm_warm_up)
        train.minimise("critic", critic=config.q_lr, sums=[running.critic_statistics])
        running.move_critics()
        if train.is_due(config.policy_delay):
            rates = {"policy": config.p_lr, "temperature": config.temperature_lr}
            train.minimise("policy", sums=[running.policy_statistics], **rates)
            running.move_policy()

    def _of_minibatch(self, parts: int) -> Statistics:
        """Statistics of a minibatch that consists of `parts` parts of the same order."""
        return self.running.of_groups((parts, self.spec.environments, self.spec.samples))

    def critic_loss(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Numbers]:
        """Squared TD errors; this and the next action pass the critics together, Fig. 1."""
        with torch.no_grad():
            action, log_prob = self.actor.sample(batch.next_policy_input, noise=noise)
            temperature = self.temperature()
        statistics, count = self._of_minibatch(parts=2), len(batch.reward)
        both = self.critics(
            torch.cat([batch.critic_input, batch.next_critic_input]),
            torch.cat([batch.action, action]),
            statistics,
        )
        values, next_values = both[:, :count], both[:, count:].detach()
        target = losses.td_target(
            batch.reward,
            batch.discount,
            next_values.amin(0) - temperature * log_prob,
        )
        loss = losses.critics_loss(values, target, batch.weight)
        self.running.critic_statistics.copy_(statistics.sums(self.spec.share))
        return loss, td_numbers(loss, values, target)

    def policy_loss(self, batch: Batch, noise: Tensor) -> tuple[Tensor, Numbers]:
        """That of SAC, of the policy and of the temperature."""
        statistics = self._of_minibatch(parts=1)
        action, log_prob = self.actor.sample(batch.policy_input, statistics, noise=noise)
        value = self.critics(batch.critic_input, action).amin(0)
        self.running.policy_statistics.copy_(statistics.sums(self.spec.share))
        return losses.soft_policy_losses(
            log_prob,
            value,
            self.temperature(),
            target_entropy=self.target_entropy,
        )
