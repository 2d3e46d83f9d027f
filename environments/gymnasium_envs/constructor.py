"""The options of Gymnasium's environments: the arguments of what makes them, by its signature."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from gymnasium.envs.registration import load_env_creator

from environments.gymnasium_envs.env import spec_of
from helpers.errors import ConfigurationError


def check_constructor(env_id: str, options: Mapping[str, Any]) -> None:
    """Refuse options that what makes an environment does not take; one that takes anything is asked when it is made.

    Raises:
        ConfigurationError: there are some.
    """
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


def default_options(env_id: str) -> dict[str, Any]:
    """What they are where they are not given."""
    given = {
        name: each.default
        for name, each in _parameters(env_id).items()
        if each.default is not inspect.Parameter.empty
    }
    return given | spec_of(env_id).kwargs


def require_options(env_id: str, options: Mapping[str, Any]) -> None:
    """Refuse an environment whose constructor asks for more than it is given.

    Raises:
        ConfigurationError: it does.
    """
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


def _parameters(env_id: str) -> Mapping[str, inspect.Parameter]:
    """What the maker of one of Gymnasium's environments takes."""
    entry_point: Any = spec_of(env_id).entry_point
    maker = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    return inspect.signature(maker).parameters
