"""Networks that judge transitions: a discriminator, AIRL's of a reward and a shaping, RED's embeddings.

All take rows (B, d) as `agents.imitation.inputs` makes them. A spectral norm needs a vector for each matrix that it
divides: they come in one flat tensor, and go out improved, so that nothing changes behind a compiled step's back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from agents.compute.linear import linear
from agents.imitation import losses

SLOPE = 0.1  # of leaky ReLUs
_APPLIED: Mapping[str, Callable[[Tensor], Tensor]] = {  # "relu" is part of a linear layer
    "tanh": torch.tanh,
    "leaky_relu": lambda x: functional.leaky_relu(x, SLOPE),
    "elu": functional.elu,
    "silu": functional.silu,
    "gelu": functional.gelu,
}
POWER_STEPS = 100  # at the start; later one each update


class Perceptron(nn.Module):
    """Layers with an activation between them, their hidden matrices divided by spectral norms where wanted.

    Weights are orthogonal with the activation's gain, biases zero.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        *,
        activation: str,
        spectral: bool,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.activation, self.spectral = activation, spectral
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        gain = 1.0 if activation == "tanh" else math.sqrt(2.0)
        sizes = [inputs, *hidden, outputs]
        for i, (before, after) in enumerate(zip(sizes, sizes[1:], strict=False)):
            weight = torch.empty(after, before, dtype=dtype)
            is_head = i == len(hidden)
            nn.init.orthogonal_(weight, 1.0 if is_head else gain, generator=generator)
            self.weights.append(nn.Parameter(weight))
            self.biases.append(nn.Parameter(torch.zeros(after, dtype=dtype)))
        self.vector_sizes = list(hidden) if spectral else []

    def forward(self, rows: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (B, out) of rows (B, in), and the vectors (sum of hidden widths,) for the next call."""
        left = list(vectors.split(self.vector_sizes)) if self.spectral else []
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if i == len(self.weights) - 1:
                rows = linear(rows, weight, bias)
                break
            if self.spectral:
                norm, left[i] = losses.spectral_norm(weight, left[i])
                weight = weight / norm
            rows = linear(rows, weight, bias, rectify=self.activation == "relu")
            if self.activation in _APPLIED:
                rows = _APPLIED[self.activation](rows)
        return rows, torch.cat(left) if left else vectors

    def first_vectors(self, generator: torch.Generator) -> Tensor:
        """Vectors (sum of hidden widths,) that are the singular ones, from random beginnings."""
        found = []
        for weight in list(self.weights)[:-1] if self.spectral else []:
            vector = torch.randn(len(weight), generator=generator, dtype=weight.dtype)
            vector = vector / vector.norm()
            for _ in range(POWER_STEPS):
                _, vector = losses.spectral_norm(weight.detach(), vector)
            found.append(vector)
        return torch.cat(found) if found else torch.zeros(0, dtype=self.weights[0].dtype)


class Discriminator(nn.Module):
    """A logit for each row."""

    def __init__(self, net: Perceptron) -> None:
        super().__init__()
        self.net = net

    def forward(self, rows: Tensor, goes_on: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B,) of rows (B, d), and the vectors of the next call. `goes_on` is AIRL's."""
        logits, vectors = self.net(rows, vectors)
        return logits.squeeze(-1), vectors

    def first_vectors(self, generator: torch.Generator) -> Tensor:
        """Those of the net."""
        return self.net.first_vectors(generator)


class ShapedReward(nn.Module):
    """AIRL's f(s, a, s') = g(s[, a]) + gamma h(s') - h(s), arXiv:1710.11248, Eq. 4.

    Args:
        own: g, of the first columns of a row, without its last `states` ones.
        shaping: h, of a state.
        states: numbers of a state.
        gamma: discount of a step.
    """

    def __init__(self, own: Perceptron, shaping: Perceptron, *, states: int, gamma: float) -> None:
        super().__init__()
        self.own, self.shaping, self.states, self.gamma = own, shaping, states, gamma

    def forward(self, rows: Tensor, goes_on: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """f (B,) of rows (B, d): state, action where it counts, successor; 0 in `goes_on`: nothing comes after."""
        sizes = [sum(net.vector_sizes) for net in (self.own, self.shaping)]
        parts = vectors.split(sizes) if sum(sizes) else (vectors, vectors)
        own, first = self.own(rows[:, : -self.states].contiguous(), parts[0])
        value, second = self.shaping(rows[:, : self.states].contiguous(), parts[1])
        next_value, _ = self.shaping(rows[:, -self.states :].contiguous(), parts[1])
        f = losses.shaped_reward(
            own.squeeze(-1),
            value.squeeze(-1),
            next_value.squeeze(-1),
            discount=self.gamma * goes_on,
        )
        return f, torch.cat([first, second]) if sum(sizes) else vectors

    def first_vectors(self, generator: torch.Generator) -> Tensor:
        """Those of both nets."""
        nets = (self.own, self.shaping)
        return torch.cat([net.first_vectors(generator) for net in nets])
