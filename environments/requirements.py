"""What an environment needs, looked at before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from environments.ids import resolve_env_id, suite_of
from environments.rendering import drawing_remedy
from helpers.errors import ConfigurationError


def check_options(env_id: str, options: Mapping[str, Any]) -> None:
    """Refuse options that an environment does not have, as far as that is known without making it.

    Raises:
        ConfigurationError: it has no such option, or the option does not take such a value.
    """
    env_id = resolve_env_id(env_id)
    suite_of(env_id).check_options(env_id, options)


def check_environment(env_id: str, options: Mapping[str, Any]) -> None:
    """Refuse an environment that cannot be made here.

    Raises:
        ConfigurationError: an option, a package or a file is missing or wrong.
    """
    env_id = resolve_env_id(env_id)
    suite = suite_of(env_id)
    suite.check_options(env_id, options)
    remedy = drawing_remedy(env_id)
    if remedy:
        raise ConfigurationError(f"env_id={env_id} cannot be drawn on this machine.", remedy)
    suite.require_packages(env_id)
    suite.require_parts(env_id, options)
