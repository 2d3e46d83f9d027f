"""What tracking in MLflow costs a training: environment steps a second with and without it, in turn.

    python -m benchmarks.tracker_cost [--rounds 5] [--steps 1200000] [--workers 2]

A real server is started for the runs of Hopper-v5, at the lowest priority: it stands for one elsewhere, and a machine
with two cores has none for it beside the workers (--server_priority=0 lets it compete with them). The rows of MLflow
are compared with metrics.jsonl. Speeds are those that runs log, from their thirtieth second on, when the client has
started. A hundredth is less than the noise of speeds: the processor time of the tracker's process is measured, too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from helpers.machine.processor import cpu_model, instruction_set
from helpers.parallel.launch import mpiexec
from helpers.trackers.jsonl import is_number, read_metrics
from tests.registry.servers import MlflowServer

START_SECONDS = 30.0
ROOT = Path(__file__).resolve().parents[1]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracker_cost", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1_200_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--server_priority", type=int, default=19, help="niceness")
    arguments = parser.parse_args(argv)
    ratios, shares = [], []
    with tempfile.TemporaryDirectory() as folder, MlflowServer(Path(folder) / "server") as server:
        if server.process is not None:
            os.setpriority(os.PRIO_PGRP, server.process.pid, arguments.server_priority)
        for index in range(arguments.rounds):
            speeds = {}
            order = (False, True) if index % 2 else (True, False)
            for tracked in order:
                run = Path(folder) / f"run{index}{tracked}.seed0"
                taken = train(run, arguments, server if tracked else None)
                speeds[tracked] = speed(run)
                if tracked:
                    shares.append(taken / arguments.workers)
                    compare(run, server.uri)
            ratios.append(speeds[True] / speeds[False])
            print(
                f"{speeds[True]:,.0f} with, {speeds[False]:,.0f} without: {ratios[-1]:.4f}; "
                f"the tracker took {shares[-1]:.2%} of the workers' processor time",
                flush=True,
            )
    print(
        f"{cpu_model()}, {instruction_set()}: median ratio {statistics.median(ratios):.4f} "
        f"({min(ratios):.4f} to {max(ratios):.4f}), "
        f"median share {statistics.median(shares):.2%} ({min(shares):.2%} to {max(shares):.2%}); "
        "rows of MLflow equal those of metrics.jsonl",
    )
    return 0


def train(run: Path, arguments: argparse.Namespace, server: MlflowServer | None) -> float:
    """One run, tracked where there is a server; cores that the tracker held from the thirtieth second on."""
    command = [str(mpiexec()), "-n", str(arguments.workers), sys.executable, "main.py"]
    command += ["--config=tasks/train_mujoco_ppo.yaml", "--env_id=Hopper-v5", "--progress=none"]
    command += [
        f"--num_timesteps={arguments.steps}",
        f"--uuid={run.name}",
        f"--runs_dir={run.parent}",
    ]
    command += ["--eval_frequency=0", *(["--mlflow"] if server else [])]
    given = os.environ | {"OMP_NUM_THREADS": "1"}
    if server is not None:
        given["MLFLOW_TRACKING_URI"] = server.uri
    with subprocess.Popen(command, cwd=ROOT, env=given, stdout=subprocess.DEVNULL) as process:
        begin = end = None
        started = time.monotonic()
        while process.poll() is None:
            time.sleep(0.5)
            now = time.monotonic()
            is_training = not (run / "learning_curve.png").exists()
            if server is not None and now - started > START_SECONDS and is_training:
                end = now, tracking_seconds()
                begin = begin or end
    if process.returncode:
        raise SystemExit(f"the run ended with status {process.returncode}")
    if begin is None or end is None or end == begin:
        return 0.0
    return (end[1] - begin[1]) / (end[0] - begin[0])


def tracking_seconds() -> float:
    """Processor time of the tracker's process, so far."""
    ticks = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if b"helpers.trackers.mlflow" in (folder / "cmdline").read_bytes():
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def speed(run: Path) -> float:
    """Environment steps a second, from the thirtieth second on."""
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
