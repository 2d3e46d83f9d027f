"""Observations of several parts as one vector a step, in the order of Gymnasium's `flatten`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from helpers.errors import ConfigurationError

# An array (T, ...), or parts of an observation by their names.
Column: TypeAlias = np.ndarray | Mapping[str, "Column"]


def vectors_of(column: Column, space: Mapping[str, Any], *, where: str) -> np.ndarray:
    """(T, size): boxes flattened, choices one-hot, the parts of Dict and Tuple one after another.

    Args:
        column: as it was read.
        space: as Minari's JSON describes it; empty: parts are taken in the order of their names, arrays as they are.
        where: it was read, for messages.

    Raises:
        ConfigurationError: a part is missing, or is of a kind that has no numbers.
    """
    kind = space.get("type")
    if not isinstance(column, np.ndarray):
        if kind not in (None, "Dict", "Tuple"):
            raise ConfigurationError(
                f"{where} has observations in several parts, and its space is {kind}.",
                "Write the dataset again with minari.",
            )
        pieces = [
            vectors_of(part, inner, where=where).reshape(_rows(part), -1)
            for part, inner in _parts(column, space, where)
        ]
        if len({len(each) for each in pieces}) != 1:
            raise ConfigurationError(
                f"{where}: the parts of its observations are not equally long.",
                "Write the dataset again with minari.",
            )
        return np.concatenate(pieces, axis=1)
    if column.dtype.kind not in "fiub":
        raise ConfigurationError(
            f"{where} has observations of the space {kind or column.dtype}, which are no numbers.",
            "Record observations of numbers alone (Box, Discrete, MultiBinary, MultiDiscrete, Dict, Tuple).",
        )
    if kind == "Discrete":
        return _one_hot(column.reshape(-1) - int(space.get("start", 0)), int(space["n"]), where)
    if kind == "MultiDiscrete":
        sizes = np.asarray(space["nvec"]).reshape(-1)
        starts = np.broadcast_to(np.asarray(space.get("start", 0)).reshape(-1), sizes.shape)
        digits = column.reshape(len(column), -1) - starts
        pairs = zip(digits.T, sizes, strict=True)
        return np.concatenate([_one_hot(each, int(n), where) for each, n in pairs], axis=1)
    return column.reshape(len(column), -1) if kind in ("Box", "MultiBinary") else column


def _rows(column: Column) -> int:
    while not isinstance(column, np.ndarray):
        column = next(iter(column.values()))
    return len(column)


def _parts(
    column: Mapping[str, Column],
    space: Mapping[str, Any],
    where: str,
) -> list[tuple[Column, Mapping[str, Any]]]:
    inner = space.get("subspaces")
    if isinstance(inner, list):  # a Tuple
        inner = {str(index): each for index, each in enumerate(inner)}
    if not isinstance(inner, dict):
        inner = {name: {} for name in sorted(column)}
    missing = [name for name in inner if name not in column]
    if missing or not inner:
        raise ConfigurationError(
            f"{where} has no part {', '.join(missing)} of its observations.",
            "Write the dataset again with minari.",
        )
    return [(column[name], each) for name, each in inner.items()]


def _one_hot(values: np.ndarray, count: int, where: str) -> np.ndarray:
    whole = values.astype(np.int64)
    if len(whole) and not 0 <= whole.min() <= whole.max() < count:
        raise ConfigurationError(
            f"{where} has an observation that is none of its space's {count} choices.",
            "Write the dataset again with minari.",
        )
    return np.eye(count, dtype=np.float32)[whole]
