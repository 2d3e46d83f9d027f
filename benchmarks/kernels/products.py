"""Matrix products of linear layers by all routines that are here: a kernel of ours where there is one, oneDNN, MKL.

Times are of the processor, on one thread, the least of interleaved takes: other programs only add to it.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Call = Callable[[], object]
OURS, ONEDNN, MKL = "ours", "oneDNN", "MKL"
CALLS, TAKES = 20, 15


@dataclass(frozen=True)
class Route:
    """A linear layer y = x W^T + b by one library; x (B, in), W (out, in), b (out,), G (B, out) the gradient of y.

    Attributes:
        forward: y (B, out) of x, W, b.
        by_input: G W (B, in) of G, W.
        by_weights: G^T x (out, in) of G, x.
    """

    forward: Callable[[Any, Any, Any], object]
    by_input: Callable[[Any, Any], object]
    by_weights: Callable[[Any, Any], object]


def routes() -> dict[str, Route]:
    """By name; ours only while agents/compute/linear.py has a kernel, and a compiler built it."""
    import torch
    from torch.nn import functional

    one_dnn = torch.ops.mkldnn._linear_pointwise

    def product(left: Any, right: Any) -> Any:  # the same routine, of strided operands
        return one_dnn(left, right, None, "none", [], "")

    found = {}
    if has_kernel():
        ours = torch.ops.milozero
        found[OURS] = Route(
            lambda x, weight, bias: ours.linear(x, weight, bias, 0),
            ours.linear_input_gradient,
            ours.linear_weight_gradient,
        )
    found[ONEDNN] = Route(
        lambda x, weight, bias: one_dnn(x, weight, bias, "none", [], ""),
        lambda gradient, weight: product(gradient, weight.t()),
        lambda gradient, x: product(gradient.t(), x.t()),
    )
    found[MKL] = Route(
        functional.linear,
        torch.mm,
        lambda gradient, x: torch.mm(gradient.t(), x),
    )
    return found


def has_kernel() -> bool:
    """Whether there are matrix products of our own."""
    try:
        module = importlib.import_module("agents.compute.linear")
    except ModuleNotFoundError:
        return False
    kernel = getattr(module, "kernel", None)
    return kernel is not None and kernel() is not None


def layer_seconds(rows: int, inputs: int, outputs: int) -> dict[tuple[str, str], float]:
    """Processor time of a call, by route and "forward", "by input", "by weights"."""
    import torch

    x, weight = torch.randn(rows, inputs), torch.randn(outputs, inputs)
    bias, gradient = torch.randn(outputs), torch.randn(rows, outputs)
    calls: dict[tuple[str, str], Call] = {}
    for name, route in routes().items():
        calls[name, "forward"] = _bound(route.forward, x, weight, bias)
        calls[name, "by input"] = _bound(route.by_input, gradient, weight)
        calls[name, "by weights"] = _bound(route.by_weights, gradient, x)
    return least_seconds(calls)


def fastest_product(rows: int, inner: int, outputs: int) -> Call:
    """The product of matrices (rows, inner) and (inner, outputs) by the routine that is the fastest for them."""
    import torch

    left, right = torch.randn(rows, inner), torch.randn(inner, outputs)
    calls = {name: _bound(route.by_input, left, right) for name, route in routes().items()}
    seconds = least_seconds(calls)
    return calls[min(seconds, key=lambda name: seconds[name])]


def _bound(function: Callable[..., object], *arguments: Any) -> Call:
    return lambda: function(*arguments)


def least_seconds(
    calls: Mapping[Any, Call],
    *,
    count: int = CALLS,
    takes: int = TAKES,
) -> dict[Any, float]:
    """Processor time of one call each, the least of so many interleaved takes of `count` calls."""
    import torch

    torch.set_num_threads(1)
    best = dict.fromkeys(calls, float("inf"))
    with torch.inference_mode():
        for _ in range(takes):
            for name, call in calls.items():
                started = time.process_time()
                for _ in range(count):
                    call()
                best[name] = min(best[name], (time.process_time() - started) / count)
    return best
