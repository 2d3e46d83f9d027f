"""A walk of random actions through two copies of an environment, and what was seen on it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from environments.same_step import SameStepEnv
from environments.state.continuation import SEEDS, Actions, Make, difference, largest, same
from helpers.finite import outside


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


def walk(make: Make, *, steps: int, seconds: float) -> Walk:
    """Step two copies with the same seeds and actions, for at most `steps` steps and `seconds` seconds.

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
    nothing = np.empty(0)
    found = Walk(nothing, nothing, nothing, nothing)
    if not same(observations, others):
        found.differs = f"the first observations, by {largest(observations, others)}"
    actions = Actions(first.single_action_space, SEEDS[0])
    length, begun = np.zeros(len(SEEDS), np.int64), time.perf_counter()
    for step in range(1, steps + 1):
        found.outside = found.outside or outside(first.single_observation_space, observations)
        seen.append(np.array(observations))
        drawn = actions.draw(len(SEEDS))
        started = time.perf_counter()
        outcome = first.step(drawn.copy())
        found.seconds += time.perf_counter() - started
        again = second.step(drawn.copy())
        found.differs = found.differs or difference(outcome, again, step)
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
