"""PPO's gradient step in torch, for any networks: compiled, or as it stands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from agents.compute.compiled_policy import CompiledPolicy
from agents.compute.compiled_step import CompiledStep
from agents.compute.flat_parameters import FlatAdam, FlatParameters
from agents.nn.actors import Critic
from agents.nn.convolutions import PictureLayers, in_parts
from agents.nn.normalizer import ObservationNormalizer
from agents.on_policy import losses
from agents.on_policy.actor_critic import Actor
from agents.on_policy.config import PPOConfig
from helpers.parallel.workers import Workers

COLUMNS = (
    "policy_input",
    "value_input",
    "action",
    "old_log_prob",
    "advantage",
    "target",
    "old_value",
)
KL, NORM = "policy/approx_kl", "update/gradient_norm"


class TorchSteps:
    """What `NativeSteps` does in C: epochs of gradient steps, values, advantages, acting.

    Args:
        actor, critic: the networks.
        loss: of a minibatch: (loss, scalars by name for metrics).
        share: this worker's part of each minibatch.
        columns: what a minibatch has.
        parameters, optimizer, config, workers: the agent's.

    Attributes:
        names: of a step's metrics, the gradient's norm the last; known once the loss has run.
    """

    def __init__(
        self,
        actor: Actor,
        critic: Critic,
        *,
        loss: Callable[[Mapping[str, Tensor]], tuple[Tensor, Mapping[str, Tensor]]],
        share: float,
        parameters: FlatParameters,
        optimizer: FlatAdam,
        config: PPOConfig,
        workers: Workers,
        columns: Sequence[str] = COLUMNS,
    ) -> None:
        self.actor, self.critic, self.loss, self.share = actor, critic, loss, share
        self.columns = tuple(columns)
        self.names: tuple[str, ...] = ()
        self.parameters, self.optimizer = parameters, optimizer
        self.config, self.workers = config, workers
        is_eligible = parameters.values.dtype == torch.float32 and config.task != "eval"
        self._native = config.compile and is_eligible
        self._step: CompiledStep | None = None  # made with the first minibatch
        self._compiled_policy = CompiledPolicy(
            "ppo policy",
            actor.act,
            parameters=parameters,
            native=self._native,
        )

    def begin(self, rollout: tuple[int, int], further: Mapping[str, Tensor]) -> None:
        """Let the gradient and acting be compiled while the first rollout is collected.

        Args:
            rollout: (T, N).
            further: columns beside `COLUMNS`, (T * N, ...).
        """
        if self._step is not None:
            return
        count, dtype = math.prod(rollout), self.parameters.values.dtype
        observation_dim, kind = self._observations()
        data = {name: torch.zeros(count, dtype=dtype) for name in COLUMNS}
        inputs = torch.zeros(count, observation_dim, dtype=getattr(torch, kind))
        data |= {name: inputs.clone() for name in COLUMNS[:2]}
        noise = np.zeros((rollout[1], self.actor.noise_dim), self.config.precision)
        seen = np.zeros((rollout[1], observation_dim), kind)
        with torch.no_grad():
            action = self.actor.act(data["policy_input"], None)
        batch = round(self.config.batch_size * self.share)
        columns = {name: (data | {"action": action} | dict(further))[name] for name in self.columns}
        self._step = self._make_step(columns, torch.zeros(batch, dtype=torch.int64))
        self._step.begin()
        self._compiled_policy.begin(seen, noise)

    def _observations(self) -> tuple[int, str]:
        """(numbers of an observation, their dtype) as the networks are given them."""
        features = self.actor.features
        if isinstance(features, PictureLayers):
            return features.inputs, "uint8"
        return next(features.parameters()).shape[1], self.config.precision

    def act(
        self,
        observations: np.ndarray,
        normalizer: ObservationNormalizer | None,
        noise: np.ndarray | None,
    ) -> np.ndarray:
        """Actions (N, A) or (N,) for raw observations (N, obs_dim); noise (N, A or K), none: the mode."""
        standard = np.asarray(observations, dtype=self._observations()[1])
        if normalizer is not None:
            standard = normalizer(standard)
        return self._compiled_policy(standard, noise)

    def log_probs(self, data: Mapping[str, Tensor], order: Tensor) -> Tensor:
        """Log-probabilities (T * N,) of the rollout's actions."""
        result = torch.empty(order.numel(), dtype=self.parameters.values.dtype)
        with torch.no_grad():
            for index in order:
                result[index], _ = self.actor.log_prob_and_entropy(
                    data["policy_input"][index],
                    data["action"][index],
                )
        return result

    def values(self, inputs: Tensor) -> Tensor:
        """The critic's values (B,) of its inputs (B, in)."""
        with torch.no_grad():
            if isinstance(self.critic.features, PictureLayers):
                return in_parts(self.critic, inputs)
            values: Tensor = self.critic(inputs)
        return values

    def gae(self, rewards: np.ndarray, values: np.ndarray, **arrays: np.ndarray) -> np.ndarray:
        """`losses.gae`."""
        config = self.config
        return losses.gae(
            rewards,
            values,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            **arrays,
        )

    def epoch(
        self,
        data: Mapping[str, Tensor],
        order: Tensor,
        learning_rates: Mapping[str, float],
    ) -> Tensor:
        """A step on each minibatch of `order` (M, b); this worker's share of the metrics (M, names)."""
        columns = {name: data[name] for name in self.columns}
        if self._step is None:
            self._step = self._make_step(columns, order[0])
        metrics = []
        for index in order:
            self._step(index=index, **columns)
            self.workers.sum_(self.parameters.gradients)
            norm = self.optimizer.step_(learning_rates, clip_norm=self.config.clip_norm)
            row = self._step.tensors["metrics"].clone()
            row[-1] = norm / self.workers.size  # the same on all; shares make means
            metrics.append(row)
        return torch.stack(metrics)

    def gradient(self, data: Mapping[str, Tensor], index: Tensor) -> tuple[Tensor, Tensor]:
        """This worker's share of a minibatch's gradient (P,), and of its metrics, in plain torch."""
        tensors = self._tensors({name: data[name] for name in self.columns}, index)
        tensors["gradients"] = torch.zeros_like(self.parameters.values)
        self._gradient(tensors)
        return tensors["gradients"], tensors["metrics"]

    def forget(self) -> None:
        """Nothing is kept that follows from the parameters."""

    def _make_step(self, columns: Mapping[str, Tensor], index: Tensor) -> CompiledStep:
        tensors = self._tensors(columns, index)
        return CompiledStep("ppo gradient", self._gradient, tensors, native=self._native)

    def _tensors(self, columns: Mapping[str, Tensor], index: Tensor) -> dict[str, Tensor]:
        values = self.parameters.values
        with torch.no_grad():
            _, metrics = self.loss({name: column[index] for name, column in columns.items()})
        self.names = (*metrics, NORM)
        return {
            "values": values,
            "gradients": self.parameters.gradients,
            "metrics": torch.zeros(len(self.names), dtype=values.dtype),
            "index": index,
            **columns,
        }

    def _gradient(self, tensors: Mapping[str, Tensor]) -> None:
        """This worker's share of the gradient of a minibatch, and of its metrics."""
        batch = {name: tensors[name][tensors["index"]] for name in self.columns}
        gradients, metrics = self.parameters.gradient(
            lambda: self.loss(batch),
            tensors["values"],
        )
        tensors["gradients"].copy_(gradients * self.share)
        stacked = torch.stack([each.detach() for each in metrics.values()])
        tensors["metrics"][:-1].copy_(stacked * self.share)
