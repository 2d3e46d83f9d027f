"""The command line: flags to texts by key, as a YAML file gives them, and the page of `--help`."""

from __future__ import annotations

import difflib
import re
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from helpers.config.settings import FALSE_WORDS, TRUE_WORDS, Setting, show
from helpers.errors import ConfigurationError

CONFIG_FLAGS = ("config", "config_path")
HELP_FLAGS = ("-h", "--help")
_SECRET = re.compile(r"key|token|secret|password", re.IGNORECASE)
_LONGEST_SHOWN = 160
_NUMBER = re.compile(r"-\.?\d")


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


def brief(text: str) -> str:
    """A text for one line of a message: cut, and without characters that a terminal obeys."""
    if len(text) > _LONGEST_SHOWN:
        half = _LONGEST_SHOWN // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


class Vocabulary:
    """The names that a command line and a YAML file may use, and the settings that they mean."""

    def __init__(self, settings: Iterable[Setting]) -> None:
        self.settings: dict[str, Setting] = {}
        self.keys: dict[str, str] = {}
        for each in settings:
            self.settings[each.key] = each
            for name in each.names:
                if self.keys.setdefault(name, each.key) != each.key:
                    raise ValueError(f"{name} means both {self.keys[name]} and {each.key}")

    def key(self, name: str) -> str | None:
        """The key that a name stands for, written with dashes or underscores."""
        return self.keys.get(name.replace("-", "_"))

    def unknown_name(self, name: str, *, shown: str) -> ConfigurationError:
        """The refusal of a name that no setting has, with its nearest neighbour."""
        shown = brief(shown)
        if _SECRET.search(name):
            return ConfigurationError(
                f"{shown[0].upper()}{shown[1:]} is not accepted: command lines and run folders hold no secrets.",
                "Set the key in the environment (WANDB_API_KEY), or once with `wandb login`.",
            )
        former = {name for each in self.settings.values() for name in each.former}
        names = [*(self.keys.keys() - former), *CONFIG_FLAGS]
        near = difflib.get_close_matches(name.replace("-", "_"), names, n=1)
        dashes = "--" if "--" in shown else ""
        guess = f"Did you mean {dashes}{near[0]}? " if near else ""
        return ConfigurationError(
            f"Unknown {shown}.",
            f"{guess}`python main.py --help` lists all settings.",
        )


def help_wanted(argv: Sequence[str]) -> bool:
    """Whether a command line asks for its help page."""
    return any(argument in HELP_FLAGS for argument in argv)


def read_flags(argv: Sequence[str], vocabulary: Vocabulary) -> tuple[Layer, str | None]:
    """The values of all flags, and the path that `--config` names.

    Understood: `--flag value`, `--flag=value`, `--switch`, `--no-switch`, `--no_switch`, dashes for
    underscores. A value that begins with a dash and is no number needs the form with `=`.

    Raises:
        ConfigurationError: an unknown flag, a missing value, a flag given twice with two values.
    """
    layer = Layer()
    config = Layer()
    rest = list(argv)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("--") or argument == "--":
            raise ConfigurationError(
                f"Unexpected '{brief(argument)}' on the command line.",
                "Flags are written --flag=value; a list of values is quoted in a YAML file.",
            )
        name, equals, text = argument[2:].partition("=")
        if name.replace("-", "_") in CONFIG_FLAGS:
            path = text if equals else _next_value(f"--{name}", rest)
            config.put("config", path, shown=f"--{name}={path}", name=f"--{name}")
            continue
        key, value = _flag_value(name, text if equals else None, rest, vocabulary)
        shown = argument if equals or isinstance(value, bool) else f"--{name}={value}"
        layer.put(key, value, shown=shown, name=f"--{name}")
    return layer, config.values.get("config")


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
    shown = f"flag --{name}"
    if not re.match("no[-_]", name):
        raise vocabulary.unknown_name(name, shown=shown)
    positive = name[3:]
    key = vocabulary.key(positive)
    if key is None:
        raise vocabulary.unknown_name(positive, shown=shown)
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


def help_text(sections: Mapping[str, Sequence[Setting]], *, width: int | None = None) -> str:
    """The page of `python main.py --help`.

    Args:
        sections: the settings by heading, in the order to print them.
        width: columns to wrap to, at most 110; those of the terminal if None.
    """
    columns = min(width or shutil.get_terminal_size().columns, 110)
    intro = (
        "One run: train, evaluate or check a policy. Precedence: default < YAML < command line. "
        "A switch is written --switch or --no-switch; values as --flag=value or --flag value."
    )
    lines = [
        "usage: [mpiexec -n WORKERS] python main.py [--config FILE.yaml] [--flag=value ...]",
        "",
        *textwrap.wrap(intro, columns),
        "",
        "  --config FILE.yaml (also --config_path)",
        *_indent("settings, one `key: value` a line; keys are the flags below", columns),
    ]
    for heading, settings in sections.items():
        lines += ["", heading]
        for each in settings:
            switch = "[no-]" if each.kind == "bool" else ""
            lines.append(f"  --{switch}{each.key}{_placeholder(each)}")
            lines += _indent(_describe(each), columns)
    return "\n".join(lines) + "\n"


def _indent(text: str, columns: int) -> list[str]:
    indent = " " * 6
    wrapped = textwrap.wrap(
        text.replace("= ", "=\xa0").replace("> ", ">\xa0"),  # ">= 0" stays in one line
        max(columns, 30),
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    return [line.replace("\xa0", " ") for line in wrapped]


def _placeholder(each: Setting) -> str:
    if each.choices:
        return " {" + ",".join(each.choices) + "}"
    return {"int": " INTEGER", "float": " NUMBER", "bool": "", "str": " TEXT"}[each.kind]


def _describe(each: Setting) -> str:
    facts = [
        f"default: {'unset' if each.default is None else show(each.default)}",
        f"unit: {each.unit}" if each.unit else "",
        each.bounds_text,
        f"form: {each.form}" if each.form else "",
        "also " + ", ".join(f"--{alias}" for alias in each.aliases) if each.aliases else "",
    ]
    return f"{each.help_line} [{'; '.join(fact for fact in facts if fact)}]"
