"""Run under mpiexec: sums through shared memory are those of MPI, the same bits on every worker."""

import numpy as np

from helpers.parallel.crash import install_crash_handler
from helpers.parallel.workers import Workers

workers = Workers.connect()
install_crash_handler(workers, None)
assert workers.exchange is not None
rng = np.random.default_rng(workers.rank)
sizes = [1, 2, 7, 10_000, 3, 60_001, 60_001, 5]  # beyond the first slots' room, and back
for size in sizes * 3:
    for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-13)):
        ours = rng.normal(size=size).astype(dtype)
        theirs = ours.copy()
        workers.sum_(ours)
        workers._reduce_(theirs, "SUM")
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
        workers.assert_in_sync({"sums": ours})
for i in range(3_000):  # nobody overtakes: a slot written too early would show here
    number = np.array([i + workers.rank], dtype=np.float64)
    workers.sum_(number)
    assert number[0] == i * workers.size + workers.size * (workers.size - 1) / 2, i
for whole in (np.int64, np.uint8):
    ones = np.ones(5, dtype=whole)
    workers.sum_(ones)
    assert ones.tolist() == [workers.size] * 5
if workers.is_root:
    print("all held")
