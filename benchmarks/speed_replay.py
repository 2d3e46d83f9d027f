"""SAC and TD3 beside the peers: environment steps a second with one update a step, interleaved, medians.

    benchmarks/peers/setup.sh                     installs the peers, once
    .venv/bin/python benchmarks/speed_replay.py   measures, and writes docs/results/speed_replay.md

HalfCheetah-v5, minibatch 256, networks of two layers of 256, two critics. The floor is the time of the same matrix
products alone, one after another on each core, with nothing in between: no gradient step can be faster.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.speed_contestants import (  # noqa: E402
    PEERS,
    figures_in,
    figures_of,
    rows_of,
    said_by,
)
from helpers.durable import write_atomically  # noqa: E402

ENV_ID, BATCH, WIDTH, INPUTS, ACTIONS = "HalfCheetah-v5", 256, 256, 17, 6
Measure = Callable[[str], float]
FLOOR = "matrix products alone, both cores"


def peer(library: str, *, threads: int = 1, burst: int = 1, one_core: bool = False) -> Measure:
    """Steps per second of a peer."""

    def measure(algo: str) -> float:
        command = [
            *(["taskset", "-c", str(max(os.sched_getaffinity(0)))] if one_core else []),
            *(["env", f"OMP_NUM_THREADS={threads}", f"MKL_NUM_THREADS={threads}"]),
            str(PEERS / library / "bin" / "python"),
            "-m",
            "benchmarks.peers.replay",
            f"--library={library}",
            f"--algo={algo}",
            f"--threads={threads}",
            f"--burst={burst}",
            f"--steps={1000 if library == 'sb3' else 3000}",
        ]
        return figures_in(said_by(command))["steps_per_second"]

    return measure


def ours(workers: int, *, burst: int = 0) -> Measure:
    """Steps per second of main.py, as users start it; `burst` steps, and updates, at a time."""

    def measure(algo: str) -> float:
        rows = rows_of(
            workers,
            f"--algo={algo}",
            f"--env_id={ENV_ID}",
            "--num_timesteps=6000",
            "--warm_up=1000",
            f"--num_envs={workers}",
            f"--rollout_len={burst or workers}",
            f"--steps_per_iteration={1000 - 1000 % (burst or workers)}",
            f"--batch_size={BATCH}",
        )
        return figures_of(rows[1:])["steps_per_second"]  # the second compiles

    return measure


def products(algo: str) -> list[tuple[int, int, int]]:
    """(rows, inputs, outputs) of every matrix product of an update, forward and backward."""

    def net(inputs: int, outputs: int) -> list[tuple[int, int]]:
        return [(inputs, WIDTH), (WIDTH, WIDTH), (WIDTH, outputs)]

    def forward(layers: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
        return [(BATCH, a, b) for a, b in layers]

    def by_weights(layers: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
        return [(b, BATCH, a) for a, b in layers]

    def by_inputs(layers: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
        return [(BATCH, b, a) for a, b in layers]

    actor = net(INPUTS, 2 * ACTIONS if algo == "sac" else ACTIONS)
    critic = net(INPUTS + ACTIONS, 1)
    critics = 2 * (2 * forward(critic) + by_weights(critic) + by_inputs(critic[1:]))
    through = 2 if algo == "sac" else 1  # critics that the policy's gradient goes through
    policy = through * (forward(critic) + by_inputs(critic))
    policy += forward(actor) + by_weights(actor) + by_inputs(actor[1:])
    if algo == "td3":  # every second update
        return 2 * (critics + forward(actor)) + policy
    return critics + forward(actor) + policy


def floor(algo: str) -> float:
    """Updates per second of the products alone, by the fastest routine here, on both cores."""
    import torch

    from agents.linear import kernel

    torch.set_num_threads(1)
    assert kernel() is not None, "no C compiler"
    product = torch.ops.milozero.linear_input_gradient
    pairs = [(torch.randn(m, k), torch.randn(k, n)) for m, k, n in products(algo)]
    times = []
    for _ in range(100):
        started = time.perf_counter()
        for left, right in pairs:
            product(left, right)
        times.append(time.perf_counter() - started)
    updates = 2 if algo == "td3" else 1
    return 2 * updates / min(times)


BURST = 8
CONTESTANTS: dict[str, Measure] = {
    "Stable-Baselines3, 1 thread": peer("sb3"),
    "Stable-Baselines3, 2 threads": peer("sb3", threads=2),
    "SBX, all cores": peer("sbx", threads=2),
    f"SBX, all cores, {BURST} steps at a time": peer("sbx", threads=2, burst=BURST),
    f"SBX, one core, {BURST} steps at a time": peer("sbx", burst=BURST, one_core=True),
    "MiloZero, 1 worker": ours(1),
    "MiloZero, 2 workers": ours(2),
    f"MiloZero, 2 workers, {BURST} steps at a time": ours(2, burst=BURST),
    FLOOR: floor,
}


def main() -> int:
    """1 where ours is less than 1.8 times the fastest peer."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "results")
    options = parser.parse_args()
    lines = [
        "# Speed of the learners that replay",
        "",
        f"Made by `python benchmarks/speed_replay.py --rounds {options.rounds}`: environment steps per second, "
        f"{ENV_ID}, minibatch {BATCH}, one update a step, interleaved, median (lowest to highest). "
        "Quote the ratios: machines differ. CleanRL is not among the peers: its code is on GitHub alone, which "
        "the machine that made this table does not reach.",
    ]
    missed = False
    for algo in ("sac", "td3"):
        figures: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
        for i in range(options.rounds):
            for name, measure in CONTESTANTS.items():
                figures[name].append(measure(algo))
                load = os.getloadavg()[0]
                print(f"{algo} {i} {name}: {figures[name][-1]:,.0f} (load {load:.1f})", flush=True)
        medians = {name: statistics.median(values) for name, values in figures.items()}
        peers = [name for name in medians if not name.startswith(("MiloZero", "matrix"))]
        best = max(peers, key=lambda name: medians[name])
        lines += [
            "",
            f"## {algo.upper()}",
            "",
            "| | steps/s | of the fastest peer |",
            "|---|---|---|",
        ]
        for name, values in figures.items():
            ratios = [a / b for a, b in zip(values, figures[best], strict=True)]
            low, high = min(values), max(values)
            lines.append(
                f"| {name} | {medians[name]:,.0f} ({low:,.0f} to {high:,.0f}) | "
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |",
            )
        fastest = max(medians[name] for name in medians if name.startswith("MiloZero"))
        share = fastest / medians[FLOOR]
        ratio = fastest / medians[best]
        lines += [
            "",
            f"MiloZero is {ratio:.2f} times the fastest peer (bar 1.8), {share:.2f} of the floor.",
        ]
        missed |= ratio < 1.8
    path = options.folder / "speed_replay.md"
    write_atomically(path, "\n".join(lines) + "\n")
    print(f"wrote {path}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
