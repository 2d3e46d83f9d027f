"""Actors and critics on features, composed by their constructors; weights from a generator that is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from agents.compute.linear import Linear
from agents.nn import distributions
from agents.nn.perceptrons import initialise

HEAD_GAIN = 0.01  # of a policy's last layer: the first actions depend little on the observation


class GaussianActor(nn.Module):
    """A diagonal Gaussian over unclipped actions, in units of half their range where they have bounds.

    `features` maps observations (B, obs_dim) to (B, width). The standard deviation is a parameter, the same in all
    states, or an output of the network.

    Args:
        features, width: of the last hidden layer.
        actions: A.
        std_init: the first standard deviation.
        by_state: whether it depends on the state.
        log_std_bounds: its logarithm is clipped to them, where they are given.
        init, generator, dtype: of the weights.
    """

    noise = "normal"

    def __init__(
        self,
        features: nn.Module,
        width: int,
        *,
        actions: int,
        std_init: float,
        by_state: bool = False,
        log_std_bounds: tuple[float | None, float | None] = (None, None),
        init: str = "orthogonal",
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.features = features
        make: dict[str, Any] = {"init": init, "gain": HEAD_GAIN}
        self.head = initialise(Linear(width, actions, dtype=dtype), generator, **make)
        self.log_std_bounds, first = log_std_bounds, math.log(std_init)
        self.log_std: nn.Parameter | None = None
        self.log_std_head: nn.Linear | None = None
        if by_state:
            self.log_std_head = initialise(Linear(width, actions, dtype=dtype), generator, **make)
            nn.init.constant_(self.log_std_head.bias, first)
        else:
            self.log_std = nn.Parameter(torch.full((actions,), first, dtype=dtype))
        self.noise_dim = actions

    def outputs(self, observations: Tensor) -> Tensor:
        """Means (B, A) for observations (B, obs_dim)."""
        means: Tensor = self.head(self.features(observations))
        return means

    def distribution(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Means (B, A), and log-deviations (A,), or (B, A) where they depend on the state."""
        features = self.features(observations)
        log_std: Any = self.log_std if self.log_std_head is None else self.log_std_head(features)
        return self.head(features), self.clipped(log_std)

    def clipped(self, log_std: Tensor) -> Tensor:
        """Log-deviations within their bounds, where these are given."""
        low, high = self.log_std_bounds
        return log_std if low is None and high is None else log_std.clamp(low, high)

    def act(self, observations: Tensor, noise: Tensor | None) -> Tensor:
        """Actions (B, A) for observations (B, obs_dim)."""
        return self.choose(*self.distribution(observations), noise)

    def choose(self, mean: Tensor, log_std: Tensor, noise: Tensor | None) -> Tensor:
        """Actions (B, A): the mean, plus standard normal noise (B, A) times the deviation."""
        return mean if noise is None else torch.addcmul(mean, noise, log_std.exp())

    def log_prob_and_entropy(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Log-density (B,) of actions (B, A), and the mean entropy, a scalar, in nats."""
        mean, log_std = self.distribution(observations)
        log_prob = distributions.gaussian_log_prob(actions, mean, log_std)
        entropy = distributions.gaussian_entropy(log_std)
        return log_prob, entropy.mean() if self.log_std is None else entropy


class CategoricalActor(nn.Module):
    """A softmax over K choices; sampled by the Gumbel-max trick from noise given from outside."""

    noise = "gumbel"

    def __init__(
        self,
        features: nn.Module,
        width: int,
        *,
        actions: int,
        init: str = "orthogonal",
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.features = features
        head = Linear(width, actions, dtype=dtype)
        self.head = initialise(head, generator, init=init, gain=HEAD_GAIN)
        self.noise_dim = actions

    def outputs(self, observations: Tensor) -> Tensor:
        """Logits (B, K) for observations (B, obs_dim)."""
        logits: Tensor = self.head(self.features(observations))
        return logits

    def act(self, observations: Tensor, noise: Tensor | None) -> Tensor:
        """Choices (B,) for observations (B, obs_dim)."""
        return self.choose(self.outputs(observations), noise)

    def choose(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        """Choices (B,) int64: the most probable, or with Gumbel noise (B, K) a sample."""
        return (logits if noise is None else logits + noise).argmax(-1)

    def log_prob_and_entropy(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability (B,) of choices (B,), and the mean entropy, a scalar, in nats."""
        logits = self.outputs(observations)
        log_prob = distributions.categorical_log_prob(actions, logits)
        return log_prob, distributions.categorical_entropy(logits).mean()


class MultiCategoricalActor(nn.Module):
    """Independent softmaxes, one for each of D choices that make an action; sampled as `CategoricalActor` is.

    Args:
        features, width: of the last hidden layer.
        sizes: of how many each choice is.
        init, generator, dtype: of the weights.
    """

    noise = "gumbel"

    def __init__(
        self,
        features: nn.Module,
        width: int,
        *,
        sizes: Sequence[int],
        init: str = "orthogonal",
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.features, self.sizes = features, tuple(sizes)
        head = Linear(width, sum(sizes), dtype=dtype)
        self.head = initialise(head, generator, init=init, gain=HEAD_GAIN)
        self.noise_dim = sum(sizes)

    def outputs(self, observations: Tensor) -> Tensor:
        """Logits (B, sum of sizes), of one choice behind another, for observations (B, obs_dim)."""
        logits: Tensor = self.head(self.features(observations))
        return logits

    def act(self, observations: Tensor, noise: Tensor | None) -> Tensor:
        """Choices (B, D) for observations (B, obs_dim)."""
        return self.choose(self.outputs(observations), noise)

    def choose(self, logits: Tensor, noise: Tensor | None) -> Tensor:
        """Choices (B, D) int64: the most probable, or with Gumbel noise (B, sum of sizes) a sample."""
        given = logits if noise is None else logits + noise
        return distributions.by_choice(given, self.sizes).argmax(-1)

    def log_prob_and_entropy(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability (B,) of choices (B, D), and the mean entropy, a scalar, in nats: sums over the choices."""
        logits = self.outputs(observations)
        log_prob = distributions.product_log_prob(actions, logits, self.sizes)
        return log_prob, distributions.product_entropy(logits, self.sizes).mean()


class Critic(nn.Module):
    """State values (B,) of observations (B, obs_dim)."""

    def __init__(
        self,
        features: nn.Module,
        width: int,
        *,
        init: str = "orthogonal",
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.features = features
        self.head = initialise(Linear(width, 1, dtype=dtype), generator, init=init)

    def forward(self, observations: Tensor) -> Tensor:
        """Values (B,), never (B, 1)."""
        return self.head(self.features(observations)).squeeze(-1)
