"""Run under mpiexec: workers that fail in many ways, while the others wait in a collective.

usage: workers_fail.py FOLDER MODE
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from helpers.errors import CheckpointError, ConfigurationError
from helpers.parallel.crash import install_crash_handler
from helpers.parallel.workers import Workers


def fail() -> None:
    raise ZeroDivisionError("no luck")


def fail_as_asked(mode: str, workers: Workers) -> None:
    wrong_flag = ConfigurationError("The flag is wrong.", "Mend the flag.")
    on_rank_1 = workers.rank == 1
    if mode == "interrupted":
        raise KeyboardInterrupt
    if mode == "segmentation fault on rank 1" and on_rank_1:
        os.kill(os.getpid(), signal.SIGSEGV)
    if mode == "bug on all" or (mode == "bug on rank 1" and on_rank_1):
        fail()
    if mode == "different errors" and on_rank_1:
        raise CheckpointError("The file is wrong.", "Mend the file.")
    if mode == "user error on all":
        time.sleep(0.15 * (workers.size - workers.rank))  # the root comes last
    if mode in {"user error on all", "different errors"}:
        raise wrong_flag
    if mode == "user error on all but the root" and workers.rank:
        raise wrong_flag
    if mode == "user error on rank 1" and on_rank_1:
        raise wrong_flag
    if mode in {"thread on rank 1", "daemon thread"} and on_rank_1:
        thread = threading.Thread(target=fail, daemon=mode == "daemon thread")
        thread.start()
        thread.join()


def main() -> None:
    folder, mode = Path(sys.argv[1]), sys.argv[2]
    install_crash_handler(Workers.solo(), None)
    workers = Workers.connect()
    install_crash_handler(workers, folder)
    workers.barrier()
    fail_as_asked(mode, workers)
    workers.sum_(np.zeros(1))
    if mode != "daemon thread":
        time.sleep(60)
    print("went on", flush=True)


if __name__ == "__main__":
    main()
