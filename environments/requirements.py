"""What an environment needs, looked at before anything is started."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from gymnasium.envs.registration import load_env_creator

from environments.ids import is_batched_task, resolve_env_id, suite_of, task_file
from environments.opensim.catalogue import complete_options
from environments.opensim.models import require_models_of
from environments.opensim.simulator import require_opensim
from environments.rendering import drawing_remedy
from environments.suites.gymnasium_suites import spec_of
from environments.suites.pictures import refuse_preprocessing, split_options
from environments.suites.wrappers import check_options as check_dm_control
from helpers.errors import ConfigurationError


def check_options(env_id: str, options: Mapping[str, Any]) -> None:
    """Refuse options that an environment does not have, as far as that is known without making it.

    Raises:
        ConfigurationError: it has no such option, or the option does not take such a value.
    """
    env_id = resolve_env_id(env_id)
    suite = suite_of(env_id)
    if suite == "opensim":
        refuse_preprocessing(env_id, options)
        complete_options(env_id, options)
    elif suite == "dm_control" and options:
        check_dm_control(env_id, options)
    elif suite in ("gymnasium", "mujoco") and options:
        if suite == "mujoco":
            refuse_preprocessing(env_id, options)
        _check_constructor(env_id, split_options(options)[1])


def _check_constructor(env_id: str, options: Mapping[str, Any]) -> None:
    """By the signature of what makes the environment; one that takes anything is asked when it is made."""
    if is_batched_task(env_id):
        if task_file(env_id) is not None:
            return  # unknown without executing the file
        from environments.batched_mujoco.catalogue import make_task
        from environments.batched_mujoco.pictures import OPTIONS

        make_task(env_id, {k: v for k, v in options.items() if k not in OPTIONS})
        return
    known = _parameters(env_id)
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in known.values()):
        return
    names = [name for name in known if name != "render_mode"]
    for name in options:
        if name not in names:
            nearest = get_close_matches(name, names, n=1)
            raise ConfigurationError(
                f"env_options: {env_id} has no option {name}.",
                (
                    f"The nearest is {nearest[0]}."
                    if nearest
                    else f"There are {', '.join(names) or 'none'}."
                ),
            )


def _parameters(env_id: str) -> Mapping[str, inspect.Parameter]:
    """What the maker of one of Gymnasium's environments takes."""
    entry_point: Any = spec_of(env_id).entry_point
    maker = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    return inspect.signature(maker).parameters


def default_options(env_id: str) -> dict[str, Any]:
    """What an environment's options are where they are not given, of a canonical id; empty where they are unknown."""
    if task_file(env_id) is not None or suite_of(env_id) not in ("gymnasium", "mujoco"):
        return {}
    given = {
        name: each.default
        for name, each in _parameters(env_id).items()
        if each.default is not inspect.Parameter.empty
    }
    return given | spec_of(env_id).kwargs


def check_environment(env_id: str, options: Mapping[str, Any]) -> None:
    """Refuse an environment that cannot be made here.

    Raises:
        ConfigurationError: an option, a package or a file is missing or wrong.
    """
    check_options(env_id, options)
    remedy = drawing_remedy(env_id)
    if remedy:
        raise ConfigurationError(f"env_id={env_id} cannot be drawn on this machine.", remedy)
    env_id = resolve_env_id(env_id)
    if suite_of(env_id) == "opensim":
        require_opensim()
        require_models_of(options, env_id=env_id)
    if suite_of(env_id) == "gymnasium":
        _require_options(env_id, options)


def _require_options(env_id: str, options: Mapping[str, Any]) -> None:
    """Refuse an environment whose constructor asks for more than it is given."""
    given = {*options, *spec_of(env_id).kwargs}
    needed = [
        name
        for name, each in _parameters(env_id).items()
        if each.default is inspect.Parameter.empty
        and each.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        and name not in given
    ]
    if needed:
        example = json.dumps(dict.fromkeys(needed, "..."))
        raise ConfigurationError(
            f"env_id={env_id} cannot be made without the option{'s'[: len(needed) - 1]} {', '.join(needed)}.",
            f"Give what its documentation says: --env_options='{example}'.",
        )
