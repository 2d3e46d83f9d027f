"""States to save, and an equality that sees every bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch


def full_state(seed: int = 0) -> dict[str, Any]:
    """Everything that a state may hold."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(3, 4))
    kinds = "float64 float32 float16 int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool".split()
    tensors = "float32 float64 bfloat16 int64 uint8 bool float16 int32".split()
    return {
        "arrays": {kind: (numbers * 10).astype(kind) for kind in kinds},
        "tensors": {kind: torch.tensor(numbers * 10).to(getattr(torch, kind)) for kind in tensors},
        "odd arrays": {
            "nan": np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324]),
            "payload": np.array([0x7FF8_0000_DEAD_BEEF], dtype=np.uint64).view(np.float64),
            "empty": np.zeros((0, 3), dtype=np.float32),
            "zero-d": np.array(rng.normal()),
            "transposed": np.asfortranarray(numbers),
            "strided": numbers[:, ::2],
        },
        "odd tensors": {
            "parameter": torch.nn.Parameter(torch.ones(2)),
            "empty": torch.zeros(0, 3),
            "zero-d": torch.tensor(2.5, dtype=torch.bfloat16),
            "transposed": torch.tensor(numbers).T,
            "generator": torch.Generator().manual_seed(seed).get_state(),
        },
        "scalars": {
            "floats": [0.1, 1e308, -0.0, math.nan, math.inf, -math.inf, 5e-324],
            "integers": [0, -1, 2**63, -(2**200)],
            "numpy": [np.float32(0.1), np.float64("nan"), np.int64(-3), np.bool_(True)],
            "others": [None, True, False, "", 'é "quoted" \n \ud800', [], [[1], [None]]],
        },
        "generator": rng.bit_generator.state,
        "empty": {},
        "names": {
            "a/b": np.ones(1),
            "a": {"b": np.zeros(1)},
            "": {"": np.ones(2)},
            "~1": np.ones(3),
        },
        "list": [np.ones(1), {"x": torch.ones(1)}],
    }


def assert_same(actual: Any, expected: Any) -> None:
    """Equal types, keys in their order, dtypes, shapes and bits."""
    if isinstance(expected, torch.nn.Parameter):
        expected = expected.detach()
    assert type(actual) is type(expected)
    if isinstance(expected, dict):
        assert list(actual) == list(expected)
        for key in expected:
            assert_same(actual[key], expected[key])
    elif isinstance(expected, list):
        assert len(actual) == len(expected)
        for one, other in zip(actual, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, float):
        assert repr(actual) == repr(expected)
    elif isinstance(expected, np.ndarray | np.generic):
        assert actual.dtype == expected.dtype and actual.shape == expected.shape
        assert actual.tobytes() == expected.tobytes()
    elif isinstance(expected, torch.Tensor):
        assert actual.dtype == expected.dtype and actual.shape == expected.shape
        bits = [
            each.contiguous().reshape(-1).view(torch.uint8).tolist() for each in (actual, expected)
        ]
        assert bits[0] == bits[1]
    else:
        assert actual == expected
