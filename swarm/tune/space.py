"""A search space: what each dimension may be, and the constraints that drawn values are brought to satisfy.

    search:
      gae_lambda: {uniform: [0.9, 1.0]}
      lr: {choice: [1.0e-3, 1.0e-4]}            # p_lr and v_lr together
      batch_size: {randint: [128, 16384]}
    constraints:
      - rollout_len >= 2 * batch_size
      - rollout_len multiple_of batch_size

Plain data: nothing is evaluated as a program, and Ray is not needed to read it.
"""

from __future__ import annotations

import itertools
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from helpers.errors import ConfigurationError

Value = str | int | float | bool | None
Accepts = Callable[[Mapping[str, Any]], str]  # why settings cannot be run together, or ""
Kind = Literal["uniform", "loguniform", "randint", "choice"]
KINDS = ("uniform", "loguniform", "randint", "choice")
MOST_DRAWS = 1000  # until a space counts as empty
_CONSTRAINT = re.compile(r"\s*(\w+)\s+(>=|<=|>|<|multiple_of)\s+(\S.*?)\s*")
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Dimension:
    """One thing that is searched.

    Attributes:
        name: as people read it: a setting, or a name that stands for several.
        keys: the settings that take its value.
        kind: of its distribution.
        values: (low, high) of the first two kinds; (low, high), high included, of randint; the choices.
    """

    name: str
    keys: tuple[str, ...]
    kind: Kind
    values: tuple[Any, ...]

    def draw(self, generator: np.random.Generator) -> Value:
        """One value."""
        if self.kind == "choice":
            return self.values[int(generator.integers(len(self.values)))]
        low, high = self.values
        if self.kind == "randint":
            return int(generator.integers(low, high, endpoint=True))
        if self.kind == "loguniform":
            return float(math.exp(generator.uniform(math.log(low), math.log(high))))
        return float(generator.uniform(low, high))

    def bound(self, value: Value) -> Value:
        """The nearest value that this dimension may have; a choice stays what it is."""
        if self.kind == "choice" or isinstance(value, str | None):
            return value
        low, high = self.values
        kept = min(max(value, low), high)
        return round(kept) if self.kind == "randint" else float(kept)


@dataclass(frozen=True)
class Constraint:
    """`key comparison factor * other`, or `key multiple_of ...`; the right side is a product."""

    key: str
    comparison: str
    factor: float
    others: tuple[str, ...]

    @property
    def text(self) -> str:
        """As it is written."""
        numbers = [f"{self.factor:g}"] if self.factor != 1 or not self.others else []
        return f"{self.key} {self.comparison} {' * '.join([*numbers, *self.others])}"

    def holds(self, settings: Mapping[str, Any]) -> bool:
        """Whether settings satisfy it."""
        left, right = float(settings[self.key]), self._right(settings)
        if self.comparison == "multiple_of":
            return right > 0 and left > 0 and left % right == 0
        return _COMPARISONS[self.comparison](left, right)

    def repaired(self, settings: Mapping[str, Any]) -> float | int:
        """The value of `key` nearest to what it is that satisfies it."""
        left, right = settings[self.key], self._right(settings)
        if self.holds(settings):
            return left
        if self.comparison == "multiple_of":
            return max(1, round(left / right)) * int(right)
        if not isinstance(left, int):
            step = 0.0 if self.comparison in (">=", "<=") else 1e-9 * max(abs(right), 1.0)
            return right + step if self.comparison[0] == ">" else right - step
        if self.comparison[0] == ">":
            return math.ceil(right) + (self.comparison == ">" and right == math.ceil(right))
        return math.floor(right) - (self.comparison == "<" and right == math.floor(right))

    def _right(self, settings: Mapping[str, Any]) -> float:
        return math.prod([self.factor, *(float(settings[name]) for name in self.others)])


