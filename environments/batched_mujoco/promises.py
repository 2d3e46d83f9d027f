"""What a task has promised, looked at when it is made, and of a user's own at each step."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

import mujoco
import numpy as np

from environments.batched_mujoco.task import Start, Task, World
from helpers.errors import ConfigurationError, UsersCodeError, UsersNumbersError
from helpers.user_code import UsersCode, definition, users_line

Step = tuple[World, Any, Any, np.ndarray]  # the arrays before it and now, and the actions
Found = tuple[np.ndarray, np.ndarray, np.ndarray]
_NAMES = ("observations", "rewards", "terminated")
_FLOAT, _BOOL = np.dtype(np.float64), np.dtype(np.bool_)
_LONG_ENOUGH = 2  # parts of a start: positions and velocities


class UsersTask(UsersCode):
    """A task of a user's own file: what it raises is reported as its author's error, and what it returns is checked.

    Args:
        env_id: for the message.
        task: whose methods are called inside.
    """

    def __init__(self, env_id: str, task: Task) -> None:
        super().__init__(f"env_id={env_id}", type(task))
        self.task = task

    def __enter__(self) -> UsersTask:
        return self

    def check(self, step: Step, found: Found, *, shape: Any) -> None:
        """That a step's arrays have the forms that those of the first state had, and are finite.

        Args:
            step: what they were computed from.
            found: observations, rewards, terminated.
            shape: of the observations, (N, obs_dim).

        Raises:
            UsersCodeError: another form.
            UsersNumbersError: NaN or infinity that the task made out of a finite state.
        """
        count = shape[:1]
        observations, rewards, terminated = found
        if not (
            _has_form(observations, shape, _FLOAT)
            and _has_form(rewards, count, _FLOAT)
            and _has_form(terminated, count, _BOOL)
        ):
            differences = ", ".join(
                f"{n} {_shown(each)}" for n, each in zip(_NAMES, found, strict=True)
            )
            raise UsersCodeError(
                f"{self.what} returns other arrays than at its first state: {differences}.",
                f"Return float64 {shape}, float64 {count} and bool {count} always: {definition(type(self.task))}",
            )
        # Squares summed by BLAS: looking at each number takes ten times as long.
        if not (
            isfinite(np.vdot(rewards, rewards)) and isfinite(np.vdot(observations, observations))
        ):
            self._explain(step, found)

    def _explain(self, step: Step, found: Found) -> None:
        """Raise for what is not finite, unless it came from the simulation: that is reported with the rollout."""
        world, before, now, actions = step
        calls: dict[str, Callable[[], object]] = {
            "observe": lambda: self.task.observe(world, now),
            "evaluate": lambda: self.task.evaluate(world, before, now, actions),
        }
        state = [*vars(before).values(), *vars(now).values()]
        if not all(np.isfinite(array).all() for array in state):
            return
        for (name, call), array in zip(calls.items(), found, strict=False):
            bad = np.argwhere(~np.isfinite(array))
            if not len(bad):
                continue
            place = definition(getattr(type(self.task), name))
            try:
                with np.errstate(divide="raise", invalid="raise", over="raise"):
                    call()
            except FloatingPointError as error:
                place = users_line(error) or place
            what = f"number {bad[0][1]} of an observation" if array.ndim > 1 else "a reward"
            raise UsersNumbersError(
                f"{self.what} gives {array[tuple(bad[0])]} as {what}, from a finite state.",
                f"Bound the logarithm, the root or the division in {place}",
            )


def _has_form(array: Any, shape: tuple[int, ...], dtype: np.dtype) -> bool:
    return isinstance(array, np.ndarray) and array.shape == shape and array.dtype == dtype


def _shown(array: Any) -> str:
    return f"{array.dtype}{array.shape}" if hasattr(array, "shape") else type(array).__name__


def check_task(task: Task, world: World, now: Any, *, num_envs: int) -> None:
    """That a task gives what is relied on, at the state of the model file.

    Raises:
        ConfigurationError: it gives other arrays, or hands out what the next step reads.
    """
    observations = task.observe(world, now)
    outcome = task.evaluate(world, now, now, np.zeros((num_envs, world.model.nu), np.float32))
    wanted = {
        "observations": (observations, 2, np.float64),
        "rewards": (outcome.rewards, 1, np.float64),
        "terminated": (outcome.terminated, 1, np.bool_),
    }
    for name, (array, ndim, dtype) in wanted.items():
        shape = "(N, obs_dim)" if ndim == 2 else "(N,)"
        is_array = isinstance(array, np.ndarray) and array.ndim == ndim
        if not is_array or len(array) != num_envs or array.dtype != dtype:
            raise ConfigurationError(
                f"{type(task).__name__} returns {name} as {_shown(array)}, with N={num_envs}.",
                f"Return an array {shape} of {dtype.__name__}.",
            )
        if any(np.may_share_memory(array, read) for read in vars(now).values()):
            raise ConfigurationError(
                f"{type(task).__name__} returns {name} as a view of an array that it read.",
                "Return a new array: the next step uses the array again.",
            )


def check_start(task: Task, start: Any, data: mujoco.MjData) -> None:
    """That an episode's first state has the forms of the model's arrays: NumPy would spread a smaller array over them.

    Raises:
        UsersCodeError: it has not, or holds what is not finite.
    """
    problem = _problem_of_start(start, data)
    if problem:
        raise UsersCodeError(
            f"{type(task).__name__}.start returns {problem}.",
            f"Mend {definition(type(task).start)}",
        )


def _problem_of_start(start: Any, data: mujoco.MjData) -> str:
    """What is wrong with an episode's first state, in words; "" where nothing is."""
    if not isinstance(start, tuple) or not _LONG_ENOUGH <= len(start) <= len(Start._fields):
        return f"{_shown(start)}, not (qpos, qvel) or a task.Start"
    for name, part in zip(Start._fields, start, strict=False):
        if part is None:
            continue
        wanted = getattr(data, name).shape
        if np.shape(part) != wanted:
            return f"{name} of shape {np.shape(part)}, and the model has {wanted}"
        if not np.isfinite(part).all():
            return f"{name} with a number that is not finite"
    return ""
