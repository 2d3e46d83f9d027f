"""What the registry's names may be: models, tags, stages and versions."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from helpers.errors import ConfigurationError
from registry.manager import changelog

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

STAGE, NO_STAGE, ARCHIVED = "stage", "None", "Archived"
_RESERVED = re.compile(r"(?i:latest)|[vV]\d+")
_LONGEST_NAME = 250


def stage_of(version: ModelVersion) -> str:
    """The stage that a version was moved to last, by its tag."""
    return str(version.tags.get(STAGE, NO_STAGE))


def alias_of(stage: str) -> str | None:
    """The alias that stands for a stage; None where it has none."""
    return None if stage.lower() in (NO_STAGE.lower(), ARCHIVED.lower()) else stage.lower()


def check_name(name: str) -> None:
    """Refuse a name that MLflow does not take, or not everywhere.

    Raises:
        ConfigurationError: it is one.
    """
    bad = not name.strip() or name != name.strip() or len(name) > _LONGEST_NAME
    if bad or any(ord(each) < 32 or ord(each) == 127 or each in "/:" for each in name):
        raise ConfigurationError(
            f"{name[:80]!r} cannot be the name of a model.",
            f"Use at most {_LONGEST_NAME} characters, no / and : in it, no blanks around it.",
        )
    changelog.check_unicode(name)


def check_tags(tags: Mapping[str, Any] | None) -> dict[str, str]:
    """Tags as texts.

    Raises:
        ConfigurationError: one is not taken by MLflow.
    """
    texts = {str(name): str(value) for name, value in (tags or {}).items()}
    for name, value in texts.items():
        if not re.fullmatch(r"[\w.\-: /]+", name) or len(name) > _LONGEST_NAME or _is_path(name):
            raise ConfigurationError(
                f"{name[:80]!r} cannot be the name of a tag.",
                "Use letters, digits, blanks and _ - . : / in it, as in a path without `..`.",
            )
        if len(value) > changelog.LONGEST:
            raise ConfigurationError(
                f"The tag {name} has {len(value)} characters, and at most {changelog.LONGEST} are kept.",
                "Shorten it.",
            )
        changelog.check_unicode(value)
    return texts


def _is_path(name: str) -> bool:
    """Whether a tag's name is a path that MLflow refuses."""
    return os.path.normpath(name) != name or name.startswith(("/", "..")) or name == "."


def check_stage(stage: str) -> None:
    """Refuse a stage that cannot be an alias.

    Raises:
        ConfigurationError: it is one.
    """
    alias = alias_of(stage)
    if alias is None:
        return
    if _RESERVED.fullmatch(alias):
        raise ConfigurationError(
            f"The stage {stage} is a name that MLflow reserves for aliases.",
            "Use another: production, staging, champion ...",
        )
    if not re.fullmatch(r"[\w-]{1,200}", alias):
        raise ConfigurationError(
            f"The stage {stage[:80]!r} cannot be an alias.",
            "Use letters, digits, _ and -.",
        )


def check_number(version: int | str) -> int:
    """The number of a version.

    Raises:
        ConfigurationError: it is none.
    """
    text = str(version)
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 2**31):
        raise ConfigurationError(
            f"version={text!r} is no number of a version.",
            "Give a number, or @ALIAS.",
        )
    return int(text)
