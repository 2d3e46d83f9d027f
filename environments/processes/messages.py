"""What goes between a worker and the processes that step its environments: JSON and arrays, no pickle.

A message is two lengths, a header of JSON, and the bytes of its arrays, which the JSON names in their order.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from helpers.errors import UserError

_LENGTHS = struct.Struct("<QQ")
_ARRAY, _OBJECTS = "__array__", "__objects__"


class Crashed(Exception):
    """A process of environments has failed: its last words."""

    def refusal(self, problem: str, remedy: str) -> UserError:
        """That it ends the run."""
        return UserError(problem, remedy, detail=str(self))


class ConnectionLost(Exception):
    """The other side is gone."""


def send(connection: socket.socket, message: Any) -> None:
    """Send a value made of mappings, lists, JSON's scalars, NumPy's numbers and arrays; tuples come as lists.

    Raises:
        ConnectionLost: nobody reads.
    """
    arrays: list[bytes] = []
    header = json.dumps(_plain(message, arrays)).encode()
    lengths = _LENGTHS.pack(len(header), sum(map(len, arrays)))
    try:
        connection.sendall(b"".join([lengths, header, *arrays]))
    except OSError as error:
        raise ConnectionLost(str(error)) from error


def receive(connection: socket.socket) -> Any:
    """The next message.

    Raises:
        ConnectionLost: there is none, and will be none.
        TimeoutError: none came within the connection's timeout.
    """
    header, arrays = _LENGTHS.unpack(_read(connection, _LENGTHS.size))
    content = _read(connection, header + arrays)
    return _Arrays(content, header).put_into(json.loads(content[:header].decode()))


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


def _plain(value: Any, arrays: list[bytes]) -> Any:
    """JSON for a value; its arrays' bytes, in C order, go to a list."""
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return {_OBJECTS: [_plain(each, arrays) for each in value.tolist()]}
        arrays.append(value.tobytes())
        return {_ARRAY: value.dtype.str, "shape": value.shape}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(name): _plain(each, arrays) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, arrays) for each in value]
    return value


class _Arrays:
    """The arrays of a message, which follow its header in the order in which the header names them."""

    def __init__(self, content: bytearray, start: int) -> None:
        self._content, self._at = content, start

    def put_into(self, value: Any) -> Any:
        """A value from its JSON."""
        if isinstance(value, list):
            return [self.put_into(each) for each in value]
        if not isinstance(value, dict):
            return value
        if _OBJECTS in value:
            found = np.full(len(value[_OBJECTS]), None, dtype=object)
            for index, each in enumerate(value[_OBJECTS]):
                found[index] = self.put_into(each)
            return found
        if _ARRAY in value:
            dtype, shape = np.dtype(value[_ARRAY]), value["shape"]
            count = math.prod(shape)
            array = (
                np.frombuffer(self._content, dtype, count, self._at)
                if count
                else np.empty(0, dtype)
            )
            self._at += count * dtype.itemsize
            return array.reshape(shape)
        return {name: self.put_into(each) for name, each in value.items()}
