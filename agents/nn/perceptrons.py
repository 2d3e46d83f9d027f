"""Layers between an input and a head: activations, initial weights, layer normalization."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

from agents.compute.linear import Linear, RectifiedLinear

# By the names that settings, policy files and the packages' `architecture.json` have.
ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}
Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)
HIDDEN_GAIN = math.sqrt(2.0)  # of orthogonal weights


def initialise(
    layer: Layer,
    generator: torch.Generator,
    *,
    init: str = "default",
    gain: float = 1.0,
) -> Layer:
    """The layer with its first weights.

    Args:
        layer: whose parameters are replaced.
        generator: draws them.
        init: "orthogonal" weights and biases of zero (arXiv:1312.6120), or "default", both uniform in
            +-1/sqrt(inputs) as torch has it.
        gain: of orthogonal weights.
    """
    if init == "orthogonal":
        nn.init.orthogonal_(layer.weight, gain, generator=generator)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
        return layer
    bound = 1.0 / math.sqrt(layer.weight[0].numel())  # the inputs of one output
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer


def hidden_stack(
    inputs: int,
    hidden: Sequence[int],
    *,
    activation: str,
    init: str,
    layer_norm: bool,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> nn.Sequential:
    """Hidden layers of the widths in `hidden`, each with its activation."""
    layers: list[nn.Module] = []
    is_fused = activation == "relu" and not layer_norm
    for width in hidden:
        kind = RectifiedLinear if is_fused else Linear
        made = kind(inputs, width, dtype=dtype)
        layers.append(initialise(made, generator, init=init, gain=HIDDEN_GAIN))
        if layer_norm:
            layers.append(nn.LayerNorm(width, dtype=dtype))
        if not is_fused:
            layers.append(ACTIVATIONS[activation]())
        inputs = width
    return nn.Sequential(*layers)


def perceptron(
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    *,
    head_gain: float = 1.0,
    **how: Any,
) -> nn.Sequential:
    """A perceptron with a linear head.

    Args:
        inputs, hidden, outputs: widths.
        head_gain: of the head's weights, where these are orthogonal.
        how: as of `hidden_stack`.
    """
    layers = hidden_stack(inputs, hidden, **how)
    width = hidden[-1] if hidden else inputs
    head = Linear(width, outputs, dtype=how["dtype"])
    return nn.Sequential(
        *layers,
        initialise(head, how["generator"], init=how["init"], gain=head_gain),
    )
