"""Values that cannot be meant as they stand: a list for one value, a text that is another kind's word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from helpers.config.command_line import Layer
from helpers.config.settings import FALSE_WORDS, TRUE_WORDS, Setting
from helpers.errors import ConfigurationError

_NOTHING = ("none", "null", "nil", "~")
_SWITCHES = tuple(word for word in TRUE_WORDS + FALSE_WORDS if word.isalpha())
_WORDS_OF = re.compile(r"[^a-z]+")  # what stands between the words of a pattern
_EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")


def refuse_collection(shown: str, value: object, *, each: Setting) -> None:
    """Refuse a list or a mapping where a run takes one value.

    Raises:
        ConfigurationError: it is one.
    """
    if isinstance(value, list):
        raise ConfigurationError(
            f"{shown} is a list, which means a sweep; a run takes one value.",
            "Write one value, or spawn the sweep: `python spawner.py --config FILE.yaml --sweep`.",
        )
    if isinstance(value, Mapping) and not each.is_mapping:
        raise ConfigurationError(
            f"{shown} is a mapping; a setting takes one value.",
            "Write all keys at the top level of the file, without sections.",
        )


def refuse_nested(shown: str, value: object, *, each: Setting) -> None:
    """Refuse a choice of a sweep that is a list or a mapping itself.

    Raises:
        ConfigurationError: it is one.
    """
    if isinstance(value, list):
        raise ConfigurationError(
            f"{shown} is a list, and a choice is one value.",
            f"Write the choices without inner brackets, each like this one: {each.key}: [{each.working_value}].",
        )
    refuse_collection(shown, value, each=each)


def doubtful_texts(layer: Layer, settings: Mapping[str, Setting]) -> Iterator[str]:
    """A line for each text that another kind of setting would read as no value, a switch or a number.

    A word that the setting's help names means what it says.
    """
    for key, value in layer.values.items():
        each = settings.get(key)
        is_free = each is not None and each.kind == "str" and not each.choices
        if each is None or not is_free or each.is_mapping or not isinstance(value, str):
            continue
        word = value.strip().lower()
        if word in _WORDS_OF.split(each.pattern.lower()):
            continue  # a choice of that spelling
        if word in _NOTHING and not re.search(rf"\b{re.escape(word)}\b", each.help_line):
            unset = f"{key}: null, or --{key}=" if each.is_optional else "leave it out"
            yield f'{layer.shown[key]} is the text "{value}". To leave {key} unset: {unset}.'
        elif word in _SWITCHES or _EXPONENT.fullmatch(word):
            kind = "switch" if word in _SWITCHES else "number"
            yield f'{layer.shown[key]} is the text "{value}": {key} takes a text, not a {kind}.'
