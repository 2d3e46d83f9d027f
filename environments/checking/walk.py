"""A walk of random actions through two copies of an environment, and what was seen on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np

from environments.same_step import SameStepEnv

Make = Callable[..., SameStepEnv]  # takes `seeds`
SEEDS = (20_240_117, 1_618_033)  # of the two environments of each copy: any two
_RESTED = 30  # steps that a comparison goes on behind the first end of an episode


@dataclass
class Walk:
    """What two environments went through.

    Attributes:
        observations: (T, 2, obs_dim) in the environment's dtype, each the one that an action was chosen for.
        rewards: (T, 2) float64.
        terminated, truncated: (T, 2) bool.
        lengths: (length, whether it was terminated) of each episode that ended.
        seconds: of the T steps, of both environments together.
        differs: in words, where the second copy, with the same seeds and actions, first differed; empty if nowhere.
        outside: in words, the first observation outside its space; empty if there is none.
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    lengths: list[tuple[int, bool]] = field(default_factory=list)
    seconds: float = 0.0
    differs: str = ""
    outside: str = ""


class Actions:
    """Random actions (N, ...) of a space; normal ones where it has no bounds.

    Args:
        space: of one action.
        seed: of the actions.
    """

    def __init__(self, space: gymnasium.Space, seed: int) -> None:
        self._space = space
        space.seed(seed)

    def draw(self, count: int) -> np.ndarray:
        """One for each of `count` environments."""
        return np.stack([np.asarray(self._space.sample()) for _ in range(count)])


def walk(make: Make, *, steps: int, seconds: float) -> Walk:
    """Step two copies with the same seeds and actions, for so many steps and no longer than that.

    Raises:
        Exception: whatever the environment raises.
    """
    first, second = make(seeds=SEEDS), make(seeds=SEEDS)
    try:
        return _walk(first, second, steps=steps, seconds=seconds)
    finally:
        first.close()
        second.close()


def _walk(first: SameStepEnv, second: SameStepEnv, *, steps: int, seconds: float) -> Walk:
    observations, _ = first.reset()
    others, _ = second.reset()
    seen, rewards, terminated, truncated = [], [], [], []
    found = Walk(*(np.empty(0) for _ in range(4)))
    if not same(observations, others):
        found.differs = f"the first observations, by {largest(observations, others)}"
    actions = Actions(first.single_action_space, SEEDS[0])
    length, begun = np.zeros(len(SEEDS), np.int64), time.perf_counter()
    for step in range(1, steps + 1):
        found.outside = found.outside or _outside(first.single_observation_space, observations)
        seen.append(np.array(observations))
        drawn = actions.draw(len(SEEDS))
        started = time.perf_counter()
        outcome = first.step(drawn.copy())
        found.seconds += time.perf_counter() - started
        again = second.step(drawn.copy())
        found.differs = found.differs or _difference(outcome, again, step)
        observations = outcome[0]
        rewards.append(np.array(outcome[1], np.float64))
        terminated.append(np.array(outcome[2]))
        truncated.append(np.array(outcome[3]))
        length += 1
        for index in np.flatnonzero(outcome[2] | outcome[3]):
            found.lengths.append((int(length[index]), bool(outcome[2][index])))
            length[index] = 0
        if time.perf_counter() - begun > seconds:
            break
    found.observations, found.rewards = np.stack(seen), np.stack(rewards)
    found.terminated, found.truncated = np.stack(terminated), np.stack(truncated)
    return found


def continuations(
    make: Make,
    state_of: Callable[[Any], Any],
    *,
    steps: int,
    seconds: float,
) -> Iterator[str]:
    """Save after a few steps, restore into a fresh copy, go on with both: in words, each difference; none is exact.

    Args:
        make: makes environments.
        state_of: what becomes of a state on its way through a file.
        steps: how far both go on, or a little beyond an episode's end.
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
        fresh.load_state_dict(state_of(first.state_dict()))
        begun, left = time.perf_counter(), steps
        step = 0
        while left and time.perf_counter() - begun < seconds:
            step, left = step + 1, left - 1
            drawn = actions.draw(len(SEEDS))
            outcome, again = first.step(drawn.copy()), fresh.step(drawn.copy())
            difference = _difference(outcome, again, step)
            if difference:
                yield difference
                return
            if (outcome[2] | outcome[3]).all():
                left = min(left, _RESTED)
    finally:
        first.close()
        fresh.close()


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


def _difference(outcome: Sequence[Any], again: Sequence[Any], step: int) -> str:
    names = ("the observations", "the rewards", "`terminated`", "`truncated`")
    for name, one, other in zip(names, outcome, again, strict=False):
        if not same(one, other):
            return f"{name} of step {step}, by {largest(np.asarray(one), np.asarray(other))}"
    return ""


def _outside(space: gymnasium.Space, observations: np.ndarray) -> str:
    """The first number that is outside the space, in words."""
    if not isinstance(space, gymnasium.spaces.Box):
        return ""
    low, high = space.low[None], space.high[None]
    wrong = np.argwhere((observations < low) | (observations > high))
    if not len(wrong):
        return ""
    environment, *place = (int(each) for each in wrong[0])
    where = tuple(place)
    value = float(observations[(environment, *where)])
    index = where[0] if len(where) == 1 else where
    return f"number {index} was {value:.6g}, its space is {space.low[where]:.6g} to {space.high[where]:.6g}"
