"""Gymnasium's environments: MuJoCo, classic control, toy text, and whatever else is registered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium

from environments.ids import suite_of
from environments.registered import spec_of
from environments.suites.wrappers import VectorObservation
from helpers.errors import ConfigurationError

# For tasks without a time limit of their own (CliffWalking), so that every episode ends.
DEFAULT_MAX_EPISODE_STEPS = 1000


def max_episode_steps(env_id: str, options: Mapping[str, Any] | None = None) -> int:
    """After how many steps an episode is truncated, whatever the options."""
    del options
    return spec_of(env_id).max_episode_steps or DEFAULT_MAX_EPISODE_STEPS


def is_known_exact(env_id: str) -> bool:
    """Whether a saved state goes on bit for bit: of Gymnasium's own environments this is tested."""
    return str(spec_of(env_id).entry_point).startswith("gymnasium.envs.")


def make_env(
    env_id: str,
    *,
    render_mode: str | None,
    options: Mapping[str, Any],
) -> gymnasium.Env:
    """One environment with vector observations and Box or Discrete actions.

    Raises:
        ConfigurationError: its observations or actions are of another kind.
    """
    if suite_of(env_id) == "mujoco":
        from environments.mujoco_warnings import route_mujoco_warnings

        route_mujoco_warnings()
    env = gymnasium.make(
        spec_of(env_id),  # the id itself would print that Hopper-v4 is outdated, once a copy
        max_episode_steps=max_episode_steps(env_id),
        disable_env_checker=True,
        **({} if render_mode is None else {"render_mode": render_mode}),
        **options,
    )
    if not isinstance(env.action_space, gymnasium.spaces.Box | gymnasium.spaces.Discrete):
        raise _unsupported_error(env_id, "actions", env.action_space)
    if (
        isinstance(env.observation_space, gymnasium.spaces.Box)
        and len(env.observation_space.shape) == 1
    ):
        return env
    if not env.observation_space.is_np_flattenable:
        raise _unsupported_error(env_id, "observations", env.observation_space)
    return VectorObservation(env)


def _unsupported_error(env_id: str, what: str, space: gymnasium.Space) -> ConfigurationError:
    return ConfigurationError(
        f"env_id={env_id} has {what} in {type(space).__name__}, which no algorithm here takes.",
        "Use an environment with vector or discrete observations and Box or Discrete actions.",
    )
