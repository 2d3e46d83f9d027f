"""Validating declared settings that are not those of a run: the spawner's flags, the calibers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from helpers.config.settings import Settings, settings_of
from helpers.config.vocabulary import brief
from helpers.errors import ConfigurationError

_Kind = TypeVar("_Kind", bound=Settings)


def validate(
    kind: type[_Kind],
    values: Mapping[str, Any],
    *,
    shown: Callable[[str], str],
) -> _Kind:
    """The frozen object of values.

    Args:
        kind: of the settings.
        values: by key; every key is one of the settings.
        shown: a value as its reader wrote it, by its key.

    Raises:
        ConfigurationError: a value is not of its setting's type, form or bounds.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        key = str(error.errors(include_url=False)[0]["loc"][0])
    each = settings_of(kind)[key]
    raise ConfigurationError(
        f"{brief(shown(key))} is not {each.rule}.",
        f"{each.key}: {each.help_line}. A value that works: {each.working_value}.",
    )
