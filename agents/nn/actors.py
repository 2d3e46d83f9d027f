"""Networks, composed by their constructors; weights from a generator that is given."""

from __future__ import annotations

import math
from collections.abc import Sequence

import gymnasium
import numpy as np
import torch
from torch import Tensor, nn

from agents.compute.linear import Linear
from agents.nn import distributions
from helpers.errors import ConfigurationError


def orthogonal_linear(
    inputs: int,
    outputs: int,
    *,
    gain: float,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> nn.Linear:
    """A linear layer, weights orthogonal with this gain, biases zero."""
    layer = Linear(inputs, outputs, dtype=dtype)
    nn.init.orthogonal_(layer.weight, gain, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def tanh_mlp(
    inputs: int,
    hidden: Sequence[int],
    *,
    layer_norm: bool,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> nn.Sequential:
    """A perception stack: tanh layers of the widths in `hidden`, orthogonal with gain sqrt(2)."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers.append(
            orthogonal_linear(inputs, width, gain=math.sqrt(2.0), generator=generator, dtype=dtype),
        )
        if layer_norm:
            layers.append(nn.LayerNorm(width, dtype=dtype))
        layers.append(nn.Tanh())
        inputs = width
    return nn.Sequential(*layers)


class GaussianActor(nn.Module):
    """A diagonal Gaussian over unclipped actions, its standard deviation independent of the state.

    `features` maps observations (B, obs_dim) to (B, width). The head starts near zero (gain 0.01),
    so the first policy is centred whatever the observation: at 0, and where an action's bounds are not the same to
    both sides (a muscle's 0 to 1) in their middle, with `std_init` in units of half their distance.
    """

    noise = "normal"

    def __init__(
        self,
        features: nn.Module,
        width: int,
        *,
        actions: int,
        std_init: float,
        generator: torch.Generator,
        dtype: torch.dtype,
        bounds: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        super().__init__()
        self.features = features
        self.head = orthogonal_linear(width, actions, gain=0.01, generator=generator, dtype=dtype)
        self.log_std = nn.Parameter(torch.full((actions,), math.log(std_init), dtype=dtype))
        if bounds is not None:
            low, high = (torch.from_numpy(np.asarray(each)).to(dtype) for each in bounds)
            uneven = torch.isfinite(low) & torch.isfinite(high) & (low != -high)
            with torch.no_grad():
                self.head.bias[uneven] = ((low + high) / 2)[uneven]
                self.log_std[uneven] += ((high - low) / 2)[uneven].log()
        self.noise_dim = actions

    def outputs(self, observations: Tensor) -> Tensor:
        """Means (B, A) for observations (B, obs_dim)."""
        means: Tensor = self.head(self.features(observations))
        return means

    def act(self, observations: Tensor, noise: Tensor | None) -> Tensor:
        """Actions (B, A) for observations (B, obs_dim)."""
        return self.choose(self.outputs(observations), noise)

    def choose(self, mean: Tensor, noise: Tensor | None) -> Tensor:
        """Actions (B, A): the mean, plus standard normal noise (B, A) times the deviation."""
        return mean if noise is None else torch.addcmul(mean, noise, self.log_std.exp())

    def log_prob_and_entropy(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Log-density (B,) of actions (B, A), and the entropy, a scalar, in nats."""
        mean = self.outputs(observations)
        log_prob = distributions.gaussian_log_prob(actions, mean, self.log_std)
        return log_prob, distributions.gaussian_entropy(self.log_std)


class CategoricalActor(nn.Module):
    """A softmax over K choices; sampled by the Gumbel-max trick from noise given from outside."""

    noise = "gumbel"

    def __init__(
        self,
        features: nn.Module,
        width: int,
        *,
        actions: int,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.features = features
        self.head = orthogonal_linear(width, actions, gain=0.01, generator=generator, dtype=dtype)
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


def make_actor(
    features: nn.Module,
    width: int,
    action_space: gymnasium.Space,
    *,
    std_init: float,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> GaussianActor | CategoricalActor:
    """The actor that fits an action space: Box (A,) or Discrete.

    Raises:
        ConfigurationError: for any other space.
    """
    if isinstance(action_space, gymnasium.spaces.Discrete):
        choices = int(action_space.n)
        return CategoricalActor(features, width, actions=choices, generator=generator, dtype=dtype)
    if isinstance(action_space, gymnasium.spaces.Box) and len(action_space.shape) == 1:
        return GaussianActor(
            features,
            width,
            actions=action_space.shape[0],
            std_init=std_init,
            generator=generator,
            dtype=dtype,
            bounds=(action_space.low, action_space.high),
        )
    raise ConfigurationError(
        f"actions {action_space} are not supported",
        "choose an environment with vector (Box) or discrete (Discrete) actions",
    )


class Critic(nn.Module):
    """State values (B,) of observations (B, obs_dim)."""

    def __init__(
        self,
        features: nn.Module,
        width: int,
        *,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.features = features
        self.head = orthogonal_linear(width, 1, gain=1.0, generator=generator, dtype=dtype)

    def forward(self, observations: Tensor) -> Tensor:
        """Values (B,), never (B, 1)."""
        return self.head(self.features(observations)).squeeze(-1)
