"""Matrix products of a minibatch, by three routes: GFLOP/s on one core, and writes docs/results/linear.md.

.venv/bin/python benchmarks/linear.py

A forward pass y = x W^T + b with a ReLU, and its two gradients, by kernels/linear.c; the same product by oneDNN; by
torch's own linear layer, which is MKL where torch comes with it. Interleaved, the best of 30 rounds each.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch.nn import functional  # noqa: E402

from agents.linear import kernel  # noqa: E402
from helpers.durable import write_atomically  # noqa: E402

SIZES = (
    (256, 256, 256),
    (128, 256, 256),
    (256, 23, 256),
    (256, 256, 12),
    (256, 256, 1),
    (512, 512, 512),
    (1, 256, 256),
)
COLUMNS = ("forward", "by input", "by weights", "oneDNN", "torch")
CALLS, ROUNDS = 50, 30


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "results")
    options = parser.parse_args()
    torch.set_num_threads(1)
    assert kernel() is not None, "no C compiler"
    lines = [
        "# Matrix products of a minibatch",
        "",
        "Made by `python benchmarks/linear.py`: GFLOP/s of one core, calls from Python included (some 5 us each). "
        "`forward`, `by input` and `by weights` are `agents/kernels/linear.c`: a layer with a ReLU, its gradients.",
        "",
        "| rows x inputs x outputs | " + " | ".join(COLUMNS) + " |",
        "|---|" + "---|" * len(COLUMNS),
    ]
    for size in SIZES:
        operations = 2e-9 * size[0] * size[1] * size[2]
        best = fastest(*size)
        cells = " | ".join(f"{operations / best[name]:.0f}" for name in COLUMNS)
        lines.append(f"| {' x '.join(map(str, size))} | {cells} |")
        print(lines[-1], flush=True)
    path = options.folder / "linear.md"
    write_atomically(path, "\n".join(lines) + "\n")
    print(f"wrote {path}")


def fastest(rows: int, inputs: int, outputs: int) -> dict[str, float]:
    """Seconds a call, by column."""
    x, weight = torch.randn(rows, inputs), torch.randn(outputs, inputs)
    bias, gradient = torch.randn(outputs), torch.randn(rows, outputs)
    ours = torch.ops.milozero
    calls: dict[str, Callable[[], object]] = {
        "forward": lambda: ours.linear(x, weight, bias, 1),
        "by input": lambda: ours.linear_input_gradient(gradient, weight),
        "by weights": lambda: ours.linear_weight_gradient(gradient, x),
        "oneDNN": lambda: torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], ""),
        "torch": lambda: functional.linear(x, weight, bias),
    }
    best = dict.fromkeys(calls, float("inf"))
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for name, call in calls.items():
                started = time.perf_counter()
                for _ in range(CALLS):
                    call()
                best[name] = min(best[name], (time.perf_counter() - started) / CALLS)
    return best


if __name__ == "__main__":
    main()
