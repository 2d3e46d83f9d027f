"""States as safetensors files: nested mappings of arrays and scalars, given back exactly, never pickled.

The arrays are the file's tensors, named by their path in the state ("agent/normalizer/mean"). The state
itself, with a reference in the place of each array, is JSON under the key "state" of the file's metadata.
So one file says everything, any safetensors reader gets at its arrays, and one sha256 proves it.

The header is written and read here, since arrays then go to the disk, and come from proven bytes, without a copy.
The library's `serialize` makes the whole file once more in memory, `deserialize` each array, and `serialize_file`
leaves no chance to hash what is written.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from helpers.durable import Bytes

State = Mapping[str, Any]

_ALIGNMENT = 64  # bytes; the first tensor begins at a multiple
_NAMES: Mapping[str, str] = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}
# What a JSON object in the state stands for, by its only key.
_MAPPING, _FLOAT, _NUMPY, _SCALAR, _TORCH = "mapping", "float", "numpy", "numpy_scalar", "torch"


@dataclass(frozen=True)
class _Tensor:
    """An array on its way to the file: its dtype's name there, its shape, its bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: np.ndarray


def pack(state: State) -> list[Bytes]:
    """The bytes of a file that holds the state, in parts; arrays are referred to, not copied.

    Leaves are None, bool, int of any size, float (NaN and infinities too), str, numpy arrays and
    scalars, and CPU or accelerator tensors; lists hold leaves, lists and mappings.

    Raises:
        TypeError: the state holds something else, or a key that is no string.
    """
    tensors: dict[str, _Tensor] = {}
    tree = json.dumps(_encode(state, (), tensors), allow_nan=False, separators=(",", ":"))
    # Wider elements first, as the library orders them: so each tensor is aligned to its element.
    order = sorted(tensors, key=lambda name: (-_width(tensors[name].dtype), name))
    header: dict[str, Any] = {"__metadata__": {"state": tree}}
    end = 0
    for name in order:
        start, end = end, end + tensors[name].data.size
        header[name] = {
            "dtype": tensors[name].dtype,
            "shape": tensors[name].shape,
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return [len(text).to_bytes(8, "little") + text, *(tensors[name].data.data for name in order)]


def unpack(content: bytearray) -> dict[str, Any]:
    """The state in a file's content, which its arrays share and may change.

    The content is trusted: prove it first.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    tree = json.loads(header.pop("__metadata__")["state"])
    arrays = {}
    for name, entry in header.items():
        # numpy has no bfloat16: its bits travel as integers
        dtype = "int16" if entry["dtype"] == "BF16" else _DTYPES[entry["dtype"]]
        offset = start + entry["data_offsets"][0]
        arrays[name] = np.ndarray(tuple(entry["shape"]), dtype, buffer=content, offset=offset)
    half_precision = {name for name, entry in header.items() if entry["dtype"] == "BF16"}
    state: dict[str, Any] = _decode(tree, arrays, half_precision)
    return state


def _encode(value: Any, path: tuple[str, ...], tensors: dict[str, _Tensor]) -> Any:
    """The JSON that stands for a value; its arrays go into `tensors` under their paths."""
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {_FLOAT: repr(value)}
    if isinstance(value, Mapping):
        return {_MAPPING: {k: _encode(v, (*path, _part(k)), tensors) for k, v in value.items()}}
    if type(value) is list:
        return [_encode(v, (*path, str(i)), tensors) for i, v in enumerate(value)]
    name = "/".join(path)
    if name == "__metadata__":
        raise TypeError("a state has no array called __metadata__: safetensors keeps that name")
    kind, tensors[name] = _tensor(value, name)
    return {kind: name}


def _decode(node: Any, arrays: Mapping[str, np.ndarray], half_precision: set[str]) -> Any:
    """The value that `_encode` made this JSON of."""
    if isinstance(node, list):
        return [_decode(each, arrays, half_precision) for each in node]
    if not isinstance(node, dict):
        return node
    ((kind, content),) = node.items()
    if kind == _MAPPING:
        return {key: _decode(each, arrays, half_precision) for key, each in content.items()}
    if kind == _FLOAT:
        return float(content)
    if kind == _NUMPY:
        return arrays[content]
    if kind == _SCALAR:
        return arrays[content][()]
    import torch

    tensor = torch.from_numpy(arrays[content])
    return tensor.view(torch.bfloat16) if content in half_precision else tensor


def _part(key: Any) -> str:
    """A key as a part of a path: a "/" within it is written "~1", a "~" as "~0"."""
    if type(key) is not str:
        raise TypeError(f"the keys of a state are strings, not {key!r}")
    return key.replace("~", "~0").replace("/", "~1")


def _tensor(value: Any, name: str) -> tuple[str, _Tensor]:
    """(what it comes back as, its bytes) of an array, a numpy scalar or a tensor."""
    torch = sys.modules.get("torch")  # without torch there is no tensor
    if torch is not None and isinstance(value, torch.Tensor):
        kind, dtype = _TORCH, str(value.dtype).removeprefix("torch.")
        plain = value.detach().cpu().contiguous()
        array = (plain.view(torch.int16) if dtype == "bfloat16" else plain).numpy()
    elif type(value) is np.ndarray or isinstance(value, np.generic):
        kind = _NUMPY if type(value) is np.ndarray else _SCALAR
        array = np.asarray(value)
        dtype = array.dtype.name if array.dtype.isnative else array.dtype.str
    else:
        raise TypeError(f"a state cannot hold a {type(value).__name__} (at {name})")
    if dtype not in _NAMES:
        raise TypeError(f"a state cannot hold {dtype} (at {name})")
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return kind, _Tensor(_NAMES[dtype], tuple(value.shape), data)


def _width(dtype: str) -> int:
    """Bytes of an element."""
    return 1 if dtype == "BOOL" else int(dtype.lstrip("BFIU")) // 8
