"""What tracking in MLflow costs a training: environment steps a second with and without it, in turn.

    python -m benchmarks.tracker_cost [--rounds 5] [--steps 400000] [--workers 2]

A real server on this machine (which takes its share of the processor, unlike one elsewhere) is started for the runs of
Hopper-v5; the rows of MLflow are compared with metrics.jsonl. Speeds are those that runs log, from their twentieth
second on: starting the client takes some seconds of a processor, once.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from helpers.machine.processor import cpu_model, instruction_set
from helpers.parallel.launch import mpiexec
from helpers.trackers.jsonl import is_number, read_metrics
from tests.registry.servers import MlflowServer

START_SECONDS = 20.0
ROOT = Path(__file__).resolve().parents[1]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracker_cost", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=400_000)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args(argv)
    ratios = []
    with tempfile.TemporaryDirectory() as folder, MlflowServer(Path(folder) / "server") as server:
        for index in range(arguments.rounds):
            speeds = {}
            order = (False, True) if index % 2 else (True, False)
            for tracked in order:
                run = Path(folder) / f"run{index}{tracked}.seed0"
                train(run, arguments, server.uri if tracked else None)
                speeds[tracked] = speed(run)
                if tracked:
                    compare(run, server.uri)
            ratios.append(speeds[True] / speeds[False])
            print(
                f"{speeds[True]:,.0f} with, {speeds[False]:,.0f} without: {ratios[-1]:.4f}",
                flush=True,
            )
    print(
        f"{cpu_model()}, {instruction_set()}: median ratio {statistics.median(ratios):.4f} "
        f"({min(ratios):.4f} to {max(ratios):.4f}); rows of MLflow equal those of metrics.jsonl",
    )
    return 0


def train(run: Path, arguments: argparse.Namespace, uri: str | None) -> None:
    """One run, tracked where an address is given."""
    command = [str(mpiexec()), "-n", str(arguments.workers), sys.executable, "main.py"]
    command += ["--config=tasks/train_mujoco_ppo.yaml", "--env_id=Hopper-v5", "--progress=none"]
    command += [
        f"--num_timesteps={arguments.steps}",
        f"--uuid={run.name}",
        f"--runs_dir={run.parent}",
    ]
    command += ["--eval_frequency=0", *(["--mlflow"] if uri else [])]
    given = os.environ | {"OMP_NUM_THREADS": "1"} | ({"MLFLOW_TRACKING_URI": uri} if uri else {})
    subprocess.run(command, cwd=ROOT, env=given, check=True, stdout=subprocess.DEVNULL)


def speed(run: Path) -> float:
    """Environment steps a second, from the twentieth second on."""
    rows = read_metrics(run / "metrics.jsonl")
    first = next(row for row in rows if row["time/elapsed"] >= START_SECONDS)
    last = rows[-1]
    took = float(last["time/elapsed"] - first["time/elapsed"])
    return float(last["step"] - first["step"]) / took


def compare(run: Path, uri: str) -> None:
    """Stop where MLflow has other rows than metrics.jsonl."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    run_id = json.loads((run / "mlflow" / "run.json").read_text())["run_id"]
    rows = read_metrics(run / "metrics.jsonl")
    for name in client.get_run(run_id).data.metrics:
        found = [(each.step, each.value) for each in client.get_metric_history(run_id, name)]
        wanted = [(row["step"], float(row[name])) for row in rows if is_number(row.get(name))]
        if found != wanted:
            raise SystemExit(
                f"{name}: {len(found)} values in MLflow, {len(wanted)} in metrics.jsonl",
            )


if __name__ == "__main__":
    sys.exit(main())