@dataclass(frozen=True)
class Space:
    """All dimensions, and what binds them.

    Attributes:
        dimensions: in the file's order.
        constraints: in the file's order; each is repaired after those before it.
        fixed: the settings that are not searched.
        start: what the first trials draw from, by the dimension's name.
    """

    dimensions: tuple[Dimension, ...]
    constraints: tuple[Constraint, ...]
    fixed: Mapping[str, Any]
    start: Mapping[str, Dimension] = field(default_factory=dict)

    @property
    def first_seed(self) -> int:
        """The seed of the first trial; the others' are counted up from it."""
        return int(self.fixed.get("seed") or 0)

    def settle(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """The dimensions' values nearest to these, within bounds and constraints where that can be."""
        settled = {each.name: each.bound(values[each.name]) for each in self.dimensions}
        owners = {key: each for each in self.dimensions for key in each.keys}
        for _ in range(2):  # a repair may break the one before it, once
            for constraint in self.constraints:
                owner = owners.get(constraint.key)
                if owner is not None:
                    settled[owner.name] = constraint.repaired(self.settings(settled))
        return settled

    def settings(self, values: Mapping[str, Value]) -> dict[str, Any]:
        """The settings of a run that the dimensions' values make, over those that are fixed."""
        own = {key: values[each.name] for each in self.dimensions for key in each.keys}
        return {**self.fixed, **own}

    def problem(self, values: Mapping[str, Value]) -> str:
        """The first constraint or bound that values break; "" where all is well."""
        settings = self.settings(values)
        for constraint in self.constraints:
            if not constraint.holds(settings):
                return constraint.text
        for each in self.dimensions:
            if each.kind != "choice" and each.bound(values[each.name]) != values[each.name]:
                low, high = each.values
                return f"{low} <= {each.name} <= {high}"
        return ""

    def draws(self, count: int, *, seed: int, accepts: Accepts) -> list[dict[str, Value]]:
        """`count` points, drawn independently, the same for the same seed.

        Raises:
            ConfigurationError: of a thousand draws not one satisfies the constraints.
        """
        generator = np.random.default_rng(seed)
        return [self._draw(generator, accepts) for _ in range(count)]

    def _draw(self, generator: np.random.Generator, accepts: Accepts) -> dict[str, Value]:
        refusal = ""
        for _ in range(MOST_DRAWS):
            first = {
                each.name: self.start.get(each.name, each).draw(generator)
                for each in self.dimensions
            }
            values = self.settle(first)
            refusal = self.problem(values) or accepts(self.settings(values))
            if not refusal:
                return values
        raise ConfigurationError(
            f"No draw of the search space can be run, in {MOST_DRAWS}: {refusal}",
            "Widen `search`, or change `constraints`.",
        )

    def grid(self, *, accepts: Accepts) -> list[dict[str, Value]]:
        """Every combination of the choices that can be run, without repetition.

        Raises:
            ConfigurationError: a dimension has no choices, or no combination can be run.
        """
        for each in self.dimensions:
            if each.kind != "choice":
                raise ConfigurationError(
                    f"search: {each.name} is {each.kind}, of which there is no grid.",
                    f"Write its values, {each.name}: {{choice: [...]}}, or take another scheduler.",
                )
        found, refusal = [], ""
        for combination in itertools.product(*(each.values for each in self.dimensions)):
            names = (each.name for each in self.dimensions)
            values = self.settle(dict(zip(names, combination, strict=True)))
            refusal = self.problem(values) or accepts(self.settings(values))
            if not refusal and values not in found:
                found.append(values)
        if not found:
            raise ConfigurationError(
                f"No combination of the grid can be run: {refusal}",
                "Change the choices of `search`, or `constraints`.",
            )
        return found


def read_dimension(
    name: str,
    keys: Sequence[str],
    value: object,
    read: Callable[[object], Value],
) -> Dimension:
    """The dimension of a mapping such as {uniform: [0.9, 1.0]}.

    Args:
        name: as the file has it.
        keys: the settings that take its value.
        value: the mapping, its scalars as text.
        read: one value of these settings, of their type and within their bounds; ValueError for others.

    Raises:
        ConfigurationError: it is none.
    """
    remedy = f"Write {name}: {{uniform: [LOW, HIGH]}}, or loguniform, randint, choice: [A, B, C]."
    if not isinstance(value, Mapping) or len(value) != 1 or next(iter(value)) not in KINDS:
        raise ConfigurationError(f"search: {name} is {str(value)[:60]}, no distribution.", remedy)
    ((kind, given),) = value.items()
    if not isinstance(given, list) or not given:
        raise ConfigurationError(f"search: {name} has no values: {str(given)[:60]}.", remedy)
    values = []
    for each in given:
        try:
            values.append(read(each))
        except ValueError:
            raise ConfigurationError(
                f"search: {name} does not take {str(each)[:60]}.",
                f"{name} is {' and '.join(keys)}: give values that main.py takes for it.",
            ) from None
    if kind == "choice":
        return Dimension(name, tuple(keys), "choice", tuple(dict.fromkeys(values)))
    numbers = [
        each for each in values if isinstance(each, int | float) and not isinstance(each, bool)
    ]
    if len(values) != 2 or len(numbers) != 2 or not numbers[0] < numbers[1]:
        raise ConfigurationError(
            f"search: {name} takes {kind}: [LOW, HIGH], two numbers, LOW less than HIGH, not {given}.",
            remedy,
        )
    if kind == "loguniform" and numbers[0] <= 0:
        raise ConfigurationError(
            f"search: {name} is loguniform from {numbers[0]}; logarithms begin above 0.",
            f"Write {name}: {{loguniform: [1.0e-5, {numbers[1]}]}}.",
        )
    if (kind == "randint") != isinstance(numbers[0], int):
        other = "uniform" if kind == "randint" else "randint"
        raise ConfigurationError(
            f"search: {name} is {kind}, but its setting takes {'whole ' * (kind != 'randint')}numbers.",
            f"Write {name}: {{{other}: [{numbers[0]}, {numbers[1]}]}}.",
        )
    return Dimension(name, tuple(keys), kind, tuple(numbers))


def read_constraint(text: object, key_of: Callable[[str], str]) -> Constraint:
    """The constraint of a line such as "rollout_len >= 2 * batch_size".

    Args:
        text: the line.
        key_of: the setting that a name stands for; raises for others.

    Raises:
        ConfigurationError: it is none.
    """
    match = _CONSTRAINT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ConfigurationError(
            f"constraints: {str(text)[:60]} is no constraint.",
            "Write NAME >= NUMBER * NAME, with one of >= <= > < multiple_of.",
        )
    name, comparison, right = match.groups()
    factor, others = 1.0, []
    for part in right.split("*"):
        try:
            factor *= float(part)
        except ValueError:
            others.append(key_of(part.strip()))
    return Constraint(key_of(name), comparison, factor, tuple(others))
