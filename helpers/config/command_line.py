"""The command line: flags to texts by key, as a YAML file gives them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from helpers.config.settings import FALSE_WORDS, TRUE_WORDS
from helpers.config.vocabulary import CONFIG_FLAGS, Unknown, Vocabulary, brief
from helpers.errors import ConfigurationError

_NUMBER = re.compile(r"-\.?\d")
_NEGATION = re.compile(r"no[-_]")


@dataclass
class Layer:
    """Values given in one place, and how that place shows them to a reader.

    Attributes:
        values: a text, a typed scalar, None, or (in a sweep) a list of these, by key.
        shown: "--p_lr=-1" or "p_lr: -1 (tasks/x.yaml, line 3)", by key.
        names: "--p_lr" or "p_lr", by key.
    """

    values: dict[str, Any] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def put(self, key: str, value: Any, *, shown: str, name: str) -> None:
        """Add a value.

        Raises:
            ConfigurationError: the key has another value here already.
        """
        if key in self.values and self.values[key] != value:
            raise ConfigurationError(
                f"{key} is given twice: {self.shown[key]} and {brief(shown)}.",
                "Delete one of the two.",
            )
        self.values[key] = value
        self.shown[key] = brief(shown)
        self.names[key] = name

    def overlay(self, other: Layer) -> Layer:
        """Both in one; where both have a value, the other's."""
        return Layer(
            {**self.values, **other.values},
            {**self.shown, **other.shown},
            {**self.names, **other.names},
        )


def read_flags(argv: Sequence[str], vocabulary: Vocabulary) -> tuple[Layer, str | None]:
    """The values of all flags, and the path that `--config` names.

    Understood: `--flag value`, `--flag=value`, `--switch`, `--no-switch`, `--no_switch`, dashes for
    underscores. A value that begins with a dash and is no number needs the form with `=`.

    Raises:
        ConfigurationError: unknown flags (all of them in one), a missing value, a flag given twice with two values.
    """
    layer = Layer()
    config = Layer()
    unknown: list[Unknown] = []
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        name, equals, text = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or argument == "--":
            unknown.append(Unknown(name if argument.startswith("-") else argument, argument))
        elif name.replace("-", "_") in CONFIG_FLAGS:
            path = text if equals else _next_value(f"--{name}", rest)
            config.put("config", path, shown=f"--{name}={path}", name=f"--{name}")
            continue
        elif _named(name, vocabulary) is None:
            unknown.append(Unknown(name, f"--{name}"))
        else:
            key, value = _flag_value(name, text if equals else None, rest, vocabulary)
            shown = argument if equals or isinstance(value, bool) else f"--{name}={value}"
            layer.put(key, value, shown=shown, name=f"--{name}")
            continue
        if argument.startswith("-") and not equals:
            _skip_values(rest)
    if unknown:
        raise vocabulary.refusal(unknown, kind="flag", dashes="--")
    return layer, config.values.get("config")


def _named(name: str, vocabulary: Vocabulary) -> str | None:
    """The key that a flag means, negated or not."""
    key = vocabulary.key(name)
    return vocabulary.key(name[3:]) if key is None and _NEGATION.match(name) else key


def _skip_values(rest: list[str]) -> None:
    """Drop what an unknown flag may take."""
    while rest and (not rest[0].startswith("-") or _NUMBER.match(rest[0])):
        rest.pop(0)


def _flag_value(
    name: str,
    text: str | None,
    rest: list[str],
    vocabulary: Vocabulary,
) -> tuple[str, str | bool]:
    """(key, value) of one flag; takes its value from the rest where it stands apart."""
    key = vocabulary.key(name)
    if key is None:
        return _parse_negation(name, text, vocabulary), False
    if text is not None:
        is_word = (
            vocabulary.settings[key].kind == "bool" and text.lower() in TRUE_WORDS + FALSE_WORDS
        )
        return key, text.lower() in TRUE_WORDS if is_word else text
    if vocabulary.settings[key].kind != "bool":
        return key, _next_value(f"--{name}", rest)
    if rest and not rest[0].startswith("-"):
        return key, _switch_word(name, rest)
    return key, True


def _switch_word(name: str, rest: list[str]) -> bool:
    word = rest.pop(0)
    if word.lower() not in TRUE_WORDS + FALSE_WORDS:
        raise ConfigurationError(
            f"--{name} {brief(word)} is not true or false.",
            f"Write --{name} or --no-{name}.",
        )
    return word.lower() in TRUE_WORDS


def _parse_negation(name: str, text: str | None, vocabulary: Vocabulary) -> str:
    """The key of `--no-switch`."""
    positive = name[3:]
    key = vocabulary.keys[positive.replace("-", "_")]
    if vocabulary.settings[key].kind != "bool":
        raise ConfigurationError(
            f"--{name} is not possible: {key} is not a switch.",
            f"Give a value: --{positive}={vocabulary.settings[key].working_value}.",
        )
    if text is not None:
        raise ConfigurationError(
            f"--{name}={brief(text)} is a negation with a value.",
            f"Write --{name} or --{positive}.",
        )
    return key


def _next_value(flag: str, rest: list[str]) -> str:
    if rest and (not rest[0].startswith("-") or _NUMBER.match(rest[0])):
        return rest.pop(0)
    raise ConfigurationError(
        f"Flag {flag} needs a value.",
        f"Write {flag}=VALUE; with = the value may start with a dash.",
    )
