"""Our matrix products are torch's."""

import itertools
import logging

import pytest
import torch
from torch.nn import functional

from agents.compute.compiled_step import CompiledStep
from agents.compute.linear import SMALLEST, Linear, RectifiedLinear, kernel, linear, own_products
from helpers.machine.native import build
from helpers.machine.processor import levels


@pytest.fixture(autouse=True)
def ours():
    with own_products():
        yield


SIZES = (1, 3, 7, 8, 16, 17, 64, 100, 150)
FEWER = (3, 9, 70)


@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("inputs", [5, 16, 23, 130, 256])
def test_values_and_gradients_are_those_of_torch_in_twice_the_precision(inputs, rectify):
    check(inputs, rectify, SIZES)


@pytest.mark.parametrize("level", levels())
def test_so_they_are_at_every_level_of_this_machine(level, monkeypatch):
    assert kernel() is not None
    monkeypatch.setenv("MILOZERO_MARCH", level)
    library = build("agents/compute/kernels/linear.c")
    monkeypatch.setattr("agents.compute.linear.kernel", lambda: library)
    for inputs in (5, 21, 136):
        check(inputs, True, FEWER)


def check(inputs, rectify, sizes):
    torch.manual_seed(inputs)
    counted = 0
    for rows, outputs in itertools.product(sizes, sizes):
        x, weight, bias = (
            torch.randn(*shape, requires_grad=True)
            for shape in ((rows, inputs), (outputs, inputs), (outputs,))
        )
        exact = [tensor.detach().double().requires_grad_() for tensor in (x, weight, bias)]
        ours = linear(x, weight, bias, rectify=rectify)
        if rows * inputs * outputs >= SMALLEST:
            assert type(ours.grad_fn).__name__ == "_LinearBackward"
            counted += 1
        theirs = functional.linear(*exact)
        if rectify:
            ours_where = ours.detach() > 0
            torch.testing.assert_close(
                ours_where.double() * theirs,
                theirs.relu(),
                rtol=0,
                atol=1e-4,
            )
            theirs = ours_where * theirs  # at a kink, both sides are right
        gradient = torch.randn(rows, outputs)
        mine = torch.autograd.grad(ours, [x, weight, bias], gradient)
        right = torch.autograd.grad(theirs, exact, gradient.double())
        for a, b in zip((ours, *mine), (theirs, *right), strict=True):
            rounding = 8e-6 * max(rows, inputs, outputs) ** 0.5  # sums of products near 1
            torch.testing.assert_close(a.double(), b, rtol=0, atol=rounding)
    assert counted > 0


def test_a_gradient_that_is_not_contiguous_and_inputs_that_need_none():
    weight, bias = torch.randn(64, 64, requires_grad=True), torch.zeros(64)
    x = torch.randn(64, 64)
    y = linear(x.t(), weight, bias)
    (ours,) = torch.autograd.grad(y.t().sum(), [weight])
    (theirs,) = torch.autograd.grad(functional.linear(x.t(), weight, bias).sum(), [weight])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_what_is_not_finite_stays_so():
    x = torch.full((64, 64), torch.nan)
    assert linear(x, torch.ones(64, 64), torch.zeros(64), rectify=True).isnan().all()


def test_a_penalty_on_gradients_is_differentiated_as_by_torch():
    torch.manual_seed(0)
    x = torch.randn(64, 40)
    weights = [torch.randn(48, 40), torch.randn(36, 48)]
    biases = [torch.randn(48), torch.randn(36)]

    def by_torch(x, weight, bias, *, rectify=False):
        y = functional.linear(x, weight, bias)
        return y.relu() if rectify else y

    def gradients(layer, dtype):
        x_ = x.to(dtype).requires_grad_()
        leaves = [each.to(dtype).requires_grad_() for each in (*weights, *biases)]
        hidden = layer(x_, leaves[0], leaves[2], rectify=True)
        y = torch.tanh(layer(hidden, leaves[1], leaves[3]) / 20).sum()
        (slope,) = torch.autograd.grad(y, [x_], create_graph=True)
        penalty = (slope.norm(dim=-1) - 1.0).square().mean() + y / 100
        return torch.autograd.grad(penalty, [*leaves, x_])

    for ours, theirs in zip(
        gradients(linear, torch.float32),
        gradients(by_torch, torch.float64),
        strict=True,
    ):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-5)


def test_small_products_other_dtypes_and_no_compiler_take_the_route_of_torch(monkeypatch):
    small = Linear(4, 4)(torch.zeros(4, 4))
    double = RectifiedLinear(64, 64, dtype=torch.float64)(torch.zeros(64, 64).double())
    monkeypatch.setattr("agents.compute.linear.kernel", lambda: None)
    with own_products():
        without = Linear(64, 64)(torch.zeros(64, 64))
    monkeypatch.setattr("agents.compute.linear._in_use", False)
    untraced = Linear(64, 64)(torch.zeros(64, 64))
    for y in (small, double, without, untraced):
        assert type(y.grad_fn).__name__ != "_LinearBackward"


def test_compiled_steps_call_it(caplog):
    caplog.set_level(logging.INFO, logger="agents.compute.compiled_step")
    assert kernel() is not None
    torch.manual_seed(0)
    layers = [RectifiedLinear(144, 136), Linear(136, 5)]

    def descent(*, native):
        tensors = {"x": torch.zeros(160, 144)}
        tensors |= {f"{i}": layer.weight.detach().clone() for i, layer in enumerate(layers)}

        def piece(given):
            weights = [given[f"{i}"].detach().requires_grad_() for i in range(2)]
            hidden = linear(given["x"], weights[0], layers[0].bias.detach(), rectify=True)
            loss = linear(hidden, weights[1], layers[1].bias.detach()).square().mean()
            for i, gradient in enumerate(torch.autograd.grad(loss, weights)):
                given[f"{i}"].sub_(0.1 * gradient)

        return CompiledStep("wide", piece, tensors, native=native)

    steps = [descent(native=native) for native in (False, True)]
    for _ in range(20):
        x = torch.randn(160, 144)
        for step in steps:
            step(x=x)
    for name in ("0", "1"):
        eager, native = (step.tensors[name] for step in steps)
        torch.testing.assert_close(eager, native, rtol=0, atol=1e-6)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
