"""Run under mpiexec: iterations until a deadline ends them; each worker says where and why.

usage: deadline_loop.py FOLDER [EXECUTION_TIME]
"""

import os
import sys
import time
from pathlib import Path

from helpers.parallel.deadline import Deadline
from helpers.parallel.workers import Workers


def main() -> None:
    folder = Path(sys.argv[1])
    workers = Workers.connect()
    deadline = Deadline(
        workers=workers,
        execution_time=float(sys.argv[2]) if len(sys.argv) > 2 else 600.0,
        stop_file=folder / "stop",
    )
    deadline.install_signal_handlers()
    (folder / f"pid_{workers.rank}.tmp").write_text(str(os.getpid()))
    (folder / f"pid_{workers.rank}.tmp").rename(folder / f"pid_{workers.rank}")
    iteration, reason = 0, None
    while reason is None:
        time.sleep(0.01 * (1 + workers.rank))
        iteration += 1
        reason = deadline.should_stop()
    time.sleep(0.8)  # what a checkpoint takes: a launcher that kills would kill now
    print(f"{iteration} {reason}\n", end="", flush=True)
    sys.exit(75)


if __name__ == "__main__":
    main()
