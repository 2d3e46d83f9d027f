"""How long `reporter.py list` takes for 2,000 run folders of 50 files each.

python -m benchmarks.reports.listing [--folder DIR]
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.reports.stage import make_run, returns_of

RUNS, FILES, ROWS, REPEATS = 2000, 50, 500, 5
QUESTIONS = ((), ("--where", "state=done", "p_lr<1e-3"), ("--json",))


def make(runs: Path) -> None:
    """The run folders: copies of ten runs that were made; a checkpoint has five files."""
    for number in range(10):
        folder = make_run(
            runs,
            f"group.ppo.CartPole-v1.seed{number:02d}",
            returns_of(300, number, ROWS // 10),
            rows=ROWS,
        )
        there = sum(1 for path in folder.rglob("*") if path.is_file())
        for place in range(FILES - there):
            path = (
                folder / "checkpoints" / f"iter_{100 * (place // 5 + 1):06d}" / f"file_{place % 5}"
            )
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"0" * 20_000)
    for number in range(10, RUNS):
        name = f"group{number // 10:03d}.ppo.CartPole-v1.seed{number % 10:02d}"
        shutil.copytree(
            runs / f"group.ppo.CartPole-v1.seed{number % 10:02d}",
            runs / f"swarm{number // 100:02d}" / name,
            symlinks=True,
        )


def main() -> None:
    """Make them, list them, and say how long that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--folder",
        type=Path,
        help="where they lie; they stay there for the next time",
    )
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as temporary:
        runs = folder or Path(temporary)
        if not any(runs.glob("*")):
            make(runs)
        print("| list | wall-clock s | processor s | load |\n|---|---:|---:|---:|")
        for words in QUESTIONS:
            for _ in range(REPEATS):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                began = time.perf_counter()
                command = [sys.executable, "reporter.py", "list", str(runs), *words]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                seconds = time.perf_counter() - began
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                load = os.getloadavg()[0]
                print(
                    f"| {' '.join(words)} | {seconds:.2f} | {used:.2f} | {load:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
