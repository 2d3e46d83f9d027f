"""What demonstrations of an environment must be, known without starting it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from environments.ids import resolve_env_id, suite_of
from helpers.demos.episode import Expected
from helpers.episodes import choice_sizes, first_choices
from helpers.errors import ConfigurationError


def expected_of(env_id: str, options: Mapping[str, Any] | None = None) -> Expected:
    """What fits an environment, in any spelling that `resolve_env_id` knows, with its options.

    Raises:
        ConfigurationError: no such environment.
    """
    env_id = resolve_env_id(env_id)
    suite, given = suite_of(env_id), options or {}
    spaces = suite.spaces(env_id, given)
    bounds: dict[str, Any] = {
        f"action_{end}": getattr(spaces[1], end, None) for end in ("low", "high") if spaces
    }
    return Expected(
        env_id,
        simulator=suite.simulator,
        simulator_package=suite.packages[-1] if suite.simulator else "",
        simulator_version=suite.simulator_version(),
        states_are_raw=suite.states_are_raw,
        time_limit=suite.known_limit(env_id, given),
        observation_size=spaces[0].shape[0] if spaces and spaces[0].shape else None,
        action_size=sum(spaces[1].shape or ()) if spaces else None,
        choices=(choice_sizes(spaces[1]) or None) if spaces else None,
        first_choices=first_choices(spaces[1]) if spaces else (),
        observation_groups=suite.groups(env_id, given),
        options=json.dumps(options, sort_keys=True) if options else "",
        entry_point=suite.entry_point(env_id),
        default_options=partial(suite.default_options, env_id),
        canonical=_canonical,
        **bounds,
    )


def _canonical(env_id: str) -> str | None:
    """The canonical id of a spelling; None where no environment here has it."""
    try:
        return resolve_env_id(env_id)
    except ConfigurationError:
        return None
