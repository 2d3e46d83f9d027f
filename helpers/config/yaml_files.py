"""Flat YAML files of settings, read without executing or guessing, written for every reader alike.

A scalar stays the text that stands in the file; the type of its field says what it means, not YAML
1.1 (there `3e-4` is a text, `off` a boolean and `12:30` the number 750).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from helpers.config.settings import Scalar
from helpers.errors import ConfigurationError

LARGEST_FILE = 1_000_000  # bytes
_DEEPEST = 8
_MOST_ALIASES = 100
_PLAIN_TAGS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("float", "int", "str", "bool", "null"))
_NULLS = ("", "~", "null", "Null", "NULL")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# A line that has one meaning: a comment, or a key and a plain or quoted value, as `dump_config` writes them.
_PLAIN_LINE = re.compile(
    r"^(?:([a-z_][a-z0-9_]*): (?:((?:-?[0-9.]|[A-Za-z_/])[A-Za-z0-9_./+-]*)|('[ !#-&(-~]*'))(?: +#[ -~]*)?|#[ -~]*)?$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class YamlFile:
    """What a YAML file says: text, None or a list of these by key, and the line (from 1) by key."""

    path: Path
    values: dict[str, Any]
    lines: dict[str, int]


def read_yaml(path: Path) -> YamlFile:
    """Read a flat mapping.

    Raises:
        ConfigurationError: the file is missing, unreadable, over 1 MB, no YAML or no flat mapping,
            has a key twice, a tag (`!!python/...`), or is nested deeper than lists of values.
    """
    text = _read_text(path)
    plain = _read_plain(text)
    if plain is not None:
        return YamlFile(path, *plain)
    try:
        return _Reader(path, yaml.parse(text, Loader=_LOADER)).read()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or "a character that YAML does not allow"
        raise ConfigurationError(
            f"{path}{where} is not valid YAML: {what}.",
            "Write one `key: value` per line; quote values with special characters.",
        ) from error


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:  # a path with a character that no file's name can have
        raise ConfigurationError(
            (
                f"{str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}."
                if isinstance(error, ValueError)
                else f"{path} cannot be read: {error.strerror}."
            ),
            "Give an existing YAML file, such as tasks/train_mujoco_ppo.yaml.",
        ) from error
    if len(content) > LARGEST_FILE:
        raise ConfigurationError(
            f"{path} is larger than {LARGEST_FILE:,} bytes.",
            "Is this a settings file? Give a smaller one.",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{path} is not a text file (UTF-8).",
            "Give a YAML file, such as tasks/train_mujoco_ppo.yaml.",
        ) from error


def _read_plain(text: str) -> tuple[dict[str, Any], dict[str, int]] | None:
    """(values, lines) of a file of plain lines; None of any other, which the parser of YAML reads or refuses.

    Several times as fast: thousands of runs are listed in a second.
    """
    found = _PLAIN_LINE.findall(text)
    if len(found) != text.count("\n") + 1:
        return None
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for number, (key, plain, quoted) in enumerate(found, start=1):
        if not key:
            continue
        if key in lines or key in _NULLS:
            return None
        lines[key] = number
        values[key] = quoted[1:-1] if quoted else None if plain in _NULLS else plain
    return (values, lines) if values else None


class _Reader:
    """Builds values from parser events, so that deep nesting costs neither stack nor memory.

    `yaml.compose` would give the lines, too, but a megabyte of "[" ends the process in its recursion (libyaml's, a
    segmentation fault), before any of our checks.
    """

    def __init__(self, path: Path, events: Iterator[Any]) -> None:
        self.path = path
        self.events = events
        self.anchors: dict[str, Any] = {}
        self.aliases = 0

    def read(self) -> YamlFile:
        event = self._next_content()
        if not isinstance(event, yaml.MappingStartEvent):
            raise ConfigurationError(
                f"{self.path} is not a mapping of settings.",
                "Write one `key: value` per line, for example `env_id: Hopper-v5`.",
            )
        values, lines = self._mapping(depth=1)
        trailing = [event for event in self.events if isinstance(event, yaml.DocumentStartEvent)]
        if trailing:
            raise ConfigurationError(
                f"{self.path} contains more than one YAML document.",
                "Keep one, and delete the `---` after it.",
            )
        return YamlFile(self.path, values, lines)

    def _next_content(self) -> Any:
        started = (yaml.StreamStartEvent, yaml.DocumentStartEvent)
        return next((event for event in self.events if not isinstance(event, started)), None)

    def _mapping(self, *, depth: int) -> tuple[dict[str, Any], dict[str, int]]:
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            key = self._value(event, depth=depth + 1)
            if not isinstance(key, str):
                raise self._refusal(line, "has a key that is no plain name", "Write `key: value`.")
            if key in values:
                raise self._refusal(
                    line,
                    f"names {key} a second time (first in line {lines[key]})",
                    "Delete one of the two.",
                )
            lines[key] = line
            values[key] = self._value(next(self.events), depth=depth + 1)
        return values, lines

    def _value(self, event: Any, *, depth: int) -> Any:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            return self._resolve_alias(event, line)
        if depth > _DEEPEST:
            raise self._refusal(line, "is nested too deeply", "A setting is one value, or a list.")
        if event.tag not in (None, "!", *_PLAIN_TAGS):
            raise self._refusal(line, f"has the tag {event.tag}", "Delete it: tags are not read.")
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            plain = event.implicit[0]
            value = None if plain and event.value in _NULLS else event.value
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(item := next(self.events), yaml.SequenceEndEvent):
                value.append(self._value(item, depth=depth + 1))
        else:
            value, _ = self._mapping(depth=depth)
        if event.anchor:
            self.anchors[event.anchor] = value
        return value

    def _resolve_alias(self, event: Any, line: int) -> Any:
        self.aliases += 1
        if event.anchor not in self.anchors:
            raise self._refusal(line, f"names *{event.anchor}", "Define that anchor above it.")
        if self.aliases > _MOST_ALIASES:
            raise self._refusal(line, f"is alias number {self.aliases}", "Write the values out.")
        return self.anchors[event.anchor]

    def _refusal(self, line: int, problem: str, remedy: str) -> ConfigurationError:
        return ConfigurationError(f"{self.path}, line {line}, {problem}.", remedy)


def yaml_text(value: Scalar) -> str:
    """A scalar as YAML that `read_yaml`, PyYAML and YAML 1.2 readers take for the same value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        mantissa, exponent, power = repr(value).partition("e")
        if exponent and "." not in mantissa:
            mantissa += ".0"  # PyYAML takes 1e-05 for a text, 1.0e-05 for a number
        return mantissa + exponent + power
    style = None if value.isprintable() else '"'
    text = yaml.safe_dump(value, allow_unicode=True, default_style=style, width=10**9)
    return text.removesuffix("\n...\n").removesuffix("\n")
