"""Networks of the off-policy algorithms: squashed and deterministic actors, critics, Q-networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from agents.nn import distributions


class SquashedGaussianActor(nn.Module):
    """tanh of a Gaussian whose mean and deviation depend on the state (arXiv:1812.05905, appendix C).

    Actions are in (-1, 1). `net` maps observations (B, obs_dim) to (B, 2 A).
    """

    LOG_STD = (
        -5.0,
        2.0,
    )  # the deviation's logarithm is squashed into this range, if no other is given

    def __init__(self, net: nn.Module, log_std: tuple[float, float] = LOG_STD) -> None:
        super().__init__()
        self.net, self.log_std_range = net, log_std

    def head(self, *inputs: Any) -> tuple[Tensor, Tensor]:
        """Mean and log-deviation (B, A) before squashing, of whatever `net` takes."""
        mean, raw = self.net(*inputs).chunk(2, -1)
        low, high = self.log_std_range
        return mean, low + 0.5 * (high - low) * (torch.tanh(raw) + 1.0)

    def outputs(self, *inputs: Any) -> Tensor:
        """Means (B, A) before squashing."""
        return self.head(*inputs)[0]

    def sample(self, *inputs: Any, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions (B, A) from standard normal noise (B, A), and their log-densities (B,)."""
        mean, log_std = self.head(*inputs)
        unsquashed = mean + noise * log_std.exp()
        return torch.tanh(unsquashed), distributions.squashed_log_prob(unsquashed, noise, log_std)

    def act(self, *inputs: Any, noise: Tensor | None) -> Tensor:
        """Actions (B, A): sampled, or the squashed mean."""
        mean, log_std = self.head(*inputs)
        return torch.tanh(mean if noise is None else mean + noise * log_std.exp())


class DeterministicActor(nn.Module):
    """One action a state, in (-1, 1)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def outputs(self, observations: Tensor) -> Tensor:
        """Actions (B, A) before squashing."""
        outputs: Tensor = self.net(observations)
        return outputs

    def forward(self, observations: Tensor) -> Tensor:
        """Actions (B, A)."""
        return torch.tanh(self.net(observations))

    def act(self, observations: Tensor, *, noise: Tensor | None) -> Tensor:
        """Actions (B, A) in [-1, 1], with noise (B, A) added where it is given."""
        actions = self(observations)
        result: Tensor = actions if noise is None else (actions + noise).clamp(-1.0, 1.0)
        return result


class Critics(nn.Module):
    """Independent critics of the same form."""

    def __init__(self, nets: Sequence[nn.Module]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, observations: Tensor, actions: Tensor, *further: Any) -> Tensor:
        """Values (critics, B) of observations (B, obs_dim) and actions (B, A) in [-1, 1].

        What else a net takes is passed on.
        """
        both = torch.cat([observations, actions], -1)
        return torch.stack([net(both, *further).squeeze(-1) for net in self.nets])

    def first(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Values (B,) by the first of them alone."""
        values: Tensor = self.nets[0](torch.cat([observations, actions], -1)).squeeze(-1)
        return values


class QNetwork(nn.Module):
    """A value for each of K discrete actions; dueling (arXiv:1511.06581, Eq. 9) with a second head."""

    def __init__(self, features: nn.Module, head: nn.Module, baseline: nn.Module | None) -> None:
        super().__init__()
        self.features, self.head, self.baseline = features, head, baseline

    def forward(self, observations: Tensor) -> Tensor:
        """Values (B, K) of observations (B, obs_dim)."""
        features = self.features(observations)
        values: Tensor = self.head(features)
        if self.baseline is None:
            return values
        return self.baseline(features) + values - values.mean(-1, keepdim=True)

    def outputs(self, observations: Tensor) -> Tensor:
        """Values (B, K)."""
        values: Tensor = self(observations)
        return values

    def act(self, observations: Tensor, *, noise: Tensor | None) -> Tensor:
        """The actions (B,) of highest value; exploring is the caller's."""
        return self.outputs(observations).argmax(-1)


class Temperature(nn.Module):
    """SAC's weight of the entropy, positive."""

    def __init__(self, initial: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.log_value = nn.Parameter(torch.full((1,), math.log(initial), dtype=dtype))

    def forward(self) -> Tensor:
        """The temperature (1,)."""
        return self.log_value.exp()
