"""A linear layer by matrix products of our own, to which compiled gradient steps are calls.

What is traced to be compiled, within `own_products`, takes these; all else is torch's. They are kept beside torch's
(MKL) and oneDNN's, since a whole gradient step of SAC is faster by them on every kind of processor measured
(docs/results/speed_native-*.md, linear-*.md).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from helpers.machine.native import build

SMALLEST = 2**14  # multiplications from which a call is worth its overhead
_NAMESPACE = "milozero"
_in_use = False


@cache
def kernel() -> ctypes.CDLL | None:
    """The C library; compiled steps find its functions by name. None where there is no compiler."""
    libtorch = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    if not libtorch.exists():
        return None
    ctypes.CDLL(
        str(libtorch),
        mode=ctypes.RTLD_GLOBAL,
    )  # loaded already; the kernel uses its C interface
    return build("agents/compute/kernels/linear.c", visible=True)


@contextmanager
def own_products() -> Iterator[None]:
    """Within it, `linear` takes our products where they can be had."""
    global _in_use
    before, _in_use = _in_use, kernel() is not None
    try:
        yield
    finally:
        _in_use = before


def _pointers(*tensors: Tensor) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]


def _run(name: str, sizes: tuple[int, ...], *arguments: Any) -> None:
    library = kernel()
    assert library is not None
    if library[name](*map(ctypes.c_int64, sizes), *arguments):
        raise MemoryError(f"no memory for {name} of {sizes}")


def _linear(x: Tensor, weight: Tensor, bias: Tensor, rectify: int) -> Tensor:
    (rows, inputs), outputs = x.shape, len(weight)
    y = x.new_empty(rows, outputs)
    pointers = _pointers(x, weight, bias)
    sizes = rows, inputs, outputs
    _run("linear", sizes, *pointers, ctypes.c_int64(rectify), *_pointers(y))
    return y


def _input_gradient(gradient: Tensor, weight: Tensor) -> Tensor:
    outputs, inputs = weight.shape
    x = weight.new_empty(len(gradient), inputs)
    sizes = len(gradient), inputs, outputs
    _run("linear_input_gradient", sizes, *_pointers(gradient, weight, x))
    return x


def _weight_gradient(gradient: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    (rows, inputs), outputs = x.shape, gradient.shape[1]
    weight, bias = x.new_empty(outputs, inputs), x.new_empty(outputs)
    _run("linear_weight_gradient", (rows, inputs, outputs), *_pointers(gradient, x, weight, bias))
    return weight, bias


def _define() -> dict[str, tuple[Any, str]]:
    """Make torch know the three functions; by name, each with its C declaration for compiled steps."""
    library = torch.library.Library(_NAMESPACE, "FRAGMENT")
    tensor, made = "AtenTensorHandle", "AtenTensorHandle*"
    declared = {}
    for name, schema, function, shape, arguments in (
        (
            "linear",
            "(Tensor x, Tensor weight, Tensor bias, int rectify) -> Tensor",
            _linear,
            lambda x, weight, bias, rectify: x.new_empty(len(x), len(weight)),
            [tensor, tensor, tensor, "int64_t", made],
        ),
        (
            "linear_input_gradient",
            "(Tensor gradient, Tensor weight) -> Tensor",
            _input_gradient,
            lambda gradient, weight: gradient.new_empty(len(gradient), weight.shape[1]),
            [tensor, tensor, made],
        ),
        (
            "linear_weight_gradient",
            "(Tensor gradient, Tensor x) -> (Tensor, Tensor)",
            _weight_gradient,
            lambda gradient, x: (
                x.new_empty(gradient.shape[1], x.shape[1]),
                x.new_empty(gradient.shape[1]),
            ),
            [tensor, tensor, made, made],
        ),
    ):
        library.define(name + schema, tags=(torch.Tag.needs_contiguous_strides,))
        library.impl(name, function, "CPU")
        library.impl(name, shape, "Meta")
        operation = getattr(getattr(torch.ops, _NAMESPACE), name).default
        declared[name] = (operation, f"int32_t aoti_torch_cpu_{name}({', '.join(arguments)})")
    _kept.append(library)
    return declared


_kept: list[Any] = []  # torch forgets operations whose library is gone
OPERATIONS = _define()


class _Linear(torch.autograd.Function):
    """x W^T + b, rectified or not."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, rectify: bool) -> Tensor:
        y: Tensor = torch.ops.milozero.linear(x, weight, bias, int(rectify))
        ctx.save_for_backward(x, weight, *([y] if rectify else []))
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *rectified = ctx.saved_tensors
        (gradient,) = gradients
        for y in rectified:
            gradient = torch.where(y > 0.0, gradient, 0.0)
        gradient = gradient.contiguous()
        by_x = by_weight = by_bias = None
        if ctx.needs_input_grad[0]:
            by_x = _InputGradient.apply(gradient, weight)
        if ctx.needs_input_grad[1]:
            by_weight, by_bias = _WeightGradient.apply(gradient, x)
        return by_x, by_weight, by_bias, None


class _InputGradient(torch.autograd.Function):
    """G W, which a penalty on gradients differentiates once more."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(gradient, weight)
        result: Tensor = torch.ops.milozero.linear_input_gradient(gradient, weight)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        gradient, weight = ctx.saved_tensors
        above = gradients[0].contiguous()
        by_gradient = _Linear.apply(above, weight, weight.new_zeros(len(weight)), False)
        return by_gradient, _WeightGradient.apply(gradient, above)[0]


class _WeightGradient(torch.autograd.Function):
    """G^T X, and the sum of G's rows."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(gradient, x)
        result: tuple[Tensor, Tensor] = torch.ops.milozero.linear_weight_gradient(gradient, x)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        gradient, x = ctx.saved_tensors
        above, above_bias = (each.contiguous() for each in gradients)
        return _Linear.apply(x, above, above_bias, False), _InputGradient.apply(gradient, above)


def linear(x: Tensor, weight: Tensor, bias: Tensor, *, rectify: bool = False) -> Tensor:
    """x W^T + b (B, out) of x (B, in), weight (out, in), bias (out,); negative ones 0 if rectified.

    Torch's own, and within `own_products` equal to it up to rounding, and differentiable as often.
    """
    if _in_use and x.dim() == 2 and x.dtype == torch.float32 and x.device.type == "cpu":
        if len(x) * weight.numel() >= SMALLEST:
            result: Tensor = _Linear.apply(x.contiguous(), weight, bias, rectify)
            return result
    result = functional.linear(x, weight, bias)
    return torch.relu(result) if rectify else result


class Linear(nn.Linear):
    """`nn.Linear` by `linear`; always with a bias."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, out) of (B, in)."""
        return linear(x, self.weight, self.bias)


class RectifiedLinear(nn.Linear):
    """`nn.Linear` and a ReLU, in one."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, out), not negative, of (B, in)."""
        return linear(x, self.weight, self.bias, rectify=True)
