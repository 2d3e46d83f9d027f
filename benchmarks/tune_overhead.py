"""What the tuner costs two concurrent trials: steps a second against the same two runs started by hand, in turn.

    python -m benchmarks.tune_overhead [--rounds 3] [--steps 300000] [--iterations_per_report 5]

Hopper-v5, PPO, one worker each. Speeds are by the clock, from a trial's first report to its last: the time between an
iteration and the next, in which Ray decides, counts.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from helpers.machine.processor import cpu_model, instruction_set
from helpers.trackers.jsonl import read_metrics
from swarm.tune.results import read_results

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {
    "algo": "ppo",
    "env_id": "Hopper-v5",
    "num_envs": 16,
    "lr_schedule": "constant",
    "eval_frequency": 0,
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tune_overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300_000)
    parser.add_argument("--iterations_per_report", type=int, default=5)
    arguments = parser.parse_args(argv)
    ratios = []
    for index in range(arguments.rounds):
        speeds = {}
        with tempfile.TemporaryDirectory() as folder:
            for tuned in (True, False) if index % 2 else (False, True):
                speeds[tuned] = run(Path(folder), arguments, tuned=tuned)
        ratios.append(speeds[True] / speeds[False])
        print(
            f"tuner {speeds[True]:,.0f}, by hand {speeds[False]:,.0f} steps/s: {ratios[-1]:.3f}",
            flush=True,
        )
    print(
        f"{cpu_model()}, {instruction_set()}: median ratio {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f})",
    )
    return 0


def run(folder: Path, arguments: argparse.Namespace, *, tuned: bool) -> float:
    """Steps a second of two runs together."""
    if tuned:
        return tune(folder, arguments.steps, arguments.iterations_per_report)
    return by_hand(folder, arguments.steps)


def tune(folder: Path, steps: int, iterations: int) -> float:
    """Two trials of the same settings; steps a second of both together."""
    task = folder / "task.yaml"
    lines = [f"{key}: {value}" for key, value in (SETTINGS | {"num_timesteps": steps}).items()]
    search = "search: {clip_ratio: {uniform: [0.1999, 0.2001]}}"
    task.write_text(
        "\n".join(
            [
                *lines,
                search,
                f"tune: {{num_samples: 2, scheduler: random, iterations_per_report: {iterations}}}",
            ],
        )
        + "\n",
    )
    command = [
        sys.executable,
        "tuner.py",
        "--config",
        str(task),
        f"--tune_dir={folder}",
        "--name=speed",
        "--progress=none",
    ]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    speeds = []
    for trial in read_results(folder / "speed"):
        first, last = trial.reports[0], trial.reports[-1]
        speeds.append((last["step"] - first["step"]) / (last["time/clock"] - first["time/clock"]))
    return sum(speeds)


def by_hand(folder: Path, steps: int) -> float:
    """The same two runs of main.py at the same time."""
    started = []
    for seed in (0, 1):
        flags = [
            f"--{key}={value}"
            for key, value in (SETTINGS | {"num_timesteps": steps, "seed": seed}).items()
        ]
        command = [
            sys.executable,
            "main.py",
            *flags,
            f"--runs_dir={folder}",
            f"--uuid=hand.seed{seed:02d}",
            "--progress=none",
        ]
        started.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL))
    speeds = []
    for seed, process in enumerate(started):
        if process.wait():
            raise SystemExit(f"the run ended with status {process.returncode}")
        rows = read_metrics(folder / f"hand.seed{seed:02d}" / "metrics.jsonl")
        first, last = rows[0], rows[-1]
        speeds.append(
            (last["step"] - first["step"]) / (last["time/elapsed"] - first["time/elapsed"]),
        )
    return sum(speeds)


if __name__ == "__main__":
    sys.exit(main())
