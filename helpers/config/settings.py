"""One setting: its type, bounds, unit and help, declared once, and how text becomes its value.

A declaration reads `p_lr: float = setting(3e-4, "learning rate", gt=0, group="policy")`. It is the
YAML key, the flag, the tracker key and the key in the saved `config.yaml`.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

Scalar = int | float | bool | str | None
Kind = Literal["int", "float", "bool", "str"]

TRUE_WORDS = ("true", "yes", "on", "1")
FALSE_WORDS = ("false", "no", "off", "0")
LARGEST_INTEGER = 2**63 - 1
_LONGEST_MAPPING = 10_000  # characters
_KINDS: Mapping[type, Kind] = {int: "int", float: "float", bool: "bool", str: "str"}
_SIGNS: Mapping[str, str] = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def setting(
    default: Scalar,
    help_line: str,
    *,
    group: str,
    unit: str = "",
    aliases: tuple[str, ...] = (),
    former: tuple[str, ...] = (),
    identity: bool = True,
    form: str = "",
    pattern: str = "",
    example: str = "",
    mapping: bool = False,
    choices: tuple[str, ...] = (),
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
) -> Any:
    """Declare a setting of a `Settings` class.

    Args:
        default: its value where neither YAML nor command line names it; None only where optional.
        help_line: what it does, in one line.
        group: the heading under which `--help` and `config.yaml` show it.
        unit: steps, iterations, seconds ...
        aliases: other names that YAML and command line may use.
        former: names that it had in earlier versions; read everywhere, shown nowhere.
        identity: whether a run with another value is another run (name and resume check).
        form: what its text looks like, where a pattern rules it ("mlp_64 or mlp_240_160").
        pattern: the regular expression (ASCII) that its whole text must match.
        example: a value that works, shown in remedies; the default where empty.
        mapping: whether its text is a JSON object, which YAML may write as a mapping.
        choices: all texts that it may be, where a table lists them and its type cannot.
        ge, gt, le, lt: bounds of a number.
    """
    bounds = {"ge": ge, "gt": gt, "le": le, "lt": lt}
    declared: dict[str, Any] = {
        "group": group,
        "unit": unit,
        "aliases": list(aliases),
        "former": list(former),
        "identity": identity,
        "form": form,
        "pattern": pattern,
        "example": example,
        "mapping": mapping,
        "choices": list(choices),
        "bounds": {name: bound for name, bound in bounds.items() if bound is not None},
    }
    return Field(
        default=default,
        description=help_line,
        json_schema_extra=declared,
        ge=ge,
        gt=gt,
        le=le,
        lt=lt,
    )


def redeclare(kind: type[Settings], key: str, default: Scalar) -> Any:
    """Declare a setting of another class once more, with another default."""
    info = kind.model_fields[key]
    declared: Any = info.json_schema_extra
    return Field(
        default=default,
        description=info.description,
        json_schema_extra=declared,
        **declared["bounds"],
    )


@dataclass(frozen=True)
class Setting:
    """A declared setting, as parser, help, saved file and JSON Schema see it."""

    key: str
    kind: Kind
    choices: tuple[str, ...]
    is_optional: bool
    default: Scalar
    help_line: str
    group: str
    unit: str
    aliases: tuple[str, ...]
    former: tuple[str, ...]
    identity: bool
    form: str
    pattern: str
    example: str
    is_mapping: bool
    bounds: Mapping[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """All names that are read."""
        return (self.key, *self.aliases, *self.former)

    @property
    def bounds_text(self) -> str:
        """The bounds as a reader writes them: ">= 0 and <= 1", or nothing."""
        return " and ".join(f"{_SIGNS[name]} {show(bound)}" for name, bound in self.bounds.items())

    @property
    def rule(self) -> str:
        """What a value must be, to stand after "is not"."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind == "bool":
            return "true or false"
        if self.kind == "str":
            return f"of the form {self.form}" if self.form else "a text"
        noun = "a whole number" if self.kind == "int" else "a number"
        return f"{noun} {self.bounds_text}".strip()

    @property
    def working_value(self) -> str:
        """A value that is accepted, as text."""
        if self.example:
            return self.example
        if self.default is not None:
            return show(self.default)
        return {"int": "1", "float": "1.0", "bool": "true", "str": "name"}[self.kind]

    def read(self, value: object) -> Scalar:
        """The value of a text, or of a scalar that is typed already; bounds are checked elsewhere.

        Raises:
            ValueError: the value is not of this setting's type or form.
        """
        if value is None or (value == "" and self.is_optional):
            if self.is_optional:
                return None
            raise ValueError("a value is missing")
        if self.kind == "int":
            return read_integer(value)
        if self.kind == "float":
            return read_float(value)
        if self.kind == "bool":
            return read_switch(value)
        return self._read_text(value)

    def _read_text(self, value: object) -> str:
        if self.is_mapping:
            return read_mapping(value)
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError("not a text")
        text = str(value)
        if self.choices and text not in self.choices:
            raise ValueError("not among the choices")
        if self.pattern and not re.fullmatch(self.pattern, text, re.ASCII):
            raise ValueError("not of the form")
        if not text or "\0" in text:
            raise ValueError("empty, or holds a null character")
        text.encode()  # a lone surrogate (argv that is not UTF-8) raises UnicodeEncodeError here
        return text


