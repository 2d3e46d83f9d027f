"""Policies that are drawn towards an expert's actions: what they give, and their losses, each with its equation.

Shapes: B batch, A action dimensions, K choices, D choices of one action. Actions are as the networks take them: in
[-1, 1] where they are squashed (`agents.nn.action_scale`), else as the environment takes them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from agents.common_settings import Activation, Init
from agents.nn import distributions
from agents.nn.critics import SquashedGaussianActor
from agents.nn.perceptrons import perceptron

EDGE = 1e-6  # how near to a bound an action counts when it is unsquashed


def mean_squared_error(mean: Tensor, actions: Tensor) -> Tensor:
    """Mean over samples and dimensions of (mean - action)^2, both (B, A)."""
    return (mean - actions).square().mean()


def squashed_log_likelihood(actions: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log-density (B,) of actions (B, A) in [-1, 1] under tanh of a Gaussian, arXiv:1812.05905, Eq. 26.

    An action at a bound, of which tanh has no inverse, counts as one that is `EDGE` away from it.
    """
    unsquashed = torch.atanh(actions.clamp(-1.0 + EDGE, 1.0 - EDGE))
    noise = (unsquashed - mean) * torch.exp(-log_std)
    return distributions.squashed_log_prob(unsquashed, noise, log_std)


class Regression(nn.Module):
    """One action a state. `net` maps observations (B, obs_dim) to (B, A)."""

    noise = None

    def __init__(self, net: nn.Module, *, squash: bool, actions: int) -> None:
        super().__init__()
        self.net, self.squash, self.noise_dim = net, squash, actions

    def outputs(self, observations: Tensor) -> Tensor:
        """Means (B, A) before any squashing."""
        mean: Tensor = self.net(observations)
        return mean

    def act(self, observations: Tensor, noise: Tensor | None) -> Tensor:
        """The mean, whatever the noise."""
        mean = self.outputs(observations)
        return torch.tanh(mean) if self.squash else mean

    def loss(self, observations: Tensor, actions: Tensor) -> Tensor:
        """The mean squared error."""
        return mean_squared_error(self.act(observations, None), actions)


class Likelihood(nn.Module):
    """A Gaussian, squashed by tanh or not. `net` maps observations (B, obs_dim) to (B, 2 A)."""

    noise = "normal"

    def __init__(
        self,
        net: nn.Module,
        *,
        squash: bool,
        actions: int,
        log_std: tuple[float, float] = SquashedGaussianActor.LOG_STD,
    ) -> None:
        super().__init__()
        self.net, self.squash, self.noise_dim = net, squash, actions
        self.log_std_range = log_std  # the deviation's logarithm is squashed into it, as SAC's

    def head(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-deviation (B, A) before any squashing."""
        mean, raw = self.net(observations).chunk(2, -1)
        low, high = self.log_std_range
        return mean, low + 0.5 * (high - low) * (torch.tanh(raw) + 1.0)

    def outputs(self, observations: Tensor) -> Tensor:
        """Means (B, A) before any squashing."""
        return self.head(observations)[0]

    def act(self, observations: Tensor, noise: Tensor | None) -> Tensor:
        """A sample, or the squashed mean."""
        mean, log_std = self.head(observations)
        chosen = mean if noise is None else mean + noise * log_std.exp()
        return torch.tanh(chosen) if self.squash else chosen

    def loss(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Minus the mean log-density, in nats."""
        log_prob = squashed_log_likelihood if self.squash else distributions.gaussian_log_prob
        return -log_prob(actions, *self.head(observations)).mean()


class Choice(nn.Module):
    """A softmax over K choices. `net` maps observations (B, obs_dim) to logits (B, K)."""

    noise = "gumbel"

    def __init__(self, net: nn.Module, *, choices: int) -> None:
        super().__init__()
        self.net, self.noise_dim = net, choices

    def outputs(self, observations: Tensor) -> Tensor:
        """Logits (B, K)."""
        logits: Tensor = self.net(observations)
        return logits

    def act(self, observations: Tensor, noise: Tensor | None) -> Tensor:
        """A sample (B,) by the Gumbel-max trick, or the most probable choice."""
        logits = self.outputs(observations)
        chosen: Tensor = (logits if noise is None else logits + noise).argmax(-1)
        return chosen

    def loss(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Minus the mean log-probability of the choices (B,), in nats."""
        return functional.cross_entropy(self.net(observations), actions)


class Choices(nn.Module):
    """Independent softmaxes of D choices. `net` maps observations (B, obs_dim) to logits (B, sum of sizes)."""

    noise = "gumbel"

    def __init__(self, net: nn.Module, *, sizes: Sequence[int]) -> None:
        super().__init__()
        self.net, self.sizes, self.noise_dim = net, tuple(sizes), sum(sizes)

    def outputs(self, observations: Tensor) -> Tensor:
        """Logits (B, sum of sizes), of one choice behind another."""
        logits: Tensor = self.net(observations)
        return logits

    def act(self, observations: Tensor, noise: Tensor | None) -> Tensor:
        """A sample (B, D) by the Gumbel-max trick, or the most probable choices."""
        logits = self.outputs(observations)
        given = logits if noise is None else logits + noise
        return distributions.by_choice(given, self.sizes).argmax(-1)

    def loss(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Minus the mean log-probability of the choices (B, D), the sum of theirs, in nats."""
        return -distributions.product_log_prob(actions, self.net(observations), self.sizes).mean()


def make_policy(
    *,
    observations: int,
    hidden: tuple[int, ...],
    actions: int,
    sizes: Sequence[int],
    is_several: bool,
    activation: Activation,
    init: Init | None,
    loss: Literal["mse", "log_likelihood"],
    log_std: tuple[float, float],
    squash: bool,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> Regression | Likelihood | Choice | Choices:
    """The policy that settings ask for.

    Args:
        observations: numbers of an observation.
        hidden: widths of the hidden layers.
        actions: A, or the number of choices.
        sizes: of how many each choice is; none of vectors.
        is_several: whether an action is several choices (D,), not one ().
        activation: between the layers.
        init: of the weights; None: orthogonal with tanh, else default.
        loss: what is minimised; choices have one alone.
        log_std: the range of a likelihood's log-deviations.
        squash: whether tanh keeps actions in [-1, 1].
        generator: of the weights.
        dtype: of the numbers.
    """
    is_likelihood = loss == "log_likelihood" and not sizes
    outputs = 2 * actions if is_likelihood else actions
    net = perceptron(
        observations,
        hidden,
        outputs,
        activation=activation,
        init=init or ("orthogonal" if activation == "tanh" else "default"),
        head_gain=1.0 / math.sqrt(hidden[-1]),
        layer_norm=False,
        generator=generator,
        dtype=dtype,
    )
    if is_several:
        return Choices(net, sizes=sizes)
    if sizes:
        return Choice(net, choices=actions)
    if is_likelihood:
        return Likelihood(net, squash=squash, actions=actions, log_std=log_std)
    return Regression(net, squash=squash, actions=actions)
