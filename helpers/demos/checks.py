"""What a demonstration must be before anything learns from it; each refusal is two lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from helpers.demos.episode import Demo, Expected
from helpers.demos.origins import differences, unsaid
from helpers.errors import ConfigurationError

_LEAVE_OUT = (
    "Omit the file, or record it again: python main.py --task=eval --model_path=RUN --save_traj."
)
_OTHERS = "Give the environment of the demonstrations (--env_id), or other demonstrations (--expert_path)."


def check_demo(demo: Demo) -> None:
    """Shapes, numbers and the end of one episode.

    Raises:
        ConfigurationError: one of them is not what `Demo` says.
    """
    _check_shapes(demo)
    for name, array in demo.arrays():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            rows = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
            raise ConfigurationError(
                f"{demo.source}: {name} is not finite in {len(rows)} steps, first in step {rows[0]}.",
                _LEAVE_OUT,
            )
    ends = np.flatnonzero(demo.terminated | demo.truncated)
    if ends.tolist() != [demo.length - 1]:
        where = f"in step {ends[0]} of {demo.length}" if len(ends) else "nowhere"
        raise ConfigurationError(
            f"{demo.source}: the episode ends {where}, which is not only its last step.",
            "A demonstration is one episode from its reset to its end: omit the file, or truncate it there.",
        )


def _check_shapes(demo: Demo) -> None:
    observations, successors = demo.observations, demo.next_observations
    rows = demo.rewards.shape
    actions = demo.actions
    shapes = {name: array.shape for name, array in demo.arrays()}
    wrong = [name for name, array in demo.arrays() if array.shape[:1] != rows]
    if observations.ndim != 2 or successors.shape != observations.shape:
        wrong += ["observations"]
    if actions is not None and not _has_form(actions, demo.origin):
        wrong += ["actions"]
    if demo.rewards.ndim != 1 or demo.terminated.shape != rows or demo.truncated.shape != rows:
        wrong += ["rewards"]
    if wrong or not demo.length:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ConfigurationError(
            f"{demo.source} has arrays of wrong shapes: {listed}.",
            "Observations are (steps, numbers), actions (steps, numbers) or whole numbers (steps,), all else (steps,).",
        )


def _has_form(actions: np.ndarray, origin: Mapping[str, Any]) -> bool:
    """Whether actions are vectors (T, A), one choice (T,), or several (T, D); (T, 1) where the file says so."""
    if actions.dtype.kind not in "iu":
        return actions.ndim == 2
    return actions.ndim == 1 or (
        actions.ndim == 2 and (actions.shape[1] > 1 or "action_counts" in origin)
    )


def check_together(
    demos: Sequence[Demo],
    expected: Expected | None,
    *,
    mismatch: str = "refuse",
    accepted: str | None = None,
) -> list[str]:
    """That episodes fit one another, and the environment that they are meant for.

    Args:
        demos: each of them checked alone.
        expected: the environment; None compares them with one another only.
        mismatch: "refuse" those that were recorded in another environment or an altered one, or "warn" of it.
        accepted: wrappers that the user says change no numbers, with commas between them.

    Returns:
        Warnings, a line each.

    Raises:
        ConfigurationError: sizes differ, or the environment, its options, wrappers, bounds or simulator.
    """
    warnings = []
    names = [name.strip() for name in (accepted or "").split(",")]
    for problem, remedy in differences(demos, expected, accepted=names):
        if mismatch == "refuse":
            raise ConfigurationError(problem, remedy)
        warnings.append(problem)
    _check_sizes(demos, expected)
    return warnings + unsaid(demos, expected) + duplicates(demos)


def _check_sizes(demos: Sequence[Demo], expected: Expected | None) -> None:
    for demo in demos:
        _check_size(demo, "observations", demos[0], expected.observation_size if expected else None)
        _check_size(demo, "actions", demos[0], expected.action_size if expected else None)
        if expected:
            _check_choices(demo, expected.choices, expected.first_choices)


def _check_size(demo: Demo, name: str, first: Demo, size: int | None) -> None:
    found, other = _form(demo, name), _form(first, name)
    if found != other:
        raise ConfigurationError(
            f"{demo.source} has {name} of {found}, {first.source} of {other}.",
            "Keep demonstrations of different environments in separate folders.",
        )
    wanted = "one whole number" if size == 0 else f"{size} numbers"
    if size is not None and found not in (wanted, "none"):
        raise ConfigurationError(
            f"{demo.source} has {name} of {found}, the environment of {wanted}.",
            _OTHERS,
        )


def _check_choices(demo: Demo, choices: Sequence[int] | None, first: Sequence[int]) -> None:
    if choices is None or demo.actions is None or demo.actions.dtype.kind not in "iu":
        return
    rows = demo.actions.reshape(demo.length, -1)
    if rows.shape[1] != len(choices):
        return  # the check of sizes says it
    lowest = np.array(first or [0] * len(choices))
    wrong = np.argwhere((rows < lowest) | (rows >= lowest + np.array(choices)))
    if len(wrong):
        step, place = wrong[0]
        which = f"choice {place} of " if len(choices) > 1 else ""
        raise ConfigurationError(
            f"{demo.source} has action {demo.actions[step].tolist()} in step {step}, the environment {which}actions "
            f"from {lowest[place]} to {lowest[place] + choices[place] - 1}.",
            _OTHERS,
        )


def _form(demo: Demo, name: str) -> str:
    array = getattr(demo, name)
    if array is None:
        return "none"
    return f"{array.shape[1]} numbers" if array.ndim == 2 else "one whole number"


def duplicates(demos: Sequence[Demo]) -> list[str]:
    """A line for each episode that is there more than once."""
    first: dict[str, Demo] = {}
    lines = []
    for demo in demos:
        earlier = first.setdefault(demo.sha256, demo)
        if earlier is not demo:
            lines.append(f"{demo.source} is the same episode as {earlier.source}.")
    return lines


def check_spaces(
    demos: Sequence[Demo],
    *,
    observation_shape: tuple[int, ...],
    action_shape: tuple[int, ...],
    choices: Sequence[int] | None = None,
    first_choices: Sequence[int] = (),
) -> None:
    """That episodes fit an environment's spaces, for environments whose sizes only they themselves know.

    Args:
        demos: checked alone.
        observation_shape: (obs_dim,).
        action_shape: (act_dim,), (D,) for D choices, or () for one.
        choices: of how many each choice is; None: actions are vectors.
        first_choices: the smallest of each; empty: 0.

    Raises:
        ConfigurationError: they do not.
    """
    wanted: Mapping[str, tuple[int, ...]] = {
        "observations": observation_shape,
        "actions": action_shape,
    }
    for demo in demos:
        for name, shape in wanted.items():
            array = getattr(demo, name)
            is_chosen = name == "actions" and choices is not None
            if array is not None and (
                array.shape[1:] != shape or (is_chosen and array.dtype != np.int64)
            ):
                raise ConfigurationError(
                    f"{demo.source} has {name} {array.shape[1:]}, the environment {shape}.",
                    _OTHERS,
                )
        _check_choices(demo, choices, first_choices)
