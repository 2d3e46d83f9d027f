"""How long the workers' sum takes, by size; started by `python -m benchmarks.scaling` as several workers.

Takes the seconds that a size is measured for. Prints one JSON line: for each size, the mean seconds of a
sum and the bytes that the first host sent for it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from helpers.parallel.workers import Workers

SIZES = (250, 2_500, 10_000, 25_000, 60_000)  # float32 numbers: 1 kB to 240 kB
SENT = Path("/sys/class/net/cable/statistics/tx_bytes")


def main(patience: float) -> int:
    """Measure every size: one sum right after another."""
    workers = Workers.connect()
    results = []
    for size in SIZES:
        array = np.zeros(size, dtype=np.float32)
        seconds = timed(workers, array, 20)
        count = np.array([max(20, min(2000, int(patience / seconds)))])
        workers.max_(count)
        before = sent()
        seconds = timed(workers, array, int(count[0]))
        bytes_sent = (sent() - before) / int(count[0])
        results.append({"bytes": array.nbytes, "seconds": seconds, "sent": bytes_sent})
    if workers.is_root:
        print("RESULT " + json.dumps(results))
    return 0


def timed(workers: Workers, array: np.ndarray, count: int) -> float:
    """Seconds of one of `count` sums, the same on every worker."""
    workers.barrier()
    started = time.perf_counter()
    for _ in range(count):
        workers.sum_(array)
    seconds = np.array([time.perf_counter() - started])
    workers.max_(seconds)
    return float(seconds[0]) / count


def sent() -> int:
    """Bytes that this emulated host has sent; 0 where there is no cable."""
    return int(SENT.read_text()) if SENT.exists() else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
