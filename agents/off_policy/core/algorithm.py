"""What an off-policy algorithm says, and what it is given to say it with.

An algorithm owns networks and losses; `OffPolicyLearner` owns the replay buffer, counting, acting and saving. Shapes:
b samples of this worker's minibatch, N environments of this worker, A action dimensions or K discrete actions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from agents.common_settings import hidden_sizes
from agents.compute.trainer import Objective, Trainer
from agents.metric_sums import Numbers
from agents.nn.convolutions import PictureLayers
from agents.nn.perceptrons import perceptron
from helpers.pictures import Picture

TD_ERROR = "td_error"  # among a loss's numbers: (b,) absolute errors, which become priorities


@dataclass(frozen=True)
class Batch:
    """A minibatch as networks take it.

    Attributes:
        policy_input, next_policy_input: (b, obs_dim) observations, standardised with --p_batch_norm.
        critic_input, next_critic_input: (b, obs_dim), standardised with --q_batch_norm.
        action: (b, A) in [-1, 1], or (b,) int64.
        reward: (b,), the sum of n_step rewards.
        discount: (b,), of the next value: gamma to the number of rewards; 0 where the task ended.
        weight: (b,) importance weights, 1 where samples are drawn uniformly.
    """

    policy_input: Tensor
    next_policy_input: Tensor
    critic_input: Tensor
    next_critic_input: Tensor
    action: Tensor
    reward: Tensor
    discount: Tensor
    weight: Tensor


@dataclass(frozen=True)
class Spec:
    """What networks are made for.

    Attributes:
        observation_dim: length of an observation.
        picture: its form, where the networks take pictures.
        action_dim: A or K.
        layer_norm: whether hidden layers are normalised.
        init: how weights begin, "default" or "orthogonal".
        generator: draws initial weights.
        dtype: of the parameters.
        environments, samples: of this worker, and the samples of each in a minibatch.
        share: this worker's part of a minibatch.
    """

    observation_dim: int
    picture: Picture | None
    action_dim: int
    layer_norm: bool
    init: str
    generator: torch.Generator
    dtype: torch.dtype
    environments: int
    samples: int
    share: float

    def picture_layers(self, stack: str, activation: str) -> PictureLayers:
        """Layers of pictures as a stack says, "nature_cnn", without a head."""
        assert self.picture is not None
        return PictureLayers(
            self.picture,
            stack,
            activation=activation,
            init=self.init,
            generator=self.generator,
            dtype=self.dtype,
        )

    def perceptron(
        self,
        inputs: int,
        stack: str | Sequence[int],
        outputs: int,
        activation: str = "relu",
    ) -> nn.Sequential:
        """Layers as a perception stack says, "mlp_256", or of these widths, and a linear head."""
        return perceptron(
            inputs,
            hidden_sizes(stack) if isinstance(stack, str) else stack,
            outputs,
            activation=activation,
            init=self.init,
            layer_norm=self.layer_norm,
            generator=self.generator,
            dtype=self.dtype,
        )


@dataclass(frozen=True)
class Exploration:
    """The random numbers that a step of exploring takes.

    Attributes:
        kind, dim: "normal" or "uniform" numbers (N, dim).
        std: their factor where they are added to actions; tracked as skrl's exploration noise.
        epsilon: of global environment steps, subtracted from the first number: negative then is a random action.
    """

    kind: Literal["normal", "uniform"]
    dim: int
    std: float | None = None
    epsilon: Callable[[int], float] | None = None


class Algorithm(Protocol):
    """What `OffPolicyLearner` asks of SAC, TD3 and their kin.

    Attributes:
        networks: by segment of the flat vector of parameters, neighbours in it where one Adam moves several.
        targets: target networks, by the segments that they follow.
        target_period: global environment steps between two copies to the target networks; 0: `update` moves them.
        objectives: the losses; each takes (batch, noise (b, its `noise`)).
        exploration: what `act` is given as noise.
    """

    networks: Mapping[str, nn.Module]
    targets: Mapping[str, nn.Module]
    target_period: int
    objectives: Mapping[str, Objective]
    exploration: Exploration

    def act(self, observations: Tensor, noise: Tensor | None) -> Tensor:
        """Actions (N, A) in [-1, 1], or (N,) discrete, for inputs (N, obs_dim); without noise the best known."""

    def update(self, train: Trainer) -> None:
        """The gradient steps of one update; collective."""


class MakesAlgorithm(Protocol):
    """An algorithm's class."""

    def __call__(self, config: Any, spec: Spec) -> Algorithm: ...


def td_numbers(loss: Tensor, values: Tensor, target: Tensor) -> Numbers:
    """What a critic's loss returns beside itself: numbers for metrics, and the TD errors of samples for priorities.

    Args:
        loss: a scalar.
        values: (C, b) of several critics, whose mean error counts, or (b,).
        target: (b,).
    """
    errors = (values - target).abs()
    return {
        "critic/loss": loss,
        "critic/value": values,
        "critic/target": target,
        TD_ERROR: errors.mean(0) if values.dim() > 1 else errors,
    }
