"""One demonstrated episode, and what an environment asks of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Demo:
    """An episode of an expert, T steps from a reset to an end.

    Attributes:
        observations: (T, obs_dim) float64, or float32 where the source has it.
        actions: (T, act_dim) as executed, or choices, int64 (T,), or (T, D) of D choices each; None where the source
            has states alone.
        rewards: (T,) float64, the environment's.
        next_observations: like the observations, the true successors.
        terminated: bool (T,), the task ended the episode: at the last step or never.
        truncated: bool (T,), a limit ended it; one of the two is true at the last step.
        source: where it was read, for messages.
        origin: where it comes from: `env_id`, `mujoco_version`, `run`, `seed` ... as far as it is known.
    """

    observations: np.ndarray
    actions: np.ndarray | None
    rewards: np.ndarray
    next_observations: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    source: str = "the demonstration"
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Steps."""
        return len(self.rewards)

    @property
    def return_(self) -> float:
        """The sum of rewards."""
        return float(self.rewards.sum(dtype=np.float64))

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """The arrays that are there, by name."""
        for name in ARRAYS:
            array = getattr(self, name)
            if array is not None:
                yield name, array

    @cached_property
    def sha256(self) -> str:
        """Of all arrays, with their names, dtypes and shapes: the same in whatever file they lie."""
        digest = hashlib.sha256()
        for name, array in self.arrays():
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


ARRAYS = ("observations", "actions", "rewards", "next_observations", "terminated", "truncated")


@dataclass(frozen=True)
class Expected:
    """What demonstrations of an environment must be, known without starting it.

    Attributes:
        env_id: its canonical id.
        simulator_version: of what would simulate it; None where versions make no difference.
        time_limit: steps after which it truncates.
        observation_size: numbers of an observation; None where only the environment itself knows.
        action_size: numbers of an action, 0 of one that is a single choice; None likewise.
        choices: of how many each choice of an action is; None where actions are vectors, and likewise.
        first_choices: the smallest of each; empty: 0.
        observation_groups: the numbers of an observation by the names of their groups, where the environment has some.
        options: of the environment, as JSON; empty where there are none.
        action_low, action_high: the bounds of a continuous action; None where only the environment itself knows.
        entry_point: what Gymnasium makes it from; empty where it is not registered there.
        default_options: what options are where they are not given; asked only if some are.
        canonical: the one id that a spelling of an id stands for; None where it stands for none here.
        simulator, simulator_package: what would simulate it, for people to read, and for pip; "" where versions make
            no difference.
        states_are_raw: whether observations are quantities of a simulation, so that standardised ones are not its own.
    """

    env_id: str
    simulator_version: str | None = None
    time_limit: int | None = None
    observation_size: int | None = None
    action_size: int | None = None
    choices: tuple[int, ...] | None = None
    first_choices: tuple[int, ...] = ()
    observation_groups: Mapping[str, Sequence[int]] = field(default_factory=dict)
    options: str = ""
    action_low: np.ndarray | None = field(default=None, compare=False)
    action_high: np.ndarray | None = field(default=None, compare=False)
    entry_point: str = field(default="", compare=False)
    default_options: Callable[[], Mapping[str, Any]] = field(default=dict, compare=False)
    canonical: Callable[[str], str | None] = field(default=str, compare=False)
    simulator: str = ""
    simulator_package: str = ""
    states_are_raw: bool = False
