"""What demonstrations of an environment must be, known without starting it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

from environments.ids import resolve_env_id, suite_of, task_file
from environments.opensim import catalogue
from environments.requirements import default_options
from environments.sizes import spaces_of
from environments.suites.gymnasium_suites import spec_of
from helpers.demos.episode import Expected
from helpers.episodes import choice_sizes, first_choices
from helpers.errors import ConfigurationError


def expected_of(env_id: str, options: Mapping[str, Any] | None = None) -> Expected:
    """What fits an environment, in any spelling that `resolve_env_id` knows, with its options.

    Raises:
        ConfigurationError: no such environment.
    """
    env_id = resolve_env_id(env_id)
    spaces = spaces_of(env_id, options)
    bounds: dict[str, Any] = {
        f"action_{end}": getattr(spaces[1], end, None) for end in ("low", "high") if spaces
    }
    return Expected(
        env_id,
        mujoco_version=version("mujoco") if suite_of(env_id) in ("mujoco", "dm_control") else None,
        time_limit=_time_limit(env_id, options),
        observation_size=spaces[0].shape[0] if spaces and spaces[0].shape else None,
        action_size=sum(spaces[1].shape or ()) if spaces else None,
        choices=(choice_sizes(spaces[1]) or None) if spaces else None,
        first_choices=first_choices(spaces[1]) if spaces else (),
        options=json.dumps(options, sort_keys=True) if options else "",
        entry_point=_entry_point(env_id),
        default_options=partial(default_options, env_id),
        canonical=_canonical,
        **bounds,
        **_of_opensim(env_id, options),
    )


def _canonical(env_id: str) -> str | None:
    """The canonical id of a spelling; None where no environment here has it."""
    try:
        return resolve_env_id(env_id)
    except ConfigurationError:
        return None


def _entry_point(env_id: str) -> str:
    """What Gymnasium makes an environment from; empty of those that it does not make."""
    if task_file(env_id) is not None or suite_of(env_id) not in ("gymnasium", "mujoco"):
        return ""
    return str(spec_of(env_id).entry_point)


def _of_opensim(env_id: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """What only the environments of OpenSim have."""
    if suite_of(env_id) != "opensim":
        return {}
    groups = catalogue.groups_of(env_id, options)
    return {"observation_groups": groups, "opensim_version": catalogue.VERSION}


def _time_limit(env_id: str, options: Mapping[str, Any] | None) -> int | None:
    if task_file(env_id) is not None:
        return None  # unknown without executing the file
    if suite_of(env_id) == "opensim":
        return catalogue.max_episode_steps(env_id, options)
    if suite_of(env_id) == "dm_control":
        from environments.suites.dm_control import max_episode_steps
    else:
        from environments.suites.gymnasium_suites import max_episode_steps
    return max_episode_steps(env_id)
