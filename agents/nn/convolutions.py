"""Convolutions of pictures, in front of a head: nature_cnn and cnn_256 of docs/ppo.md."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from agents.common_settings import convolutions
from agents.nn.perceptrons import ACTIVATIONS, HIDDEN_GAIN, hidden_stack, initialise
from helpers.pictures import Picture

BRIGHTEST = 255.0
VALUES_AT_ONCE = (
    256  # observations that a network is asked about, of many: what layers give takes memory
)


class PictureLayers(nn.Module):
    """Pictures (B, C H W) of 0 to 255, divided by 255, through convolutions and one fully connected layer: (B, width).

    Args:
        picture: the form of an observation.
        stack: "nature_cnn" or "cnn_256".
        activation: behind each layer.
        init, generator, dtype: of the weights.

    Attributes:
        width: of the last layer.
        inputs: numbers of an observation.
    """

    def __init__(
        self,
        picture: Picture,
        stack: str,
        *,
        activation: str,
        init: str,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        found = convolutions(stack)
        assert found is not None, stack
        layers, self.width = found
        self.picture, self.inputs = picture, picture.size
        channels, height, width = picture.shape
        self.convolutions = nn.ModuleList()
        for filters, kernel, stride in layers:
            made = nn.Conv2d(channels, filters, kernel, stride, dtype=dtype)
            self.convolutions.append(initialise(made, generator, init=init, gain=HIDDEN_GAIN))
            height, width = ((side - kernel) // stride + 1 for side in (height, width))
            channels = filters
        self.activation = ACTIVATIONS[activation]()
        self.connected = hidden_stack(
            channels * height * width,
            (self.width,),
            activation=activation,
            init=init,
            layer_norm=False,
            generator=generator,
            dtype=dtype,
        )

    def forward(self, observations: Tensor) -> Tensor:
        """(B, width) of pictures (B, C H W), uint8 or numbers from 0 to 255."""
        dtype = next(self.connected.parameters()).dtype
        x = observations.to(dtype).reshape(-1, *self.picture.shape) / BRIGHTEST  # (B, C, H, W)
        for layer in self.convolutions:
            x = self.activation(layer(x))
        connected: Tensor = self.connected(x.flatten(1))
        return connected


def in_parts(function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """What a function of observations gives for many of them, a few at a time: values (B,)."""
    return torch.cat([function(part) for part in inputs.split(VALUES_AT_ONCE)])