def read_integer(value: object) -> int:
    """A whole number from 2048, 2048.0, "2048", "2e3" or "1e7"; never from 2.5 or True.

    Raises:
        ValueError: it is none, or has more than 63 bits.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("not a number")
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation as error:
        raise ValueError("not a number") from error
    # the exponent first: int(Decimal("1e999999999")) would fill the memory
    if not number.is_finite() or number.adjusted() > 18 or number != number.to_integral_value():
        raise ValueError("not a whole number of 63 bits")
    if abs(number) > LARGEST_INTEGER:
        raise ValueError("not a whole number of 63 bits")
    return int(number)


def read_float(value: object) -> float:
    """A finite number from 1, 0.5, "3e-4" (which PyYAML leaves a text) or "1".

    Raises:
        ValueError: it is none, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("not a number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def read_switch(value: object) -> bool:
    """True or False from a bool, 1, 0, "true", "yes", "on", "false", "no" or "off".

    Raises:
        ValueError: it is none of these.
    """
    word = str(value).strip().lower() if isinstance(value, bool | int | str) else ""
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError("not true or false")


def read_mapping(value: object) -> str:
    """A mapping by names as JSON text, names in order, so that equal mappings are equal texts.

    Args:
        value: JSON text, or what a YAML file says, where every scalar is a text still.

    Raises:
        ValueError: it is no mapping, or has a value that JSON does not have (NaN).
    """
    found = json.loads(value, parse_constant=_no_constant) if isinstance(value, str) else value
    if not isinstance(found, Mapping):
        raise ValueError("not a mapping")
    typed = found if isinstance(value, str) else _typed(found)
    text = json.dumps(typed, sort_keys=True, allow_nan=False, ensure_ascii=True)
    if len(text) > _LONGEST_MAPPING:
        raise ValueError("too long")
    return text


def _typed(value: Any) -> Any:
    """Texts of a YAML file as the numbers and switches that they are in JSON, if they are."""
    if isinstance(value, Mapping):
        return {str(name): _typed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_typed(each) for each in value]
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value, parse_constant=_no_constant)
    except ValueError:
        return value
    return value if isinstance(found, dict | list) else found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def show(value: Scalar) -> str:
    """A value as text that `Setting.read` gives back."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


class Settings(BaseModel):
    """Settings that belong together. Objects are frozen and know no key that is not declared."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
        defer_build=True,  # of some forty classes a run uses one: half of the import's time
    )

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: object, info: ValidationInfo) -> object:
        """One reader for command line, YAML and Python."""
        each = settings_of(cls).get(str(info.field_name))
        return each.read(value) if each else value  # a field without a declaration is no setting

    @classmethod
    def settings_for(cls, values: Mapping[str, Any]) -> Mapping[str, Setting]:
        """All settings, by key, of an object with these values."""
        return settings_of(cls)

    @property
    def settings(self) -> Mapping[str, Setting]:
        """All settings by key."""
        return self.settings_for(vars(self))

    def warnings(self) -> tuple[str, ...]:
        """Warnings about values that are valid but probably unintended."""
        return ()


def cross_field_error(problem: str, remedy: str) -> PydanticCustomError:
    """The error of a rule over several settings, which keeps problem and remedy apart."""
    parts = {"problem": problem, "remedy": remedy}
    return PydanticCustomError("cross_field", "{problem} {remedy}", parts)


@cache
def settings_of(kind: type[Settings]) -> Mapping[str, Setting]:
    """The settings that a class declares, by key, in that order."""
    found = {}
    for key, info in kind.model_fields.items():
        declared: Any = info.json_schema_extra
        if declared is None:
            continue
        plain, choices, is_optional = _parse_annotation(info.annotation)
        found[key] = Setting(
            key=key,
            kind=plain,
            choices=choices or tuple(declared["choices"]),
            is_optional=is_optional,
            default=info.default,
            help_line=info.description or "",
            group=declared["group"],
            unit=declared["unit"],
            aliases=tuple(declared["aliases"]),
            former=tuple(declared["former"]),
            identity=declared["identity"],
            form=declared["form"],
            pattern=declared["pattern"],
            example=declared["example"],
            is_mapping=declared["mapping"],
            bounds=declared["bounds"],
        )
    return found


def _parse_annotation(annotation: Any) -> tuple[Kind, tuple[str, ...], bool]:
    """(kind, choices, is optional) of `int`, `float | None`, `Literal["a", "b"]` ..."""
    is_optional = False
    if get_origin(annotation) in (Union, types.UnionType):
        members = get_args(annotation)
        is_optional = type(None) in members
        (annotation,) = (member for member in members if member is not type(None))
    if get_origin(annotation) is Literal:
        return "str", get_args(annotation), is_optional
    return _KINDS[annotation], (), is_optional
