"""From an environment id to a vector environment, by its suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium

from environments import rendering
from environments.ids import resolve_env_id, suite_of
from environments.processes.vector_env import ProcessVectorEnv
from environments.same_step import SameStepEnv
from environments.suites.suite import Wanted
from helpers.errors import ConfigurationError

__all__ = ["make_single_env", "make_vector_env", "resolve_env_id"]


def make_vector_env(
    env_id: str,
    *,
    seeds: Sequence[int],
    render_mode: str | None = None,
    options: Mapping[str, Any] | None = None,
    backend: str | None = None,
    max_episode_steps: int | None = None,
    processes: int = 0,
) -> SameStepEnv:
    """As many environments as there are seeds, stepped together.

    Gymnasium's MuJoCo v5 tasks and task files of the user's own are stepped as a batch, all else one environment after
    another. The attribute `backend` of the result names what steps them.

    Args:
        env_id: in any spelling that `resolve_env_id` knows.
        seeds: one for each environment.
        render_mode: "rgb_array" for `render()`, which gives one picture an environment, or "human"
            for a window an environment that follows by itself.
        options: what the task's constructor takes (`frame_skip`, `ctrl_cost_weight`, `width` ...).
        backend: "Gymnasium" for Gymnasium's own MuJoCo v5 environments, bit for bit the same.
        max_episode_steps: after how many steps an episode is truncated; None for the environment's own limit.
        processes: in how many processes beside this one they are stepped, with the same numbers; 0 for none, and of
            those that are drawn none.

    Raises:
        ConfigurationError: no such environment, backend or option, or nothing to draw it with.
    """
    env_id = resolve_env_id(env_id)
    suite = suite_of(env_id)
    suite.require_packages(env_id)
    remedy = rendering.drawing_remedy(env_id)
    if render_mode is not None:
        remedy = rendering.prepare_rendering(env_id, render_mode)
    if remedy:
        raise ConfigurationError(f"env_id={env_id} cannot be rendered on this machine.", remedy)
    choices = suite.backends_of(env_id)
    if backend not in (None, *choices):
        raise ConfigurationError(
            f"env_id={env_id} is not supported by {backend}.",
            f"Leave backend unset, or give one of: {', '.join(choices)}.",
        )
    options, backend = dict(options or {}), backend or choices[0]
    if processes and render_mode is None and seeds:
        return ProcessVectorEnv(
            env_id,
            seeds=seeds,
            options=options,
            backend=backend,
            max_episode_steps=max_episode_steps,
            processes=processes,
        )
    wanted = Wanted(options, render_mode, max_episode_steps, seeds, backend)
    return suite.make_vector(env_id, wanted)


def make_single_env(env_id: str, options: Mapping[str, Any] | None = None) -> gymnasium.Env | None:
    """One environment as its suite makes it; None for tasks that only exist as a batch.

    Args:
        env_id: canonical.
        options: what the task's constructor takes.

    Raises:
        ConfigurationError: no such option, or no algorithm takes its spaces.
    """
    return suite_of(env_id).make_single(env_id, dict(options or {}))
