"""Matrix products of a minibatch by all routines that are here: GFLOP/s of one core, docs/results/linear-KIND.md.

    .venv/bin/python -m benchmarks.kernels.linear                        this processor
    .venv/bin/python -m benchmarks.kernels.linear --march x86-64-v3      held to AVX2

Of the layers of SAC, TD3, CrossQ, SAM and of discriminators, forward and both gradients: by a kernel of ours, while
there is one (agents/compute/linear.py), by oneDNN, by MKL. Processor time on one thread, the least of interleaved
takes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.kernels.products import MKL, ONEDNN, OURS, layer_seconds
from benchmarks.speed.machine import MARCH_HELP, hold, machine, machine_line
from benchmarks.speed.program import RESULTS, write_index
from helpers.durable import write_atomically
from helpers.errors import ConfigurationError

Size = tuple[int, int, int]  # rows, inputs, outputs
LAYERS: dict[Size, str] = {  # on HalfCheetah-v5: 17 numbers of an observation, 6 of an action
    (256, 17, 256): "SAC, TD3, CrossQ: policy",
    (256, 23, 256): "SAC, TD3: critics",
    (256, 256, 256): "SAC, TD3, CrossQ",
    (256, 256, 12): "SAC, CrossQ: policy",
    (256, 256, 6): "TD3: policy",
    (256, 256, 1): "SAC, TD3: critics",
    (512, 23, 512): "CrossQ: critics",
    (512, 512, 512): "CrossQ: critics",
    (512, 512, 1): "CrossQ: critics",
    (128, 17, 256): "SAM: policy",
    (128, 23, 256): "SAM: critics",
    (128, 256, 256): "SAM",
    (128, 256, 12): "SAM: policy",
    (128, 256, 1): "SAM: critics",
    (513, 15, 64): "GAIL's discriminator, on Hopper-v5",
    (513, 24, 64): "SAM's discriminator",
    (513, 64, 64): "discriminators",
    (513, 64, 1): "discriminators",
    (1, 256, 256): "acting",
}
WAYS = ("forward", "by input", "by weights")


def main(argv: Sequence[str] | None = None) -> int:
    """0: written; 2: this processor has no such level."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--folder", type=Path, default=RESULTS)
    parser.add_argument("--march", metavar="LEVEL", help=MARCH_HELP)
    options = parser.parse_args(argv)
    try:
        hold(options.march)
    except ConfigurationError as error:
        print(f"{error.problem}\n  {error.remedy}", file=sys.stderr)
        return 2
    here = machine("1")
    path = options.folder / f"linear-{here['kind']}.md"
    rates = {}
    for size in LAYERS:
        rates[size] = gigaflops(size)
        print(f"{size}: {rates[size]}", flush=True)
    write_atomically(path, page(rates, machine_line(here), here["kind"]))
    print(f"wrote {path}")
    write_index(options.folder)
    return 0


def gigaflops(size: Size) -> dict[tuple[str, str], float]:
    """By route and way; a multiplication and an addition are two."""
    operations = 2e-9 * size[0] * size[1] * size[2]
    return {name: operations / seconds for name, seconds in layer_seconds(*size).items()}


def page(rates: dict[Size, dict[tuple[str, str], float]], where: str, kind: str) -> str:
    """Markdown; no column of a route that is not there."""
    there = {route for row in rates.values() for route, _ in row}
    columns = [(route, way) for route in (OURS, ONEDNN, MKL) if route in there for way in WAYS]
    ours = "`ours` is `agents/compute/kernels/linear.c`; " if OURS in there else ""
    lines = [
        f"# Matrix products of a minibatch: {kind}",
        "",
        "Made by `python -m benchmarks.kernels.linear`: GFLOP/s of one core by processor time, calls from Python "
        f"included (some 2 to 5 us each). {ours}`oneDNN` is `torch.ops.mkldnn._linear_pointwise`, `MKL` torch's "
        "own `linear` and `mm`. Forward is y = x W^T + b; the gradients by its input and by its weights are products "
        "alone.",
        "",
        "| rows x inputs x outputs | of | " + " | ".join(" ".join(each) for each in columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    for size, row in rates.items():
        cells = " | ".join(f"{row[column]:.0f}" for column in columns)
        lines.append(f"| {' x '.join(map(str, size))} | {LAYERS[size]} | {cells} |")
    return "\n".join([*lines, "", f"{where}."]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
