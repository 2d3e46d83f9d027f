"""The state of one environment as plain data, from which a fresh copy continues bit for bit.

Saved of every wrapper, of the environment itself and of the `stateful_parts` it may name
(a mapping from names to further objects): the instance attributes that are plain (None, bool,
int, float, NumPy numbers and numeric arrays, lists and tuples of such) or random generators.
Not saved: strings, dicts, spaces, surfaces and whatever else a constructor makes anew.
`SimulationSaver` adds the simulator where the environment has one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from helpers.errors import CheckpointError

State = Mapping[str, Any]

_KIND = "kind"  # marks a mapping that stands for a value which is no JSON scalar
_BIT_GENERATORS = {
    name: getattr(np.random, name) for name in ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
}
# How the environment is shown, not where it stands: kept by the environment that is restored.
_NOT_STATE = frozenset({"render_mode"})


class NotPlainError(TypeError):
    """A value that is not saved."""


def capture(env: gymnasium.Env) -> State:
    """The plain attributes and generators of an environment, by part and name."""
    return {name: _capture_part(part) for name, part in _parts(env).items()}


def restore(env: gymnasium.Env, state: State) -> None:
    """Put an environment of the same construction where `capture` found the first one.

    Raises:
        CheckpointError: the state is of an environment with other wrappers or parts.
    """
    parts = _parts(env)
    if set(parts) != set(state):
        raise CheckpointError(
            f"The saved environment consists of {sorted(state)}, this one of {sorted(parts)}.",
            "Continue with the package versions of the run (capsule.json), or start a new run.",
        )
    for name, part in parts.items():
        attributes = vars(part)
        for attribute, value in state[name].items():
            attributes[attribute] = _decode(value, attributes.get(attribute))


def _parts(env: gymnasium.Env) -> dict[str, Any]:
    """The objects that hold an environment's state, outermost wrapper first."""
    parts: dict[str, Any] = {}
    layer: Any = env
    while isinstance(layer, gymnasium.Wrapper):
        parts[f"{len(parts)}_{type(layer).__name__}"] = layer
        layer = layer.env
    parts[type(layer).__name__] = layer
    return parts | getattr(layer, "stateful_parts", {})


def _capture_part(part: Any) -> State:
    captured = {}
    for name, value in vars(part).items():
        if name not in _NOT_STATE:
            try:
                captured[name] = _encode(value)
            except NotPlainError:
                continue
    return captured


def _encode(value: Any) -> Any:
    """A value as JSON scalars, numeric arrays and mappings of them.

    Raises:
        NotPlainError: the value is of another kind.
    """
    if value is None or type(value) in (bool, int):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {_KIND: "float", "text": repr(value)}
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return {_KIND: "number", "array": np.array([value])}
    if type(value) is np.ndarray and value.dtype.kind in "biuf":
        return value.copy()
    if type(value) in (list, tuple):
        items = {str(i): _encode(item) for i, item in enumerate(value)}
        return {_KIND: type(value).__name__, "items": items}
    if type(value) is np.random.Generator:
        return {_KIND: "generator", "state": value.bit_generator.state}
    if type(value) is np.random.RandomState:
        return {_KIND: "random_state", "state": value.get_state(legacy=False)}
    raise NotPlainError


def _decode(value: Any, present: Any) -> Any:
    """What `_encode` was given. A generator that is `present` is moved rather than replaced."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if not isinstance(value, Mapping):
        return value
    match value[_KIND]:
        case "float":
            return float(value["text"])
        case "number":
            return value["array"][0]
        case "generator":
            if type(present) is not np.random.Generator:
                present = np.random.Generator(_BIT_GENERATORS[value["state"]["bit_generator"]]())
            present.bit_generator.state = value["state"]
            return present
        case "random_state":
            if type(present) is not np.random.RandomState:
                present = np.random.RandomState()
            present.set_state(value["state"])
            return present
        case kind:
            items = [_decode(value["items"][str(i)], None) for i in range(len(value["items"]))]
            return tuple(items) if kind == "tuple" else items
