"""From an environment id to a vector environment, by suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import gymnasium

from environments import rendering
from environments.ids import is_batched_task, resolve_env_id, suite_of, task_file
from environments.same_step import SameStepEnv
from environments.sync_vector import SerialVectorEnv
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

    Gymnasium's MuJoCo v5 tasks and task files of the user's own are stepped by "batched MuJoCo",
    all else by "Gymnasium", "dm_control" or "OpenSim", one environment after another. `backend` of what is
    returned says which.

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
    remedy = rendering.drawing_remedy(env_id)
    if render_mode is not None:
        remedy = rendering.prepare_rendering(env_id, render_mode)
    if remedy:
        raise ConfigurationError(f"env_id={env_id} cannot be rendered on this machine.", remedy)
    choices = _backends(env_id)
    if backend not in (None, *choices):
        raise ConfigurationError(
            f"env_id={env_id} is not supported by {backend}.",
            f"Leave backend unset, or give one of: {', '.join(choices)}.",
        )
    backend, options = backend or choices[0], dict(options or {})
    if processes and render_mode is None and seeds:
        from environments.processes.vector_env import ProcessVectorEnv

        return ProcessVectorEnv(
            env_id,
            seeds=seeds,
            options=options,
            backend=backend,
            max_episode_steps=max_episode_steps,
            processes=processes,
        )
    if suite_of(env_id) == "mujoco" and render_mode == "rgb_array" and "camera_id" not in options:
        options.setdefault("camera_name", "track")  # else what runs away leaves the picture
    if backend == "batched MuJoCo":
        return _make_batched(env_id, seeds, render_mode, options, max_episode_steps)
    suite = _suite(backend)
    limit = max_episode_steps or suite.max_episode_steps(env_id, options)
    return SerialVectorEnv(
        env_id,
        partial(
            suite.make_env,
            env_id,
            render_mode=render_mode,
            options=options,
            limit=limit,
        ),
        seeds=seeds,
        max_episode_steps=limit,
        backend=backend,
        is_exact=True if backend != "Gymnasium" or suite.is_known_exact(env_id) else None,
    )


def make_single_env(env_id: str, options: Mapping[str, Any] | None = None) -> gymnasium.Env | None:
    """One environment as its suite makes it; None for tasks that only exist as a batch.

    Args:
        env_id: canonical.
        options: what the task's constructor takes.

    Raises:
        ConfigurationError: no such option, or no algorithm takes its spaces.
    """
    backend = _backends(env_id)[0]
    if backend == "batched MuJoCo":
        return None
    env: gymnasium.Env = _suite(backend).make_env(
        env_id,
        render_mode=None,
        options=dict(options or {}),
    )
    return env


def _suite(backend: str) -> ModuleType:
    """What makes single environments of a backend."""
    if backend == "OpenSim":
        from environments.suites import opensim as suite
    elif backend == "dm_control":
        from environments.suites import dm_control as suite  # type: ignore[no-redef]
    else:
        from environments.suites import gymnasium_suites as suite  # type: ignore[no-redef]
    return suite


def _backends(env_id: str) -> tuple[str, ...]:
    """What can step an environment, the one to prefer first."""
    if suite_of(env_id) == "dm_control":
        return ("dm_control",)
    if suite_of(env_id) == "opensim":
        return ("OpenSim",)
    if not is_batched_task(env_id):
        return ("Gymnasium",)
    return ("batched MuJoCo", "Gymnasium") if task_file(env_id) is None else ("batched MuJoCo",)


def _make_batched(
    env_id: str,
    seeds: Sequence[int],
    render_mode: str | None,
    options: dict[str, Any],
    max_episode_steps: int | None,
) -> SameStepEnv:
    from environments.batched_mujoco.catalogue import make_task
    from environments.batched_mujoco.pictures import OPTIONS
    from environments.batched_mujoco.vector_env import BatchedMujocoEnv

    picture_options = {name: options.pop(name) for name in OPTIONS if name in options}
    return BatchedMujocoEnv(
        env_id,
        make_task(env_id, options),
        seeds=seeds,
        max_episode_steps=max_episode_steps,
        render_mode=render_mode,
        picture_options=picture_options,
    )
