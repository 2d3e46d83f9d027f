"""Observations in parts as one vector, by what `contract.json` says of them; NumPy alone is needed.

The order and the numbers are those of Gymnasium's `flatten`. `environments/suites/parts.py` writes the parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Part = Mapping[str, Any]


def flatten_parts(parts: Sequence[Part], observation: Any, dtype: np.dtype) -> np.ndarray:
    """The vector (size,) of an observation as the environment gives it, or (B, size) of a batch of each part.

    Args:
        parts: of the contract.
        observation: a mapping, a tuple, or an array, nested as the environment's own.
        dtype: of the vector.

    Raises:
        ValueError: a part is missing, of another shape, or a choice that there is not.
    """
    pieces = [_numbers_of(part, _at(observation, part)) for part in parts]
    leads = {piece.shape[:-1] for piece in pieces}
    if len(leads) != 1:
        raise ValueError("the parts of the observation are not of one batch")
    return np.concatenate([piece.astype(dtype) for piece in pieces], axis=-1)


def _at(observation: Any, part: Part) -> Any:
    found = observation
    for step in part["path"]:
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"the observation has no part {part['name']}") from error
    return found


def _numbers_of(part: Part, value: Any) -> np.ndarray:
    """(size,) or (B, size)."""
    if part["kind"] == "Text":
        return _text(part, value)
    array, shape = np.asarray(value), tuple(part["shape"])
    lead = array.shape[: array.ndim - len(shape)]
    if array.shape[len(lead) :] != shape or len(lead) > 1 or array.dtype.kind not in "fiub":
        raise ValueError(f"{part['name']} is {array.shape}, expected {shape} or (batch, ...)")
    if "sizes" not in part:
        if part["kind"] not in ("Box", "MultiBinary"):
            raise ValueError(f"{part['name']} is of {part['kind']}: give the vector of numbers")
        return array.reshape(*lead, part["size"])
    digits = array.reshape(*lead, len(part["sizes"])) - np.asarray(part["starts"])
    if (digits != np.rint(digits)).any() or (digits < 0).any() or (digits >= part["sizes"]).any():
        raise ValueError(f"{part['name']} is {array.tolist()}, which is no choice of its space")
    hot = [np.arange(size) == digits[..., i, None] for i, size in enumerate(part["sizes"])]
    return np.concatenate(hot, axis=-1)


def _text(part: Part, value: Any) -> np.ndarray:
    """The places of a text's characters, filled up with how many characters there are."""
    known, size = part["characters"], part["size"]
    texts = [value] if isinstance(value, str) else list(value)
    rows = np.full((len(texts), size), len(known))
    for row, text in zip(rows, texts, strict=True):
        places = [known.find(each) for each in text]
        if len(places) > size or min(places, default=0) < 0:
            raise ValueError(f"{part['name']} is {text!r}, which is no text of its space")
        row[: len(places)] = places
    return rows[0] if isinstance(value, str) else rows
