"""One gradient step, native beside eager torch (`--no-compile`): processor time on one core, and share of its peak.

    .venv/bin/python -m benchmarks.kernels.native                     writes docs/results/speed_native-KIND.{json,md}
    .venv/bin/python -m benchmarks.kernels.native --march x86-64-v3   held to AVX2

Both in one process, in turn, on the same samples; the least and the median of the takes. Native is never to be the
slower one. The peak is measured, not from a data sheet: independent multiply-adds in the widest vectors (peak.c). On
HalfCheetah-v5's sizes, networks as configured by default, minibatches as in docs/speed.md.
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.machine import MARCH_HELP, hold
from benchmarks.speed.program import (
    QUICK_RESULTS,
    RESULTS,
    chosen,
    refuse,
    write_index,
)
from benchmarks.speed.report import measured_on
from benchmarks.speed.rows import OtherRowsError, Row, Rows, Watch, identity
from helpers.durable import write_atomically
from helpers.errors import ConfigurationError

NATIVE, TORCH, MKL = "native", "torch", "native but for torch's products"
SOURCES = (  # that figures depend on beside those of all programs
    "benchmarks/kernels/native.py",
    "benchmarks/kernels/native_steps.py",
    "benchmarks/kernels/peak.c",
)
TAKES, TAKE_SECONDS = 15, 0.05
ROUNDS_OF_PEAK = 500_000
STEPS = 6  # of one call at least: the policies of TD3 and CrossQ come every second and third


@dataclass(frozen=True)
class Step:
    """A gradient step.

    Attributes:
        kind: of `native_steps.make`.
        algo: whose.
        batch_size: samples of the minibatch; of a discriminator, of each side.
        says: what is in it, for the reader.
    """

    name: str
    kind: str
    algo: str
    batch_size: int
    says: str


STEPS_MEASURED = (
    Step("PPO", "ppo", "ppo", 64, "two nets of two tanh layers of 64: loss, clipping, Adam"),
    Step("SAC", "replay", "sac", 256, "critics, policy, temperature, slow critics"),
    Step("TD3", "replay", "td3", 256, "critics, and every second time policy and slow networks"),
    Step(
        "CrossQ",
        "replay",
        "crossq",
        256,
        "critics of 512, and every third time policy, temperature",
    ),
    Step("SAM", "imitation", "sam", 128, "its discriminator's, the rewards of a minibatch, SAC's"),
    Step("GAIL's discriminator", "discriminator", "gail", 256, "gradient penalty, Adam"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """0: native is nowhere slower, or it was a quick run; 1: it is; 2: it cannot measure."""
    options = parse(argv)
    works = [each for each in STEPS_MEASURED if chosen(each.name, options.works)]
    if not works:
        names = "; ".join(each.name for each in STEPS_MEASURED)
        return refuse("the filter leaves nothing to measure", f"names: {names}")
    try:
        hold(options.march)
    except ConfigurationError as error:
        return refuse(error.problem, error.remedy)
    kept = identity(
        {each.name: asdict(each) for each in STEPS_MEASURED},
        [],
        SOURCES,
    )
    folder = options.folder or (QUICK_RESULTS if options.quick else RESULTS)
    path = folder / f"speed_native-{kept['machine']['kind']}.json"
    try:
        rows = Rows(path, kept, fresh=options.fresh or options.quick)
    except OtherRowsError as error:
        what = f"{path} holds rows of something else: {error} differ"
        return refuse(what, "--fresh forgets them, --folder=... leaves them alone")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    takes = 3 if options.quick else TAKES
    for work in works:
        if rows.has(0, work.name, TORCH):
            continue
        load, watch = os.getloadavg()[0], Watch()
        found = compare(work, takes)
        told = {"seconds": watch.seconds(), "load": load, "others": watch.others()}
        for contestant, figures in found.items():
            place = {"round": 0, "work": work.name, "contestant": contestant}
            rows.add(place | figures | told)
        print(f"{work.name}: {found}", flush=True)
    write_atomically(path.with_suffix(".md"), page(rows.rows, rows.identity))
    print(f"wrote {path.with_suffix('.md')}")
    write_index(folder)
    return 0 if options.quick else int(any(ratio < 1.0 for ratio in ratios(rows.rows).values()))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--works", nargs="+", metavar="TEXT", help="steps whose name holds one")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--quick", action="store_true", help="three takes, into build/speed/")
    parser.add_argument("--folder", type=Path, help="where results go (default docs/results)")
    parser.add_argument("--march", metavar="LEVEL", help=MARCH_HELP)
    return parser.parse_args(argv)


def compare(step: Step, takes: int) -> dict[str, dict[str, float]]:
    """Microseconds of one step, native and in torch; of PPO also its arithmetic, and the core's peak beside it.

    Raises:
        SystemExit: there is no native code of it here.
    """
    import torch

    from benchmarks.kernels import native_steps

    torch.set_num_threads(1)
    with Warnings() as warnings:
        native = native_steps.make(step.kind, step.algo, step.batch_size, compile_=True)
        native(STEPS)
    if warnings.said:
        raise SystemExit(f"{step.name} is not native here\n  {warnings.said[0]}")
    ways = {
        NATIVE: native,
        TORCH: native_steps.make(step.kind, step.algo, step.batch_size, compile_=False),
    }
    if step.kind == "ppo":
        return interleaved(ways, takes, native_steps.operations(step.batch_size))
    with without_own_products():
        ways[MKL] = native_steps.make(step.kind, step.algo, step.batch_size, compile_=True)
        ways[MKL](STEPS)
    return interleaved(ways, takes)


@contextmanager
def without_own_products() -> Iterator[None]:
    """What is compiled within takes torch's matrix products, MKL's."""
    from agents.compute import linear

    kernel = linear.kernel
    linear.kernel = lambda: None  # type: ignore[assignment]
    try:
        yield
    finally:
        linear.kernel = kernel


def interleaved(
    ways: Mapping[str, Callable[[int], None]],
    takes: int,
    operations: float | None = None,
) -> dict[str, dict[str, float]]:
    """Of each way, a function of a number of steps: the least and the median processor time of one, in microseconds.

    Args:
        operations: floating-point ones of a step; then also GFLOP/s and the core's peak, measured in turn with it.
    """
    counts = {}
    for name, take in ways.items():
        take(STEPS)
        counts[name] = STEPS * max(1, round(TAKE_SECONDS / max(1e-9, _seconds(take, STEPS))))
    times: dict[str, list[float]] = {name: [] for name in ways}
    peak = 0.0
    for _ in range(takes):
        for name, take in ways.items():
            times[name].append(_seconds(take, counts[name]) / counts[name])
        if operations is not None:
            peak = max(peak, peak_rate())
    found = {}
    for name, each in times.items():
        found[name] = {"least_us": 1e6 * min(each), "median_us": 1e6 * statistics.median(each)}
        if operations is not None:
            found[name] |= {"gflops": 1e-9 * operations / min(each), "peak_gflops": 1e-9 * peak}
    return found


def _seconds(take: Callable[[int], None], count: int) -> float:
    started = time.process_time()
    take(count)
    return time.process_time() - started


def peak_rate() -> float:
    """Floating-point operations per second of one core in the widest vectors of the level.

    Raises:
        SystemExit: there is no C compiler.
    """
    from helpers.machine.native import aligned_empty, build

    library = build("benchmarks/kernels/peak.c")
    if library is None:
        raise SystemExit("the peak takes a C compiler\n  install gcc")
    library.multiply_and_add.argtypes = [ctypes.c_int64, ctypes.c_void_p]
    library.multiply_and_add.restype = ctypes.c_double
    result = aligned_empty(16)
    result[:] = 0.0
    started = time.process_time()
    operations: float = library.multiply_and_add(ROUNDS_OF_PEAK, result.ctypes.data)
    return operations / (time.process_time() - started)


class Warnings(logging.Handler):
    """What is warned of meanwhile: native code that could not be built is one."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.said.append(record.getMessage())

    def __enter__(self) -> Warnings:
        for name in ("agents", "helpers"):
            logging.getLogger(name).addHandler(self)
        return self

    def __exit__(self, *unused: object) -> None:
        for name in ("agents", "helpers"):
            logging.getLogger(name).removeHandler(self)


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """How many times faster native is, of the least times, by step."""
    least = {(row["work"], row["contestant"]): row["least_us"] for row in rows}
    works = [each.name for each in STEPS_MEASURED]
    return {
        work: least[work, TORCH] / least[work, NATIVE] for work in works if (work, TORCH) in least
    }


