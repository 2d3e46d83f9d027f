"""What goes between a worker and the processes that step its environments: JSON and arrays, no pickle.

A message is a header (8 bytes for its length, then JSON) and the bytes of its arrays, which the JSON names by number.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

_LENGTH = struct.Struct("<Q")
_ARRAY, _OBJECTS = "__array__", "__objects__"


class ConnectionLost(Exception):
    """The other side is gone."""


def send(connection: socket.socket, message: Any) -> None:
    """Send a value made of mappings, lists, JSON's scalars, NumPy's numbers and arrays; tuples come as lists.

    Raises:
        ConnectionLost: nobody reads.
    """
    arrays: list[np.ndarray] = []
    header = json.dumps(_plain(message, arrays)).encode()
    try:
        connection.sendall(b"".join([_LENGTH.pack(len(header)), header, *map(_bytes, arrays)]))
    except OSError as error:
        raise ConnectionLost(str(error)) from error


def receive(connection: socket.socket) -> Any:
    """The next message.

    Raises:
        ConnectionLost: there is none, and will be none.
        TimeoutError: none came within the connection's timeout.
    """
    (length,) = _LENGTH.unpack(_read(connection, _LENGTH.size))
    return _full(json.loads(_read(connection, length).decode()), connection)


def _bytes(array: np.ndarray) -> bytes:
    return array.tobytes()  # in C order, whatever the array's is


def _read(connection: socket.socket, count: int) -> bytearray:
    content = bytearray(count)
    view = memoryview(content)
    while view:
        try:
            read = connection.recv_into(view)
        except TimeoutError:
            raise
        except OSError as error:
            raise ConnectionLost(str(error)) from error
        if not read:
            raise ConnectionLost("end of messages")
        view = view[read:]
    return content


def _plain(value: Any, arrays: list[np.ndarray]) -> Any:
    """JSON for a value; its arrays go to a list."""
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return {_OBJECTS: [_plain(each, arrays) for each in value.tolist()]}
        arrays.append(value)
        return {_ARRAY: value.dtype.str, "shape": list(value.shape)}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(name): _plain(each, arrays) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, arrays) for each in value]
    return value


def _full(value: Any, connection: socket.socket) -> Any:
    """A value from JSON; its arrays are read in the order in which they were met."""
    if isinstance(value, list):
        return [_full(each, connection) for each in value]
    if not isinstance(value, dict):
        return value
    if _OBJECTS in value:
        found = np.full(len(value[_OBJECTS]), None, dtype=object)
        for index, each in enumerate(value[_OBJECTS]):
            found[index] = _full(each, connection)
        return found
    if _ARRAY in value:
        dtype = np.dtype(value[_ARRAY])
        count = int(np.prod(value["shape"], dtype=np.int64))
        content = _read(connection, count * dtype.itemsize)
        return np.frombuffer(content, dtype).reshape(value["shape"])
    return {name: _full(each, connection) for name, each in value.items()}
