"""benchmarks/kernels/native.py: native is not slower than torch, and what a table of it says."""

from __future__ import annotations

import copy
import sys

import pytest

from benchmarks.kernels import linear, native, native_steps, products
from benchmarks.kernels.native import (
    MKL,
    NATIVE,
    STEPS_MEASURED,
    TORCH,
    compare,
    interleaved,
    ratios,
)
from helpers.machine.native import build
from tests.benchmarks.speed.test_speed import IDENTITY

needs_compiler = pytest.mark.skipif(
    build("benchmarks/kernels/peak.c") is None,
    reason="no C compiler",
)


@needs_compiler
def test_ppo_s_native_step_is_not_slower_than_torch() -> None:
    """Processor time, the least of interleaved takes: other programs can only add to either."""
    (step,) = [each for each in STEPS_MEASURED if each.name == "PPO"]
    found = compare(step, takes=3)
    assert found[NATIVE]["least_us"] <= found[TORCH]["least_us"]
    assert 0.0 < found[NATIVE]["gflops"] <= 1.05 * found[NATIVE]["peak_gflops"]


def test_the_arithmetic_of_ppo_s_step_by_hand() -> None:
    forward = 64 * 2 * (17 * 64 + 64 * 64 + 64 * 6) + 64 * 2 * (17 * 64 + 64 * 64 + 64 * 1)
    nothing_before_the_observations = 2 * 64 * 2 * 17 * 64
    assert native_steps.operations(64) == 3 * forward - nothing_before_the_observations


def test_takes_are_interleaved_and_the_least_counts() -> None:
    order = []

    def way(name: str, work: int) -> native.Callable[[int], None]:
        def take(count: int) -> None:
            order.append(name)
            for _ in range(count):
                sum(range(work))

        return take

    found = interleaved({NATIVE: way(NATIVE, 20_000), TORCH: way(TORCH, 200_000)}, takes=2)
    assert order[-4:] == [NATIVE, TORCH, NATIVE, TORCH]
    assert found[NATIVE]["least_us"] <= found[NATIVE]["median_us"]
    assert found[NATIVE]["least_us"] < found[TORCH]["least_us"]


def test_a_page_says_where_native_is_slower() -> None:
    def row(work: str, contestant: str, least: float) -> dict[str, object]:
        place = {"round": 0, "work": work, "contestant": contestant, "load": 1.0, "others": 0.0}
        return place | {"least_us": least, "median_us": least + 1.0}

    rows = [row("PPO", NATIVE, 20.0), row("PPO", TORCH, 500.0)]
    rows[0] |= {"gflops": 60.0, "peak_gflops": 240.0}
    rows[1] |= {"gflops": 2.4, "peak_gflops": 240.0}
    rows += [row("SAC", NATIVE, 3000.0), row("SAC", TORCH, 2400.0)]
    rows += [row("SAC", MKL, 3600.0)]
    assert ratios(rows) == {"PPO": 25.0, "SAC": 0.8}
    text = native.page(rows, copy.deepcopy(IDENTITY))
    assert "| PPO | 64 | 20.0 (21.0) | 500.0 (501.0) | 25.00 | met |  |" in text
    assert "| SAC | 256 | 3,000.0 (3,001.0) | 2,400.0 (2,401.0) | 0.80 | missed | 1.20 x |" in text
    assert "native 60.0 GFLOP/s, 0.25 of this core's peak of 240" in text


# Matrix products


def test_all_routes_compute_the_same() -> None:
    import torch

    torch.manual_seed(0)
    x, weight, bias, gradient = (torch.randn(*shape) for shape in ((9, 5), (7, 5), (7,), (9, 7)))
    for route in products.routes().values():
        close = torch.testing.assert_close
        close(route.forward(x, weight, bias), x @ weight.T + bias, rtol=1e-4, atol=1e-5)
        close(route.by_input(gradient, weight), gradient @ weight, rtol=1e-4, atol=1e-5)
        by_weights = route.by_weights(gradient, x)
        both = by_weights if isinstance(by_weights, torch.Tensor) else by_weights[0]  # type: ignore[index]
        close(both, gradient.T @ x, rtol=1e-4, atol=1e-5)


def test_without_a_kernel_of_ours_its_columns_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    size = (256, 256, 256)
    every = {(name, way): 100.0 for name in (products.OURS, products.ONEDNN) for way in linear.WAYS}
    assert "ours forward" in linear.page({size: every}, "here", "zen9-avx2")
    left = {key: rate for key, rate in every.items() if key[0] != products.OURS}
    text = linear.page({size: left}, "here", "zen9-avx2")
    assert "ours" not in text and "| oneDNN forward | oneDNN by input | oneDNN by weights |" in text
    monkeypatch.setitem(sys.modules, "agents.compute.linear", None)  # as if it were deleted
    assert not products.has_kernel()
    assert products.OURS not in products.routes()
