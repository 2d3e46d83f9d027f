"""The numbers in a pickle, read as data: its instructions are walked, and no class or function that they name is used.

`pickletools` splits a file into instructions. Here they fill a stack of plain values; what would make an object becomes
an `Inert` that only remembers its name, arguments and state; numpy's arrays and numbers, known by name, are made of
their bytes. So a file can do nothing, whatever it says.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from helpers.errors import CheckpointError

LARGEST = 64 * 2**20  # bytes
_MOST = 100_000  # instructions
_DTYPES = frozenset("f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1".split())
_MARK = object()
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,  # nobody looks into it
    "EMPTY_TUPLE": tuple,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
}
_VALUES = frozenset(
    "BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 BININT BININT1 BININT2 LONG1 "
    "LONG4 BINFLOAT".split(),
)
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass
class Inert:
    """What stands where a pickle wants an object.

    Attributes:
        name: of its class or function, "module.name"; of a name alone, that.
        arguments: it would be called with.
        state: it would be given; a mapping by attribute, for most.
    """

    name: str
    arguments: tuple[Any, ...] | None = None
    state: Any = None
    items: list[Any] = field(default_factory=list)


def read_inert(path: Path) -> Any:
    """The value that a pickle of protocol 2 or later describes.

    Raises:
        CheckpointError: it cannot be read, or is no such pickle.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror or error}.",
            "Give an existing file.",
        ) from error
    if len(content) > LARGEST:
        raise CheckpointError(f"{path} is larger than {LARGEST:,} bytes.", "Give another file.")
    machine = _Machine()
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(content)):
            if count > _MOST:
                raise ValueError("too many instructions")
            machine.step(instruction.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, UnicodeError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path} is damaged, or no pickle of protocol 2 or later ({reason}).",
            "Save it again with a current version of its library.",
        ) from error
    return machine.stack[-1] if machine.stack else None


class _Machine:
    """A stack and a memory."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """One instruction.

        Raises:
            ValueError: an instruction that nobody needs to write numbers.
        """
        stack = self.stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _TUPLES:
            stack[-_TUPLES[name] :] = [tuple(self._pop(_TUPLES[name]))]
        elif name in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
            self.memory[len(self.memory) if argument is None else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memory[argument])
        elif name not in ("PROTO", "FRAME", "STOP"):
            action = _ACTIONS.get(name)
            if action is None:
                raise ValueError(f"instruction {name}")
            action(self, argument)

    def _pop(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise IndexError("the stack is empty")
        return self.stack[len(self.stack) - count :]

    def take(self, count: int) -> list[Any]:
        """The topmost values, taken off."""
        found = self._pop(count)
        del self.stack[len(self.stack) - count :]
        return found

    def since_mark(self) -> list[Any]:
        """The values above the last mark, taken off with it."""
        place = max(i for i, value in enumerate(self.stack) if value is _MARK)
        found = self.stack[place + 1 :]
        del self.stack[place:]
        return found

    def name(self, argument: Any) -> None:
        """A class or function by its name, which is never looked up."""
        module, name = argument.split(" ", 1) if argument else self.take(2)
        self.stack.append(Inert(f"{module}.{name}"))

    def call(self, _: Any) -> None:
        """What would be a call."""
        called, arguments = self.take(2)
        self.stack.append(_called(called, tuple(arguments)))

    def call_with_names(self, _: Any) -> None:
        """What would be a call with keywords."""
        called, arguments, names = self.take(3)
        self.stack.append(_called(called, (*arguments, names)))

    def build(self, _: Any) -> None:
        """What would set an object's state."""
        target, state = self.take(2)
        if not isinstance(target, Inert):
            raise TypeError("a state without an object")
        target.state = state
        array = _array_of(target)
        if array is None:
            self.stack.append(target)
            return
        self.stack.append(array)
        self.memory = {k: array if value is target else value for k, value in self.memory.items()}

    def append(self, values: Sequence[Any]) -> None:
        """Add to the list below."""
        target = self.stack[-1]
        (target.items if isinstance(target, Inert) else target).extend(values)

    def put(self, values: Sequence[Any]) -> None:
        """Add keys and values to the mapping below."""
        target, pairs = self.stack[-1], list(zip(values[::2], values[1::2], strict=True))
        if isinstance(target, Inert):
            target.items.extend(pairs)
        else:
            target.update({key: value for key, value in pairs if isinstance(key, str | int)})


_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_with_names,
    "BUILD": _Machine.build,
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "FROZENSET": lambda machine, _: machine.stack.append(machine.since_mark()),
    "APPEND": lambda machine, _: machine.append(machine.take(1)),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.put(machine.take(2)),
    "SETITEMS": lambda machine, _: machine.put(machine.since_mark()),
    "POP": lambda machine, _: machine.take(1).clear(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
}


# numpy's own ways of writing arrays, by name


def _called(called: Any, arguments: tuple[Any, ...]) -> Any:
    if not isinstance(called, Inert):
        raise TypeError("a call of a value")
    name = called.name.replace("numpy.core.", "numpy._core.")
    if name == "numpy._core.multiarray.scalar" and len(arguments) == 2:
        kind = _dtype_of(arguments[0])
        return np.frombuffer(_bytes_of(arguments[1]), kind)[0].item() if kind else Inert(name)
    if name == "numpy._core.numeric._frombuffer":
        content, described, shape, order = arguments
        kind = _dtype_of(described)
        return _array(_bytes_of(content), kind, shape, order) if kind else Inert(name)
    if name == "_codecs.encode" and arguments[1:] == ("latin1",):  # bytes in protocol 2
        return str(arguments[0]).encode("latin1")
    return Inert(name, arguments)


def _array_of(made: Inert) -> np.ndarray | None:
    """The array that `_reconstruct` and its state (version, shape, dtype, is Fortran, bytes) describe."""
    if made.name != "numpy._core.multiarray._reconstruct":
        return None
    _, shape, described, is_fortran, content = made.state
    kind = _dtype_of(described)
    return _array(_bytes_of(content), kind, shape, "F" if is_fortran else "C") if kind else None


def _dtype_of(described: Any) -> np.dtype | None:
    """A plain number's type; None of any other."""
    if not isinstance(described, Inert) or described.name != "numpy.dtype":
        return None
    code = str((described.arguments or ("",))[0])
    order = described.state[1] if isinstance(described.state, tuple) else "="
    if code not in _DTYPES or order not in ("<", ">", "=", "|"):
        return None
    return np.dtype(f"{order}{code}")


def _array(content: bytes, kind: np.dtype, shape: Any, order: str) -> np.ndarray:
    sizes = tuple(int(size) for size in shape)
    return np.frombuffer(content, kind).reshape(sizes, order="F" if order == "F" else "C").copy()


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, Inert) and value.name == "_codecs.encode":
        raise ValueError("bytes of another encoding")
    if not isinstance(value, bytes | bytearray):
        raise TypeError("no bytes where an array's are expected")
    return bytes(value)