def share_of_peak(rows: Sequence[Row]) -> float | None:
    """Of PPO's native step; None where it was not measured."""
    for row in rows:
        if row["contestant"] == NATIVE and "gflops" in row:
            return float(row["gflops"] / row["peak_gflops"])
    return None


def page(rows: Sequence[Row], identity: Mapping[str, Any]) -> str:
    """Markdown."""
    lines = [
        f"# Gradient steps, native beside torch: {identity['machine']['kind']}",
        "",
        "Made by `python -m benchmarks.kernels.native`: processor time of one gradient step on one core, microseconds, "
        "the least of interleaved takes (their median); torch is eager, `--no-compile`, in the same process. Bar: "
        "native is nowhere slower. The last figure is native code whose matrix products are torch's (MKL) in place "
        "of agents/compute/kernels/linear.c. All kinds: [speed.md](speed.md).",
        "",
        "| step | minibatch | native, us | torch, us | torch over native | | with torch's products | what is in it |",
        "|---|---|---|---|---|---|---|---|",
    ]
    by = {(row["work"], row["contestant"]): row for row in rows}
    steps = {each.name: each for each in STEPS_MEASURED}
    for name, ratio in ratios(rows).items():
        cells = [
            f"{by[name, way]['least_us']:,.1f} ({by[name, way]['median_us']:,.1f})"
            for way in (NATIVE, TORCH)
        ]
        verdict = "met" if ratio >= 1.0 else "missed"
        step, other = steps[name], by.get((name, MKL))
        slower = f"{other['least_us'] / by[name, NATIVE]['least_us']:.2f} x" if other else ""
        cells += [f"{ratio:.2f}", verdict, slower, step.says]
        lines.append(f"| {name} | {step.batch_size} | {' | '.join(cells)} |")
    for name, way in by:
        if way == NATIVE and "gflops" in by[name, way]:
            mine, theirs = by[name, NATIVE], by[name, TORCH]
            lines += [
                "",
                f"Counting the matrix products of {name}'s step alone, forward and backward: native "
                f"{mine['gflops']:.1f} GFLOP/s, {mine['gflops'] / mine['peak_gflops']:.2f} of this core's peak of "
                f"{mine['peak_gflops']:.0f}; torch {theirs['gflops']:.1f}.",
            ]
    lines += ["", "## Measured on", "", *measured_on(rows, identity)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
