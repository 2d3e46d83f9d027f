"""The spaces of environments, without starting a simulator where their suite knows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from environments.ids import suite_of
from environments.suites.suite import Spaces


def spaces_of(env_id: str, options: Mapping[str, Any] | None = None) -> Spaces | None:
    """Observations and actions of a canonical id, with their shapes and bounds; None if unknown.

    Of task files nothing is known before they are made, nor of what options change in a MuJoCo task. Gymnasium's other
    environments, a user's among them, are made for this: a few milliseconds for Gymnasium's own.

    Raises:
        ConfigurationError: no algorithm takes such observations or actions, or an option is not one (OpenSim).
    """
    return suite_of(env_id).spaces(env_id, options or {})


def own_action_shape(
    env_id: str,
    options: Mapping[str, Any] | None = None,
) -> tuple[int, ...] | None:
    """Of an action as the environment of a canonical id itself takes it; None where that is the shape here, too."""
    shape = suite_of(env_id).own_form(env_id, options or {})[1]
    spaces = None if shape is None else spaces_of(env_id, options)
    return shape if spaces is not None and shape != spaces[1].shape else None
