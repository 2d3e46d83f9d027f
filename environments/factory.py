"""From an environment id to a vector environment, by suite."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from environments import rendering
from environments.ids import resolve_env_id, suite_of
from environments.vector import SerialVectorEnv
from helpers.errors import ConfigurationError

__all__ = ["make_vector_env", "resolve_env_id"]


def make_vector_env(
    env_id: str,
    *,
    seeds: Sequence[int],
    render_mode: str | None = None,
) -> SerialVectorEnv:
    """As many environments as there are seeds, stepped together.

    Args:
        env_id: in any spelling that `resolve_env_id` knows.
        seeds: one for each environment.
        render_mode: "rgb_array" for `render()`, which gives one picture an environment, or "human"
            for a window an environment that follows by itself.

    Raises:
        ConfigurationError: no such environment, or nothing to draw it with.
    """
    env_id = resolve_env_id(env_id)
    if render_mode is not None and (remedy := rendering.prepare_rendering(env_id, render_mode)):
        raise ConfigurationError(f"env_id={env_id} cannot be drawn on this machine.", remedy)
    if suite_of(env_id) == "dm_control":
        from environments import dm_control as suite
    else:
        from environments import gymnasium_suites as suite  # type: ignore[no-redef]
    return SerialVectorEnv(
        env_id,
        partial(suite.make_env, env_id, render_mode=render_mode),
        seeds=seeds,
        max_episode_steps=suite.max_episode_steps(env_id),
    )
