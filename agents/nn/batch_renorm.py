"""Batch renormalisation, arXiv:1702.03275, as functions of statistics that are given and given back.

The statistics of a minibatch are those of groups, one for each environment's samples: so they are the same
however many workers hold the environments, and no worker waits for another within a forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from agents.compute.linear import Linear
from agents.nn.perceptrons import ACTIVATIONS, HIDDEN_GAIN, initialise

LARGEST_RATIO, LARGEST_SHIFT, EPSILON = 3.0, 5.0, 1e-3
MOMENTUM = 0.01  # how far the running statistics move towards those of a minibatch


@dataclass
class Statistics:
    """What a forward pass normalises by.

    Attributes:
        running: (S,) means and variances of all layers.
        groups: None to normalise by `running`; otherwise (parts, environments, samples), how the
            rows are ordered: each environment's are a group, normalised by themselves.
        renormalise: (1,) 1 to correct a group's statistics towards the running ones, 0 not to.
        found: (place, mean and variance over the groups) of every layer passed.
    """

    running: Tensor
    groups: tuple[int, int, int] | None = None
    renormalise: Tensor | None = None
    found: list[tuple[slice, Tensor]] = field(default_factory=list)

    def sums(self, share: float) -> Tensor:
        """`running`'s form (S,): this worker's part of the mean over all groups; 0 where not passed."""
        pieces, end = [], 0
        for place, moments in self.found:
            pieces += [self.running.new_zeros(place.start - end), moments * share]
            end = place.stop
        return torch.cat([*pieces, self.running.new_zeros(len(self.running) - end)])


class BatchRenorm(nn.Module):
    """Normalises (B, width), then scales and shifts."""

    def __init__(self, width: int, *, start: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.place = slice(start, start + 2 * width)
        self.weight = nn.Parameter(torch.ones(width, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(width, dtype=dtype))

    def forward(self, x: Tensor, statistics: Statistics) -> Tensor:
        """(B, width)."""
        mean, variance = statistics.running[self.place].chunk(2)
        if statistics.groups is None:
            return (x - mean) * torch.rsqrt(variance + EPSILON) * self.weight + self.bias
        grouped = x.view(*statistics.groups, -1)
        own_mean = grouped.mean((0, 2), keepdim=True)
        own_variance = (grouped - own_mean).square().mean((0, 2), keepdim=True)
        moments = [own_mean.detach().mean((0, 1, 2)), own_variance.detach().mean((0, 1, 2))]
        statistics.found.append((self.place, torch.cat(moments)))
        scale = torch.rsqrt(own_variance + EPSILON)
        normal = (grouped - own_mean) * scale
        if statistics.renormalise is not None:
            inverse = torch.rsqrt(variance + EPSILON)
            ratio = (inverse / scale.detach()).clamp(1.0 / LARGEST_RATIO, LARGEST_RATIO)
            shift = ((own_mean.detach() - mean) * inverse).clamp(-LARGEST_SHIFT, LARGEST_SHIFT)
            on = statistics.renormalise
            normal = normal * (1.0 + on * (ratio - 1.0)) + on * shift
        return normal.view_as(x) * self.weight + self.bias


class NormalisedNet(nn.Module):
    """A perceptron that is normalised at its input and after each hidden layer.

    Attributes:
        size: how many running statistics it has, from `start` on.
        fixed: gives the running statistics; set by `RunningStatistics`.
    """

    fixed: Callable[[], Statistics]

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        *,
        start: int,
        activation: str,
        init: str,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]()
        widths = [inputs, *hidden]
        starts = [start + 2 * sum(widths[:i]) for i in range(len(widths))]
        self.start, self.size = start, 2 * sum(widths)
        self.norms = nn.ModuleList(
            [
                BatchRenorm(width, start=first, dtype=dtype)
                for width, first in zip(widths, starts, strict=True)
            ],
        )
        self.layers = nn.ModuleList(
            [
                initialise(
                    Linear(before, after, dtype=dtype),
                    generator,
                    init=init,
                    gain=HIDDEN_GAIN if i < len(hidden) else 1.0,
                )
                for i, (before, after) in enumerate(zip(widths, [*hidden, outputs], strict=True))
            ],
        )

    def running_statistics(self) -> Tensor:
        """Its own part (size,) of the running statistics, a view."""
        return self.fixed().running[self.start : self.start + self.size]

    def forward(self, x: Tensor, statistics: Statistics | None = None) -> Tensor:
        """(B, outputs) of (B, inputs); normalised by the running statistics where no others are given."""
        statistics = statistics or self.fixed()
        for i, (norm, layer) in enumerate(zip(self.norms, self.layers, strict=True)):
            x = layer(norm(self.activation(x) if i else x, statistics))
        return x


class RunningStatistics(nn.Module):
    """Running means and variances of a policy and its critics, and those of a minibatch.

    Args:
        nets: the policy's, then the critics'.
        dtype: of the numbers.

    Attributes:
        statistics: (S,) the running ones; they begin as means 0 and variances 1.
        critic_statistics, policy_statistics: (S,) of the minibatch that these have passed last.
        renormalise: (1,) 1 to correct a minibatch's statistics towards the running ones, 0 not to.
    """

    statistics: Tensor
    critic_statistics: Tensor
    policy_statistics: Tensor
    renormalise: Tensor

    def __init__(self, nets: Sequence[NormalisedNet], dtype: torch.dtype) -> None:
        super().__init__()
        self.boundary = nets[0].size
        for net in nets:
            net.fixed = self.fixed
        running = torch.zeros(sum(net.size for net in nets), dtype=dtype)
        for norm in (norm for net in nets for norm in net.norms if isinstance(norm, BatchRenorm)):
            running[norm.place].chunk(2)[1].fill_(1.0)
        self.register_buffer("statistics", running)
        self.register_buffer("critic_statistics", torch.zeros_like(running))
        self.register_buffer("policy_statistics", torch.zeros_like(running))
        self.register_buffer("renormalise", torch.zeros(1, dtype=dtype))

    def fixed(self) -> Statistics:
        """To normalise by the running statistics, as acting does."""
        return Statistics(self.statistics)

    def of_groups(self, groups: tuple[int, int, int]) -> Statistics:
        """To normalise a minibatch by its own statistics; `groups` as in `Statistics`."""
        return Statistics(self.statistics, groups, self.renormalise)

    def move_policy(self) -> None:
        """Move the policy's running statistics towards those of its last minibatch."""
        self._move(self.policy_statistics, slice(self.boundary))

    def move_critics(self) -> None:
        """Move the critics' running statistics towards those of their last minibatch."""
        self._move(self.critic_statistics, slice(self.boundary, None))

    def _move(self, found: Tensor, where: slice) -> None:
        self.statistics[where].lerp_(found[where], MOMENTUM)
