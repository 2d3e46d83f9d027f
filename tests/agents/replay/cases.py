"""Replay memories and transitions to put into them."""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.base import Transitions
from agents.replay.memory import ReplayMemory

DEFAULTS: dict[str, Any] = {
    "rows": 50,
    "environments": 3,
    "observation_shape": (5,),
    "observation_dtype": "float32",
    "action_shape": (2,),
    "action_dtype": "float32",
    "dtype": "float32",
}
PIXELS = {"observation_shape": (4, 3, 2), "observation_dtype": "uint8"}
DISCRETE = {"action_shape": (), "action_dtype": "int64"}
DOUBLE = {"observation_dtype": "float64", "action_dtype": "float64", "dtype": "float64"}


def memory(**changes: Any) -> ReplayMemory:
    return ReplayMemory(**DEFAULTS | changes)


def transitions(rng: np.random.Generator, steps: int, **changes: Any) -> Transitions:
    """Random ones that fit `memory(**changes)`; episodes end early and late."""
    sizes = DEFAULTS | changes
    lead = (steps, sizes["environments"])

    def numbers(shape: tuple[int, ...], dtype: str) -> np.ndarray:
        if np.dtype(dtype).kind in "iu":
            return rng.integers(0, 256, (*lead, *shape)).astype(dtype)
        wide = rng.normal(size=(*lead, *shape)) * 10.0 ** rng.integers(-30, 30, (*lead, *shape))
        return wide.astype(dtype)

    observation = sizes["observation_shape"], sizes["observation_dtype"]
    ends = rng.random((2, *lead)) < 0.15
    return Transitions(
        observations=numbers(*observation),
        actions=numbers(sizes["action_shape"], sizes["action_dtype"]),
        rewards=rng.normal(size=lead).astype(sizes["dtype"]),
        next_observations=numbers(*observation),
        terminated=ends[0],
        truncated=ends[1],
    )


def joined(parts: list[Transitions]) -> Transitions:
    """One after the other."""
    names = (
        "observations",
        "actions",
        "rewards",
        "next_observations",
        "terminated",
        "truncated",
    )
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Transitions(**columns)


def filled(
    rng: np.random.Generator,
    steps: int,
    **changes: Any,
) -> tuple[ReplayMemory, Transitions]:
    """A memory after some steps, and all that went through it."""
    made, parts = memory(**changes), []
    while steps:
        count = min(steps, int(rng.integers(1, 9)))
        parts.append(transitions(rng, count, **changes))
        made.add(parts[-1])
        steps -= count
    return made, joined(parts)


def assert_bytes_equal(one: np.ndarray, other: np.ndarray) -> None:
    assert one.dtype == other.dtype and one.shape == other.shape
    assert one.tobytes() == other.tobytes()


def assert_same_memory(one: ReplayMemory, other: ReplayMemory) -> None:
    """Nothing that is asked tells them apart."""
    assert (one.added, one.filled, one.position) == (other.added, other.filled, other.position)
    uniforms = np.random.default_rng(0).random((one.environments, 64))
    batches = one.sample(uniforms), other.sample(uniforms)
    assert list(batches[0]) == list(batches[1])
    for name, array in batches[0].items():
        assert_bytes_equal(array, batches[1][name])
    columns = one.columns(), other.columns()
    for name, array in columns[0].items():
        assert_bytes_equal(array, columns[1][name])
