"""What an observation's numbers stand for, where the environment gives it in parts or in another form than a vector.

A part is plain data; `contract.json` of an exported policy has it (`registry/package/observation_parts.py` reads it):

    {"name": "goal.position", "path": ["goal", "position"], "kind": "Box", "first": 4, "size": 3,
     "shape": [3], "dtype": "float64"}

Parts come in the order of Gymnasium's `flatten`, and every number of the vector is of one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim, flatten_space

Part = dict[str, Any]
# Above this many bits float32 has not every whole number.
_EXACT_BITS = 24


class FlatSpace(spaces.Box):
    """Vectors of an observation space's numbers, and what they stand for.

    Args:
        low, high: (size,) bounds.
        dtype: of the numbers.
        parts: in the order of the numbers.
    """

    def __init__(self, low: Any, high: Any, *, dtype: Any, parts: Sequence[Part]) -> None:
        super().__init__(low, high, dtype=dtype)
        self.parts = list(parts)


def flat_space(space: gymnasium.Space) -> FlatSpace:
    """The vectors of a space that Gymnasium flattens.

    They are float32, or float64 where a part has numbers that float32 has not.
    """
    flat = flatten_space(space)
    assert isinstance(flat, spaces.Box)
    wide = any(_is_wide(np.dtype(each["dtype"])) for each in parts_of(space) if "dtype" in each)
    dtype: Any = np.float64 if wide else np.float32
    low, high = flat.low.astype(dtype), flat.high.astype(dtype)
    return FlatSpace(low, high, dtype=dtype, parts=parts_of(space))


def _is_wide(dtype: np.dtype) -> bool:
    return dtype == np.float64 or (dtype.kind in "iu" and dtype.itemsize * 8 > _EXACT_BITS)


def parts_of(space: gymnasium.Space) -> list[Part]:
    """The parts of an observation space that Gymnasium flattens, in the order in which it does."""
    found: list[Part] = []
    _collect(space, [], found)
    return found


def _collect(space: gymnasium.Space, path: list[str | int], found: list[Part]) -> None:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        inner = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        for name, each in inner:
            _collect(each, [*path, name], found)
        return
    first = found[-1]["first"] + found[-1]["size"] if found else 0
    part: Part = {
        "name": ".".join(map(str, path)) or "observation",
        "path": path,
        "kind": _kind_of(space),
        "first": first,
        "size": int(flatdim(space)),
        "shape": [int(each) for each in space.shape or ()],
    }
    found.append(part | _details_of(space))


def _kind_of(space: gymnasium.Space) -> str:
    """Gymnasium's class, also of those derived from it."""
    known = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary, spaces.Text)
    return next((each.__name__ for each in known if isinstance(space, each)), type(space).__name__)


def _details_of(space: gymnasium.Space) -> Part:
    match space:
        case spaces.Box():
            return {"dtype": str(space.dtype)}
        case spaces.Discrete():
            return {"sizes": [int(space.n)], "starts": [int(space.start)]}
        case spaces.MultiDiscrete():
            return {"sizes": space.nvec.ravel().tolist(), "starts": space.start.ravel().tolist()}
        case spaces.Text():
            return {"characters": "".join(space.character_list)}
    return {}


def component_names(space: gymnasium.Space) -> list[str] | None:
    """A name for each number of an observation in parts: `goal.position[2]`; None of a plain vector."""
    parts = getattr(space, "parts", None)
    if parts is None:
        return None
    return [name for part in parts for name in _names_of(part)]


def _names_of(part: Part) -> list[str]:
    name, size = part["name"], part["size"]
    if "sizes" in part:
        pairs = zip(part["sizes"], part["starts"], strict=True)
        values = [(index, start + k) for index, (n, start) in enumerate(pairs) for k in range(n)]
        is_one = part["kind"] == "Discrete"
        return [f"{name}={v}" if is_one else f"{name}[{i}]={v}" for i, v in values]
    if size == 1 and not part["shape"]:
        return [name]
    shape = part["shape"] or [size]
    places = np.ndindex(*shape)
    return [f"{name}[{', '.join(map(str, place))}]" for place in places]
