"""Run under mpiexec: every collective of `Workers`, checked on every worker."""

import sys

import numpy as np
import pytest
import torch

from helpers.parallel.workers import Workers

DTYPES = ("float32", "float64", "int64", "uint8")


def check_arrays(workers: Workers) -> None:
    size, rank = workers.size, workers.rank
    triangle = size * (size + 1) // 2
    for dtype in DTYPES:
        for make in (np.asarray, torch.as_tensor):
            array = make(np.full((2, 3), rank + 1, dtype=dtype))
            workers.sum_(array)
            assert (np.asarray(array) == triangle).all()
            array[:] = rank + 1
            workers.max_(array)
            assert (np.asarray(array) == size).all()
            array[:] = rank
            workers.broadcast_(array, root=size - 1)
            assert (np.asarray(array) == size - 1).all()
    for shape in ((), (0,), (0, 4)):
        array = np.ones(shape)
        workers.sum_(array)
        assert (array == size).all() and array.shape == shape


def check_gradients(workers: Workers) -> None:
    weights = torch.zeros(1001, requires_grad=True)
    weights.grad = torch.full((1001,), float(workers.rank))
    workers.sum_(weights.grad)
    assert (weights.grad == workers.size * (workers.size - 1) / 2).all()
    workers.broadcast_(weights)  # a parameter, whose gradient is asked for
    noise = np.random.default_rng(workers.rank).normal(size=10_007).astype(np.float32)
    workers.sum_(noise)
    workers.assert_in_sync({"noise": noise})  # the same bits, whatever the order of summation


def check_values(workers: Workers) -> None:
    mine = {
        "rank": workers.rank,
        "text": "é" * 1000 * workers.rank,
        "big": 2**100,
        "nested": [None],
    }
    everyone = workers.allgather_json(mine)
    assert [each["rank"] for each in everyone] == list(range(workers.size))
    assert all(len(each["text"]) == 1000 * each["rank"] for each in everyone)
    assert everyone[-1]["big"] == 2**100
    gathered = workers.gather_json(workers.rank)
    assert gathered == (list(range(workers.size)) if workers.is_root else None)
    assert workers.broadcast_json({"from": workers.rank}) == {"from": 0}
    assert workers.any(workers.rank == workers.size - 1) and not workers.any(False)
    shares = workers.allgather_json(list(range(10))[workers.share(10)])
    assert [i for share in shares for i in share] == list(range(10))
    workers.barrier()


def check_sync(workers: Workers) -> None:
    moments = np.zeros(3)
    policy = torch.arange(5, dtype=torch.bfloat16)
    arrays = {"policy": policy, "moments": moments, "empty": np.ones(0)}
    workers.assert_in_sync(arrays)
    last = workers.size - 1
    moments[1] = -0.0 if workers.rank == last else 0.0  # equal, but not bit for bit
    with pytest.raises(RuntimeError, match=f"moments is not that of worker 0 on worker {last}$"):
        workers.assert_in_sync(arrays)
    other = {"policy": np.zeros(2, dtype=np.float32 if workers.rank else np.float64)}
    with pytest.raises(RuntimeError, match="policy is not that of worker 0 on worker 1"):
        workers.assert_in_sync(other)
    with pytest.raises(RuntimeError, match="extra"):
        workers.assert_in_sync({"extra": np.zeros(1)} if workers.rank else {})


if __name__ == "__main__":
    together = Workers.connect()
    assert together.size == int(sys.argv[1])
    for check in (check_arrays, check_gradients, check_values, check_sync):
        check(together)
    if together.is_root:
        print(f"{together.size} workers agree")
