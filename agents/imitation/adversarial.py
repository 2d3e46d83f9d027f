"""Rewards that are learned by a discriminator against the policy.

One gradient step, top to bottom: `AdversarialReward.update`; its loss: `make_loss`. Shapes: B the global minibatch,
b this worker's part of it, d numbers of a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from agents.base import Transitions
from agents.common_settings import hidden_sizes
from agents.compute.compiled_step import CompiledStep
from agents.compute.flat_parameters import FlatAdam, FlatParameters
from agents.demonstrations.dataset import Demonstrations
from agents.imitation import losses
from agents.imitation.batch import DiscriminatorBatch, LogProb, Sample
from agents.imitation.config import ImitationConfig
from agents.imitation.inputs import COLUMNS, InputBuilder, InputNormalizers
from agents.imitation.networks import Discriminator, Perceptron, ShapedReward
from agents.imitation.scorer import Scorer
from agents.metric_sums import MetricSums
from helpers.parallel.workers import Workers
from helpers.seeding import Streams
from helpers.trackers.skrl_metrics import Tracking

Tensors = Mapping[str, Tensor]
REMEDY = "lower --d_lr, or raise --grad_pen_scale; the last checkpoint is intact"


class RewardModel(Protocol):
    """What imitation learns beside its learner."""

    updates: int  # gradient steps so far

    def begin(self, count: int) -> None:
        """Let be compiled what training needs; `count` transitions are rewarded at a time."""

    def prepare(self) -> None:
        """Learn what needs no policy; collective, before the first rollout is learned from."""

    def update(self, sample: Sample) -> None:
        """One gradient step on the policy's transitions and as many of the expert's; collective."""

    def reward(self, transitions: Transitions) -> np.ndarray:
        """Rewards of the model as it stands, of the transitions' leading shape."""

    def copy_normalizers(self) -> None:
        """Take over moments that have changed."""

    def metrics(self) -> dict[str, float]:
        """Means since the last call; collective."""

    def state_dict(self) -> dict[str, Any]:
        """All that is learned, the same on every worker."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""

    def synchronised_arrays(self) -> dict[str, np.ndarray]:
        """What must be equal on every worker."""


def make_net(
    rows: InputBuilder,
    config: ImitationConfig,
    generator: torch.Generator,
) -> Discriminator | ShapedReward:
    """The discriminator that a configuration asks for."""
    make: Any = partial(
        Perceptron,
        hidden=hidden_sizes(config.d_perception_stack),
        outputs=1,
        activation=config.d_activation,
        spectral=config.spectral_norm,
        generator=generator,
        dtype=getattr(torch, config.precision),
    )
    if not rows.is_airl:
        return Discriminator(make(rows.size))
    own, shaping = make(rows.size - rows.states), make(rows.states)
    return ShapedReward(own, shaping, states=rows.states, gamma=config.learner_config.gamma)


def make_loss(net: losses.Net, config: ImitationConfig) -> losses.Loss:
    """The terms of the loss that a configuration asks for, from the inside out.

    `AdversarialReward.loss` weighs and sums them at the end: the order of operations is what native code is kept by.
    """
    loss = losses.unlabelled_loss(eta=config.purl_eta) if config.use_purl else losses.labelled_loss
    return losses.add_gradient_penalty(
        losses.add_entropy(loss),
        net,
        kind=config.grad_pen_type if config.grad_pen else None,
        target=config.grad_pen_targ,
        one_sided=config.one_sided_pen,
        batch_size=config.d_batch_size,
    )


class AdversarialReward:
    """A discriminator, and the reward made of its verdicts.

    Args:
        rows: makes rows of transitions.
        demos: the expert's.
        normalizers: standardise observations.
        log_prob: the policy's log-probabilities, for AIRL.
        config, workers, streams: the run's.
        environments: the global indices of this worker's environments.
        tracking: the learner's.
    """

    METRICS = (
        "loss",
        "expert_logit",
        "policy_logit",
        "expert_accuracy",
        "policy_accuracy",
        "entropy",
        "penalty",
        "gradient_norm",
    )

    def __init__(
        self,
        rows: InputBuilder,
        *,
        demos: Demonstrations,
        normalizers: InputNormalizers,
        log_prob: LogProb | None,
        config: ImitationConfig,
        workers: Workers,
        streams: Streams,
        environments: Sequence[int],
        tracking: Tracking,
    ) -> None:
        self.rows, self.demos, self.normalizers, self.log_prob = rows, demos, normalizers, log_prob
        self.config, self.workers = config, workers
        self.share = len(environments) / config.num_envs
        self.dtype = getattr(torch, config.precision)
        self._native = config.learner_config.compile and self.dtype == torch.float32
        generator = torch.Generator().manual_seed(streams.integer("discriminator"))
        self.net = make_net(rows, config, generator)
        self._terms = make_loss(self.net, config)
        self.parameters = FlatParameters({"discriminator": self.net})
        workers.broadcast_(self.parameters.values)
        self.optimizer = FlatAdam(self.parameters, epsilon=1e-8, native=self._native)
        self.updates = 0
        self.metric_sums = MetricSums(
            environments=(len(environments), config.num_envs),
            dtype=self.dtype,
            tracking=tracking,
            remedy=REMEDY,
        )
        numbers = {f"discriminator/{name}": torch.zeros(()) for name in self.METRICS}
        self.metric_sums.declare({"discriminator": (numbers, {})})
        self.batch = DiscriminatorBatch(
            rows,
            demos=demos,
            log_prob=log_prob,
            config=config,
            workers=workers,
            streams=streams,
            environments=environments,
        )
        self.tensors = self._make_tensors(generator)
        self._steps = {
            name: CompiledStep(f"discriminator {name}", piece, self.tensors, native=self._native)
            for name, piece in (("gradient", self._gradient), ("risk", self._risk))
        }
        self._scorer = Scorer(rows, self._judge, self.tensors, config=config, native=self._native)
        self.copy_normalizers()

    def _make_tensors(self, generator: torch.Generator) -> dict[str, Tensor]:
        def zeros(size: int) -> Tensor:
            return torch.zeros(size, dtype=self.dtype)

        vectors = self.net.first_vectors(generator)
        tensors = {
            "values": self.parameters.values,
            "gradients": self.parameters.gradients,
            "offset": zeros(self.rows.observation_dim),
            "scale": zeros(self.rows.observation_dim),
            "spread": zeros(self.rows.size),
            "vectors": vectors if len(vectors) else zeros(1),
            "risk": torch.zeros(1, dtype=torch.float64),
            "gate": torch.ones(1, dtype=self.dtype),
        }
        return tensors | self.batch.tensors | self.metric_sums.tensors

    def begin(self, count: int) -> None:
        """Gradient, PURL's risk, and the reward of `count` transitions."""
        for name, step in self._steps.items():
            if name == "gradient" or self.config.use_purl:
                step.begin()
        self._scorer.begin(count)

    def prepare(self) -> None:
        """Nothing is known of the policy yet."""

    # Learning

    def update(self, sample: Sample) -> None:
        """One step of the discriminator; collective."""
        config = self.config
        self.batch.draw(sample)
        if config.use_purl:
            self._steps["risk"]()
            self.workers.sum_(self.tensors["risk"])
            self.tensors["gate"].fill_(float(self.tensors["risk"].item() > 0.0))
        self._steps["gradient"]()
        self.workers.sum_(self.parameters.gradients)
        if config.d_weight_decay:
            self.parameters.values.mul_(1.0 - config.d_lr * config.d_weight_decay)
        self.optimizer.step_({"discriminator": config.d_lr})
        self.updates += 1
        self.batch.seek(self.updates)

    def _sides(self, t: Tensors) -> dict[str, Tensor]:
        """Rows (b, d) of the expert, (b or b + 1, d) of the policy."""
        return {
            side: self.rows.rows(
                {name: t[f"{side}.{name}"] for name in COLUMNS},
                offset=t["offset"],
                scale=t["scale"],
            )
            for side in ("expert", "policy")
        }

    def _logits(self, t: Tensors, sides: Tensors) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of both sides, and the vectors of the next call."""
        both = torch.cat([sides["expert"], sides["policy"]])
        goes_on = torch.cat([t["expert.goes_on"], t["policy.goes_on"]])
        logits, vectors = self.net(both, goes_on, t["vectors"])
        if self.log_prob is not None:
            logits = logits - torch.cat([t["expert.log_prob"], t["policy.log_prob"]])
        return logits[: self.batch.size], logits[self.batch.size :], vectors

    def _risk(self, t: Tensors) -> None:
        """This worker's part of PURL's risk, whose sign over all workers decides whether it counts."""
        views = self.parameters.views(t["values"])
        expert, policy, _ = self.parameters.call(lambda: self._logits(t, self._sides(t)), views)
        risk = losses.unlabelled_risk(
            expert,
            policy,
            expert_weight=t["expert.weight"],
            policy_weight=t["policy.weight"],
            eta=self.config.purl_eta,
        )
        t["risk"].copy_(risk.double().reshape(1))

    def _gradient(self, t: Tensors) -> None:
        """This worker's part of the gradient; weights make it one, so that the workers' add up."""
        gradient, (terms, vectors) = self.parameters.gradient(lambda: self.loss(t), t["values"])
        t["gradients"].copy_(gradient)
        if self.config.spectral_norm:
            t["vectors"].copy_(vectors)
        numbers = {f"discriminator/{name}": terms[name] / self.share for name in self.METRICS}
        self.metric_sums.add(t, "discriminator", numbers)

    def loss(self, t: Tensors) -> tuple[Tensor, tuple[losses.Terms, Tensor]]:
        """This worker's part of the loss; its terms and METRICS likewise, and the vectors of the next call."""
        config, rows = self.config, self._sides(t)
        expert, policy, vectors = self._logits(t, rows)
        logits = {"expert.logit": expert, "policy.logit": policy}
        terms = self._terms({**t, **{f"{side}.rows": rows[side] for side in rows}, **logits})
        total = (
            terms["loss"]
            - config.d_ent_reg_scale * terms["entropy"]
            + config.grad_pen_scale * terms["penalty"]
        )
        terms |= {
            "expert_logit": (t["expert.weight"] * expert).sum(),
            "policy_logit": (t["policy.weight"] * policy).sum(),
            "expert_accuracy": (t["expert.weight"] * (expert > 0.0)).sum(),
            "policy_accuracy": (t["policy.weight"] * (policy <= 0.0)).sum(),
        }
        return total, (terms, vectors)

    # Rewarding

    def _judge(self, t: Tensors, rows: Tensor) -> Tensor:
        """Rewards (B,) of rows (B, d)."""
        logits, _ = self.parameters.call(
            lambda: self.net(rows, t["goes_on"], t["vectors"]),
            self.parameters.views(t["values"]),
        )
        return losses.reward_of_logit(logits - t["log_prob"], self.config.reward_type)

    def reward(self, transitions: Transitions) -> np.ndarray:
        """Rewards of the discriminator of this moment."""
        log_prob = self.log_prob if self.config.d_log_prob == "both" else None
        return self._scorer(transitions, log_prob)

    def copy_normalizers(self) -> None:
        """Take over moments that have changed."""
        columns = self.rows.columns
        self.tensors["offset"].copy_(torch.from_numpy(self.normalizers.offset[columns]))
        self.tensors["scale"].copy_(torch.from_numpy(self.normalizers.scale[columns]))
        if self.config.grad_pen_type == "dragan" and len(self.demos):
            buffers = self.rows.make_buffers(len(self.demos))
            self.rows.fill_expert(buffers, self.demos.transitions)
            rows = self.rows.rows(
                buffers,
                offset=self.tensors["offset"],
                scale=self.tensors["scale"],
            )
            self.tensors["spread"].copy_(rows.double().std(0, correction=0))

    def metrics(self) -> dict[str, float]:
        """Means over the steps since the last call, and how many these were; collective."""
        means = self.metric_sums.means(self.updates)
        return {"discriminator/updates": means.pop("update/count")} | means

    # Saving

    def state_dict(self) -> dict[str, Any]:
        """Parameters, moments of Adam, vectors, count."""
        return {
            "parameters": self.parameters.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "vectors": self.tensors["vectors"].clone(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            ValueError: the architecture is another one.
        """
        self.parameters.load_state_dict(state["parameters"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.tensors["vectors"].copy_(state["vectors"])
        self.updates = self.metric_sums.logged = int(state["updates"])
        self.batch.seek(self.updates)

    def synchronised_arrays(self) -> dict[str, np.ndarray]:
        """What must be equal on every worker."""
        return {
            "parameters": self.parameters.values.numpy(),
            "moment1": self.optimizer.moment1.numpy(),
            "moment2": self.optimizer.moment2.numpy(),
            "vectors": self.tensors["vectors"].numpy(),
        }
