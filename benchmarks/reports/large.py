"""How long a report of 500 runs takes: 5 tasks x 10 groups x 10 seeds, 1,000 rows of 900 bytes each.

python -m benchmarks.reports.large
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.reports.stage import make_run, returns_of

TASKS = ("CartPole-v1", "HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5")
GROUPS, SEEDS, ROWS = 10, 10, 1000
KINDS = {
    "eval/return_mean": 100,
    "rollout/return_mean": ROWS,
}  # returns a run: evaluations are fewer
_FILLER = {f"policy/metric_{i}": 0.123456789012345 * i for i in range(22)}


def make(runs: Path, key: str, returns: int) -> None:
    """The run folders."""
    for place, task in enumerate(TASKS):
        for group in range(GROUPS):
            for seed in range(SEEDS):
                folder = make_run(
                    runs,
                    f"group{group}.{task}.seed{seed:02d}",
                    returns_of(300 + 20 * group, seed + place, returns),
                    key=key,
                    settings={"env_id": task, "p_lr": round(1e-4 * (group + 1), 6)},
                    rows=ROWS,
                )
                path = folder / "metrics.jsonl"
                rows = [json.loads(line) | _FILLER for line in path.read_text().splitlines()]
                path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def main() -> None:
    """Make them, report them, and say how long that took."""
    print("| returns | wall-clock s | processor s | MiB | load |\n|---|---:|---:|---:|---:|")
    for key, returns in KINDS.items():
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            make(root / "runs", key, returns)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            began = time.perf_counter()
            command = [
                sys.executable,
                "reporter.py",
                "--data_root",
                folder,
                "report",
                str(root / "runs"),
            ]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds = time.perf_counter() - began
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            load = os.getloadavg()[0]
            print(
                f"| {key} | {seconds:.1f} | {used:.1f} | {after.ru_maxrss / 1024:.0f} | {load:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
