"""Gymnasium's environments: MuJoCo, classic control, toy text, and whatever else is registered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces.utils import flatdim

from environments.files import import_file
from environments.ids import suite_of, task_file
from environments.registered import interface_of, package_limit
from environments.registered import spec_of as registered_spec
from environments.suites.pictures import (
    PictureObservation,
    Preprocessing,
    is_picture,
    refuse_preprocessing,
    split_options,
)
from environments.suites.unlearnable import refuse_unlearnable
from environments.suites.wrappers import VectorAction, VectorObservation, is_plain
from helpers.errors import ConfigurationError
from helpers.user_code import UsersCode

_EXACT = tuple(f"gymnasium.envs.{each}." for each in ("classic_control", "mujoco", "toy_text"))
# For tasks without a time limit of their own (CliffWalking), so that every episode ends.
DEFAULT_MAX_EPISODE_STEPS = 1000
ACTIONS = (
    gymnasium.spaces.Box,
    gymnasium.spaces.Discrete,
    gymnasium.spaces.MultiDiscrete,
    gymnasium.spaces.MultiBinary,
)


def spec_of(env_id: str) -> EnvSpec:
    """What Gymnasium makes a canonical id from; a class in a user's file is executed for it.

    Raises:
        ConfigurationError: the file has no such class.
    """
    own = task_file(env_id)
    if own is None:
        return registered_spec(env_id)
    path, name = own
    kind: Any = getattr(import_file(path), name, None)
    if other := interface_of(kind):
        raise ConfigurationError(
            f"env_id={env_id}: environments of this class {other[0]}.",
            f"Write a gymnasium.Env {other[1]}: docs/environments.md#wrappers-and-other-interfaces.",
        )
    if not isinstance(kind, type) or not issubclass(kind, gymnasium.Env):
        raise ConfigurationError(
            f"{path} has no gymnasium.Env {name}, and no task of that name.",
            "Give the class after the colon: a subclass of gymnasium.Env, or a task, decorated with @dataclass.",
        )
    made: Any = kind
    limit = getattr(kind, "max_episode_steps", None)
    return EnvSpec(
        id=f"{name}-v0",
        entry_point=made,
        max_episode_steps=limit if isinstance(limit, int) else None,
    )


def max_episode_steps(env_id: str, options: Mapping[str, Any] | None = None) -> int:
    """After how many steps an episode is truncated, whatever the options."""
    del options
    own = spec_of(env_id).max_episode_steps or package_limit(env_id)
    return own or DEFAULT_MAX_EPISODE_STEPS


def is_known_exact(env_id: str) -> bool:
    """Whether a saved state resumes bit for bit: tested for these suites; Gymnasium's Box2D keeps a world elsewhere."""
    return str(spec_of(env_id).entry_point).startswith(_EXACT)


def make_env(
    env_id: str,
    *,
    render_mode: str | None,
    options: Mapping[str, Any],
    limit: int | None = None,
) -> gymnasium.Env:
    """One environment with vector observations, and actions that are vectors, a choice or several choices.

    Args:
        env_id: canonical.
        render_mode: None for no pictures.
        options: of its constructor.
        limit: after how many steps an episode is truncated; None: its own.

    Raises:
        ConfigurationError: its observations or actions are of another kind.
    """
    if suite_of(env_id) == "mujoco":
        from environments.mujoco_warnings import route_mujoco_warnings

        route_mujoco_warnings()
    spec, (pictures, given) = spec_of(env_id), split_options(options)
    words = f" with env_options={json.dumps(given, default=str)}" if given else ""
    is_known = given and str(spec.entry_point).startswith("gymnasium.envs.")
    mend = "Give other --env_options: they came to" if is_known else "Mend"
    with UsersCode(f"env_id={env_id} cannot be made{words}", spec.entry_point, mend=mend):
        env = gymnasium.make(
            spec,  # the id itself would print that Hopper-v4 is outdated, once a copy
            max_episode_steps=limit or max_episode_steps(env_id),
            disable_env_checker=True,
            **({} if render_mode is None else {"render_mode": render_mode}),
            **given,
        )
        spaces = env.action_space, env.observation_space
    refuse_unlearnable(env_id, env)
    empty = [each for each in spaces if 0 in (each.shape or ())]
    if empty:
        raise _empty_error(env_id, empty[0])
    if not isinstance(env.action_space, ACTIONS):
        raise _unsupported_error(env_id, "actions", env.action_space)
    if not is_plain(env.action_space):
        env = VectorAction(env)
    if pictures != Preprocessing() and is_picture(env.observation_space):
        return PictureObservation(env, pictures, env_id=env_id)
    refuse_preprocessing(env_id, options)
    if (
        isinstance(env.observation_space, gymnasium.spaces.Box)
        and len(env.observation_space.shape) == 1
    ):
        return env
    if not env.observation_space.is_np_flattenable:
        raise _unsupported_error(env_id, "observations", env.observation_space)
    return _with_vector_observations(env_id, env)


def _with_vector_observations(env_id: str, env: gymnasium.Env) -> gymnasium.Env:
    try:
        if not flatdim(env.observation_space):
            raise _empty_error(env_id, env.observation_space)
        return VectorObservation(env)
    except NotImplementedError as error:  # a space of a class that Gymnasium does not know
        raise _unsupported_error(env_id, "observations", env.observation_space) from error


def action_shape(env: gymnasium.Env) -> tuple[int, ...]:
    """Of an action as the environment itself takes it, behind whatever `make_env` put around it."""
    inner: Any = env
    while isinstance(inner, gymnasium.Wrapper):
        if isinstance(inner, VectorAction):
            return inner.environment_shape
        inner = inner.env
    return tuple(env.action_space.shape or ())


def _empty_error(env_id: str, space: gymnasium.Space) -> ConfigurationError:
    return ConfigurationError(
        f"env_id={env_id} has the space {space}, of no numbers: there is nothing to learn.",
        "Give it at least one number.",
    )


def _unsupported_error(env_id: str, what: str, space: gymnasium.Space) -> ConfigurationError:
    kinds = {
        "actions": "Give it actions in Box, Discrete, MultiDiscrete or MultiBinary, by a wrapper if need be.",
        "observations": "Give it observations in Box, Discrete, MultiDiscrete, MultiBinary, Text, or Dict and Tuple of "
        "these, by a wrapper if need be (gymnasium.ObservationWrapper).",
    }
    return ConfigurationError(
        f"env_id={env_id} has {what} in {type(space).__name__}, which no algorithm here takes: {_short(space)}.",
        kinds[what],
    )


def _short(space: gymnasium.Space) -> str:
    text = " ".join(str(space).split())
    return text if len(text) < 160 else f"{text[:157]}..."
