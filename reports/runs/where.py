"""Conditions on runs, as `--where` has them: KEY=VALUE, KEY!=VALUE, KEY<VALUE, and how a list is sorted."""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from helpers.errors import ConfigurationError
from reports.runs.entry import COLUMNS, Entry

_CONDITION = re.compile(r"\s*([\w.]+)\s*(!=|<=|>=|==|=|<|>)\s*(.*?)\s*", re.DOTALL)
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NOTHING = ("", "null", "none", "~")
_UNITS = {
    "age": {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0},
    "size": {
        unit + ending: 1024.0**power
        for power, unit in enumerate(("", "k", "m", "g", "t"))
        for ending in (("b", "ib", "") if unit else ("b", ""))
    },
}
_EXAMPLES = {"age": "30d, 12h or 90m", "size": "500MiB or 2G"}
_LARGEST_FIRST = ("return", "steps", "num_timesteps", "size")


@dataclass(frozen=True)
class Condition:
    """One condition; a run that has no such setting, or no value to compare, does not meet it.

    Attributes:
        text: as it was given.
        key: a column, else a setting.
        sign: =, !=, <, <=, > or >=.
        value: a text; of an order, or of a column with a unit, a number.
    """

    text: str
    key: str
    sign: str
    value: str | float

    def __call__(self, entry: Entry) -> bool:
        """Whether a run meets it."""
        try:
            there = entry.value(self.key)
        except KeyError:
            return False
        if self.sign in _ORDERS:
            number = number_of(there)
            return number is not None and _ORDERS[self.sign](number, float(self.value))
        return _equals(there, self.value) == (self.sign == "=")


def conditions(given: Sequence[str]) -> list[Condition]:
    """Read them.

    Raises:
        ConfigurationError: one that is none, or whose value is none for its key.
    """
    return [_read(text) for text in given]


def select(entries: Sequence[Entry], wanted: Sequence[Condition]) -> list[Entry]:
    """The runs that meet all conditions.

    Raises:
        ConfigurationError: a key that is no column, and no setting of any run.
    """
    for each in wanted:
        check_key(each.key, entries, "--where")
    return [entry for entry in entries if all(each(entry) for each in wanted)]


def ordered(entries: Sequence[Entry], key: str, *, is_reversed: bool = False) -> list[Entry]:
    """Sorted by a column or a setting: returns, steps and sizes from the largest, all else from the smallest.

    Numbers come before texts, and what has no value, or a return that is no number, last either way.
    """

    def place(entry: Entry) -> tuple[Any, ...]:
        value = entry.value(key) if key in COLUMNS else entry.settings.get(key)
        number = number_of(value)
        if number is not None:
            return (0, number)
        return (1, str(value).casefold())

    def has_value(entry: Entry) -> bool:
        value = entry.value(key) if key in COLUMNS else entry.settings.get(key)
        return value is not None and not (isinstance(value, float) and math.isnan(value))

    there = [entry for entry in entries if has_value(entry)]
    there.sort(key=place, reverse=(key in _LARGEST_FIRST) != is_reversed)
    return there + [entry for entry in entries if not has_value(entry)]


def check_key(key: str, entries: Iterable[Entry], flag: str) -> None:
    """Refuse a key that no run has.

    Raises:
        ConfigurationError: there is none such; the nearest ones are named.
    """
    known = dict.fromkeys(COLUMNS)
    for entry in entries:
        if key in known or key in entry.settings:
            return
        known |= dict.fromkeys(entry.settings)
    if key in known:
        return
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise ConfigurationError(
        f"{flag}: {key} is no column and no setting of these runs.",
        f"{hint}Columns: {', '.join(COLUMNS)}; settings: those of config.yaml.",
    )


def number_of(value: Any) -> float | None:
    """A finite or infinite number; None of what is none, and of NaN."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return None if math.isnan(number) else number


def quantity(key: str, text: str) -> float:
    """An age in seconds or a size in bytes, from a number with a unit.

    Raises:
        ConfigurationError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)", text.strip().casefold())
    units = _UNITS[key]
    if match is None or (match[2] not in units and not (match[2] == "" and float(match[1]) == 0)):
        raise ConfigurationError(
            f"{text!r} is no {key}.",
            f"Give a number with its unit: {_EXAMPLES[key]}.",
        )
    return float(match[1]) * units.get(match[2], 1.0)


def _read(text: str) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ConfigurationError(
            f"--where {text!r} is no condition.",
            "Write KEY=VALUE, KEY!=VALUE, KEY<VALUE or KEY>VALUE, in quotes; folders stand before --where.",
        )
    key, sign, value = match.groups()
    sign = "=" if sign == "==" else sign
    if key in _UNITS:
        return Condition(text, key, sign, quantity(key, value))
    if sign not in _ORDERS:
        return Condition(text, key, sign, value)
    number = number_of(value)
    if number is None:
        raise ConfigurationError(
            f"--where {text!r}: {value!r} is no number, and {sign} compares numbers.",
            f"Give a number, or ask for equality: {key}={value or 'VALUE'}.",
        )
    return Condition(text, key, sign, number)


def _equals(there: Any, wanted: str | float) -> bool:
    """Numbers by value, texts as patterns, whatever their case; one of several where there are commas."""
    if isinstance(wanted, float):
        return number_of(there) == wanted
    return any(_is(there, each.strip()) for each in (wanted, *wanted.split(",")))


def _is(there: Any, wanted: str) -> bool:
    if there is None:
        return wanted.casefold() in _NOTHING
    number, other = number_of(there), number_of(wanted)
    if number is not None and other is not None:
        return number == other
    text = str(there).casefold()
    return text == wanted.casefold() or fnmatchcase(text, wanted.casefold())
