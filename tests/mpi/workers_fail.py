"""Run under mpiexec: workers that fail in many ways, while the others wait in a collective.

usage: workers_fail.py FOLDER MODE
"""

import sys
import threading
import time
from pathlib import Path

import numpy as np

from helpers.crash import install_crash_handler
from helpers.errors import CheckpointError, ConfigurationError
from helpers.workers import Workers


def fail() -> None:
    raise ZeroDivisionError("no luck")


def main() -> None:
    folder, mode = Path(sys.argv[1]), sys.argv[2]
    install_crash_handler(Workers.solo(), None)
    workers = Workers.connect()
    install_crash_handler(workers, folder)
    workers.barrier()
    if mode == "bug on rank 1" and workers.rank == 1:
        fail()
    if mode == "bug on all":
        fail()
    if mode == "user error on rank 1" and workers.rank == 1:
        raise ConfigurationError("The flag is wrong.", "Mend the flag.")
    if mode == "user error on all":
        time.sleep(0.2 * (workers.size - workers.rank))  # the root comes last
        raise ConfigurationError("The flag is wrong.", "Mend the flag.")
    if mode == "user error on all but the root" and workers.rank:
        raise ConfigurationError("The flag is wrong.", "Mend the flag.")
    if mode == "different errors":
        if workers.rank == 1:
            raise CheckpointError("The file is wrong.", "Mend the file.")
        raise ConfigurationError("The flag is wrong.", "Mend the flag.")
    if mode == "interrupted":
        raise KeyboardInterrupt
    if mode in {"thread on rank 1", "daemon thread"} and workers.rank == 1:
        thread = threading.Thread(target=fail, daemon=mode == "daemon thread")
        thread.start()
        thread.join()
    workers.sum_(np.zeros(1))
    if mode != "daemon thread":
        time.sleep(60)
    print("went on", flush=True)


if __name__ == "__main__":
    main()
