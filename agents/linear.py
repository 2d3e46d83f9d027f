"""A linear layer that goes to the faster matrix product for its size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SMALLEST = (
    128  # rows, inputs and outputs from which oneDNN is the faster one (docs/results/linear.md)
)


class _OneDNN(torch.autograd.Function):
    """x W^T + b and its gradients by oneDNN. On AMD, torch's own route (MKL) reaches half its speed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(
        ctx: Any,
        *gradients: Tensor,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        (gradient,) = gradients
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight.t(), None) if needs_x else None,
            _product(gradient.t(), x.t(), None) if needs_weight else None,
            gradient.sum(0) if needs_bias else None,
        )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return result


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W^T + b (B, out) of x (B, in), weight (out, in), bias (out,); equal to torch's up to rounding."""
    large = x.dim() == 2 and min(*x.shape, *weight.shape) >= SMALLEST
    if large and x.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        result: Tensor = _OneDNN.apply(x, weight, bias)
        return result
    return functional.linear(x, weight, bias)


class Linear(nn.Linear):
    """`nn.Linear` by `linear`; always with a bias."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, out) of (B, in)."""
        return linear(x, self.weight, self.bias)
