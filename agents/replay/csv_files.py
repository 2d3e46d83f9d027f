"""Replay memories as comma-separated values: a line for each step of each environment.

The header is `<name>.<i>`, names sorted. Numbers are written with as many digits as they need to come back
bit for bit, booleans as True and False. What is read are booleans and float64: a text has no dtypes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from helpers.errors import ConfigurationError

_BLOCK = 4096  # lines that are turned at once
_REMEDY = "Export it again, or omit it."
# Nine digits distinguish float32 numbers, also when they are read as float64 and rounded: they lie much
# nearer to the number than to the middle between two. The shortest digits, which repr gives, may not.
_FORMATS = {"float32": "%.9g", "float64": "%.17g", "bool": "%s", "float16": "%.9g"}


def write_csv(file: BinaryIO, columns: Mapping[str, np.ndarray]) -> None:
    """Write columns (steps, environments, size): a line for each environment of each step, in this order."""
    names = sorted(columns)
    header = [f"{name}.{i}" for name in names for i in range(columns[name].shape[2])]
    formats = [
        _FORMATS.get(columns[name].dtype.name, "%d")
        for name in names
        for _ in range(columns[name].shape[2])
    ]
    line = (",".join(formats) + "\n").encode()
    file.write((",".join(header) + "\n").encode())
    steps, environments, _ = columns[names[0]].shape
    block = max(1, _BLOCK // environments)
    for start in range(0, steps, block):
        texts = []
        for name in names:
            part = columns[name][start : start + block]
            texts += part.reshape(-1, part.shape[2]).T.tolist()  # a list for each number of a line
        file.write(b"".join(line % row for row in _encode(texts)))


def _encode(columns: list[list]) -> Iterator[tuple]:
    """Rows of columns; booleans as bytes, which is what %s takes."""
    as_bytes = {True: b"True", False: b"False"}
    ready = [
        [as_bytes[each] for each in column] if isinstance(column[0], bool) else column
        for column in columns
    ]
    return zip(*ready, strict=True)


def read_csv(path: Path) -> dict[str, np.ndarray]:
    """Columns (lines, size) by name, booleans or float64.

    Raises:
        ConfigurationError: it cannot be read, is cut off, a field is missing, or is no number.
    """
    try:
        with path.open(encoding="ascii", newline="") as file:
            header = _fields(file.readline())
            sizes = _sizes(header, path)
            blocks = [_by_name(numbers, sizes, path) for numbers in _blocks(file, header, path)]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it holds bytes that are no text"
        raise ConfigurationError(f"{path} cannot be read: {reason}.", _REMEDY) from error
    if not blocks:
        raise ConfigurationError(f"{path} has a header but no data.", _REMEDY)
    # joined name by name, so that no more than one is held twice
    return {name: np.concatenate([block.pop(name) for block in blocks]) for name in sizes}


def _sizes(header: list[str], path: Path) -> dict[str, int]:
    """How many numbers each name has, in the order of the header `name.0,name.1,...`."""
    sizes: dict[str, int] = {}
    for field in header:
        name, _, number = field.rpartition(".")
        if (
            not name
            or number != str(sizes.get(name, 0))
            or (name in sizes and name != [*sizes][-1])
        ):
            raise ConfigurationError(
                f"{path} has {field!r} in its header, where {name or 'name'}.{sizes.get(name, 0)} is expected.",
                _REMEDY,
            )
        sizes[name] = sizes.get(name, 0) + 1
    return sizes


def _by_name(
    numbers: list[np.ndarray],
    sizes: Mapping[str, int],
    path: Path,
) -> dict[str, np.ndarray]:
    """The fields of some lines, (lines,) each, as columns (lines, size)."""
    columns, start = {}, 0
    for name, size in sizes.items():
        fields = numbers[start : start + size]
        if len({each.dtype for each in fields}) > 1:
            raise ConfigurationError(f"{path} has booleans and numbers in {name}.", _REMEDY)
        columns[name] = np.stack(fields, axis=1)
        start += size
    return columns


def _blocks(lines: Iterator[str], header: list[str], path: Path) -> Iterator[list[np.ndarray]]:
    """The columns of one field each, booleans where the first line has one, some thousand lines at a time."""
    kinds: list[bool] = []
    number = 2  # of a block's first line
    while block := list(itertools.islice(lines, _BLOCK)):
        for i, line in enumerate(block, start=number):
            if not line.endswith("\n"):
                raise ConfigurationError(f"{path} is truncated: its line {i} has no end.", _REMEDY)
            if (count := line.count(",") + 1) != len(header):
                raise ConfigurationError(
                    f"{path} has {count} fields in line {i}, but {len(header)} in its header.",
                    _REMEDY,
                )
        kinds = kinds or [text in _BOOLEANS for text in _fields(block[0])]
        dtype = [(field, "U6" if b else "f8") for field, b in zip(header, kinds, strict=True)]
        try:
            table = np.loadtxt(block, dtype, delimiter=",", comments=None, ndmin=1)
        except ValueError:
            raise _refusal(block, kinds, header, path=path, number=number) from None
        columns = [table[field] for field in header]
        for column, is_boolean in zip(columns, kinds, strict=True):
            if is_boolean and not np.isin(column, _BOOLEANS).all():
                raise _refusal(block, kinds, header, path=path, number=number)
        yield [column == "True" if b else column for column, b in zip(columns, kinds, strict=True)]
        number += len(block)


_BOOLEANS = ("True", "False")


def _fields(line: str) -> list[str]:
    return line.rstrip("\r\n").split(",")


def _refusal(
    block: Sequence[str],
    kinds: Sequence[bool],
    header: Sequence[str],
    *,
    path: Path,
    number: int,
) -> ConfigurationError:
    """The first field that is no number, or no boolean."""
    text, field, line, is_boolean = next(
        (text, field, line, is_boolean)
        for line, row in enumerate(block, start=number)
        for text, field, is_boolean in zip(_fields(row), header, kinds, strict=True)
        if not (text in _BOOLEANS if is_boolean else _is_number(text))
    )
    kind = "boolean" if is_boolean else "number"
    return ConfigurationError(
        f"{path} has {text!r} for {field} in line {line}, which is no {kind}.",
        _REMEDY,
    )


def _is_number(text: str) -> bool:
    try:
        np.loadtxt([text or "-"], delimiter=",", comments=None)
    except ValueError:
        return False
    return True
