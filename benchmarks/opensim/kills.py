"""OpenSim runs that are killed at random and go on, against one that nobody disturbed: sha256 by sha256.

python -m benchmarks.opensim.kills --kills 20        half of them with one worker, half with two
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.resume_cases import check_interrupted_run


def main(argv: Sequence[str] | None = None) -> int:
    """The command; an AssertionError says what differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--env_id", default="Opensim-Arm-Reach-v0")
    parser.add_argument("--processes", type=int, default=0)
    arguments = parser.parse_args(argv)
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            for kill in range(arguments.kills // 2):
                how = "kill one" if workers > 1 and kill % 2 else "kill all"
                others = {"env_processes": arguments.processes, "optim_epochs_per_iter": 1}
                rows = check_interrupted_run(
                    Path(folder),
                    arguments.env_id,
                    workers,
                    how,
                    seed=kill,
                    **others,
                )
                print(
                    f"{arguments.env_id}, {workers} workers, {how} after {rows} iterations: equal",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
