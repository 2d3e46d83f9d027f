"""The JSON Schema of the YAML files: editors complete keys and mark errors by it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from helpers.config.settings import Setting

_TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string"}
_EXPONENT = r"^[-+]?[0-9]+(\.[0-9]+)?[eE][-+]?[0-9]+$"
_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}


def json_schema(sections: Mapping[str, Iterable[Setting]]) -> dict[str, Any]:
    """A draft-07 schema: each key a scalar, or a list of scalars where the file describes a sweep.

    Args:
        sections: all settings by heading.
    """
    found: dict[str, list[Setting]] = {}
    for settings in sections.values():
        for each in settings:
            for name in each.names:
                found.setdefault(name, []).append(each)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Settings of a run; a list of values is a sweep",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _property(name, settings) for name, settings in found.items()},
    }


def json_schema_text(sections: Mapping[str, Iterable[Setting]]) -> str:
    """`json_schema` as the text of a file."""
    return json.dumps(json_schema(sections), indent=2) + "\n"


def _property(name: str, settings: Sequence[Setting]) -> dict[str, Any]:
    first = settings[0]
    scalars: list[dict[str, Any]] = []
    for each in settings:
        scalar = _scalar(each)
        if scalar not in scalars:
            scalars.append(scalar)
    one = scalars[0] if len(scalars) == 1 else {"anyOf": scalars}
    unit = f" ({first.unit})" if first.unit else ""
    alias = "" if name == first.key else f"The same as {first.key}: "
    described = {"description": f"{alias}{first.help_line}{unit}"}
    if name in first.former:
        described |= {"deprecated": True, "deprecationMessage": f"now {first.key}"}  # type: ignore[dict-item]
    if first.default is not None and all(each.default == first.default for each in settings):
        described["default"] = first.default  # type: ignore[assignment]
    choices = {"type": "array", "items": one, "minItems": 1}
    return {**described, "anyOf": [one, choices]}


def _scalar(each: Setting) -> dict[str, Any]:
    if each.choices:
        scalar: dict[str, Any] = {"enum": [*each.choices, *([None] if each.is_optional else [])]}
        return scalar
    kinds = [_TYPES[each.kind]]
    if each.is_mapping:
        kinds.append("object")
    elif each.kind == "str":
        kinds.append("integer")  # iter_num: 620
    if each.is_optional:
        kinds.append("null")
    scalar = {"type": kinds[0] if len(kinds) == 1 else kinds}
    scalar.update({_BOUNDS[name]: bound for name, bound in each.bounds.items()})
    if each.pattern:
        scalar["pattern"] = f"^({each.pattern})$"
    if each.kind == "float":  # 1e-4 is a number in YAML 1.2, and text in 1.1, by which many read
        return {"anyOf": [scalar, {"type": "string", "pattern": _EXPONENT}]}
    return scalar
