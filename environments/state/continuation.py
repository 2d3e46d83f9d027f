"""Whether a saved state continues as the environment that it was taken from: tried with a fresh copy."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np

from environments.same_step import SameStepEnv
from helpers.checkpoints.state_files import pack, unpack

Make = Callable[..., SameStepEnv]  # takes `seeds`
SEEDS = (20_240_117, 1_618_033)  # of the two environments of a copy: any two
_RESTED = 30  # steps of a comparison after the end of an episode


class Actions:
    """Random actions (N, ...) of a space; normal ones where it has no bounds.

    Args:
        space: of one action.
        seed: of the actions.
    """

    def __init__(self, space: gymnasium.Space, seed: int) -> None:
        self._space = copy.deepcopy(space)  # an environment may draw from its own
        self._space.seed(seed)

    def draw(self, count: int) -> np.ndarray:
        """One for each of `count` environments."""
        return np.stack([np.asarray(self._space.sample()) for _ in range(count)])


def why_inexact(
    make: Make,
    *,
    steps: int = 300,
    seconds: float = 3.0,
) -> str:
    """Save after a few steps, restore into a fresh copy, step both: the first difference in words, or "".

    Args:
        make: makes environments.
        steps: how far both are stepped, or a little beyond an episode's end.
        seconds: after which no further step is taken.

    Raises:
        Exception: whatever the environment raises.
    """
    first, fresh = make(seeds=SEEDS), make(seeds=[seed + 1 for seed in SEEDS])
    try:
        first.reset()
        fresh.reset()
        actions = Actions(first.single_action_space, SEEDS[1])
        for _ in range(7):
            first.step(actions.draw(len(SEEDS)))
        for _ in range(3):
            fresh.step(actions.draw(len(SEEDS)))
        fresh.load_state_dict(_through_a_file(first.state_dict()))
        begun, left = time.perf_counter(), steps
        step = 0
        while left and time.perf_counter() - begun < seconds:
            step, left = step + 1, left - 1
            drawn = actions.draw(len(SEEDS))
            outcome, again = first.step(drawn.copy()), fresh.step(drawn.copy())
            found = difference(outcome, again, step)
            if found:
                return found
            if (outcome[2] | outcome[3]).all():
                left = min(left, _RESTED)
        if _bytes_of(first.state_dict()) != _bytes_of(fresh.state_dict()):
            return f"what would be saved after {step} further steps"
        return ""
    finally:
        first.close()
        fresh.close()


def _through_a_file(state: Any) -> Any:
    return unpack(bytearray(_bytes_of(state)))["state"]


def _bytes_of(state: Any) -> bytes:
    return b"".join(bytes(part) for part in pack({"state": state}))


def same(one: Any, other: Any) -> bool:
    """Equal in every bit that is seen; NaN is itself."""
    one, other = np.asarray(one), np.asarray(other)
    is_equal = one.shape == other.shape and one.dtype == other.dtype
    return bool(is_equal and np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))


def largest(one: np.ndarray, other: np.ndarray) -> str:
    """The largest difference between two arrays, in words."""
    if one.shape != other.shape:
        return f"shapes {one.shape} and {other.shape}"
    return f"{float(np.nanmax(np.abs(one.astype(np.float64) - other))):.3g}"


def difference(outcome: Sequence[Any], again: Sequence[Any], step: int) -> str:
    """In what two outcomes of a step differ, in words; empty if in nothing."""
    names = ("the observations", "the rewards", "`terminated`", "`truncated`")
    for name, one, other in zip(names, outcome, again, strict=False):
        if not same(one, other):
            return f"{name} of step {step}, by {largest(np.asarray(one), np.asarray(other))}"
    return ""
