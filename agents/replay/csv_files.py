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
            header = file.readline().rstrip("\r\n").split(",")
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
    """The columns, numbers of one field each, some thousand lines at a time."""
    kinds: list[bool] = []
    number = 2  # of a block's first line
    while block := list(itertools.islice(lines, _BLOCK)):
        if not block[-1].endswith("\n"):
            raise ConfigurationError(
                f"{path} is truncated: its line {number + len(block) - 1} has no end.",
                _REMEDY,
            )
        rows = [line.rstrip("\r\n").split(",") for line in block]
        for i, row in enumerate(rows):
            if len(row) != len(header):
                raise ConfigurationError(
                    f"{path} has {len(row)} fields in line {number + i}, but {len(header)} in its header.",
                    _REMEDY,
                )
        kinds = kinds or [field in _BOOLEANS for field in rows[0]]
        yield [
            _array(texts, is_boolean, path=path, field=field, line=number)
            for texts, is_boolean, field in zip(zip(*rows, strict=True), kinds, header, strict=True)
        ]
        number += len(block)


_BOOLEANS = {"True": True, "False": False}


def _array(
    texts: Sequence[str],
    is_boolean: bool,
    *,
    path: Path,
    field: str,
    line: int,
) -> np.ndarray:
    """One field of some lines; booleans if the first line has one."""
    parse = _BOOLEANS.__getitem__ if is_boolean else float
    try:
        return np.fromiter(map(parse, texts), np.bool_ if is_boolean else np.float64, len(texts))
    except (ValueError, KeyError):
        place = next(i for i, text in enumerate(texts) if not _is_good(text, is_boolean))
    raise ConfigurationError(
        f"{path} has {texts[place]!r} for {field} in line {line + place}, which is no "
        f"{'boolean' if is_boolean else 'number'}.",
        _REMEDY,
    )


def _is_good(text: str, is_boolean: bool) -> bool:
    if is_boolean:
        return text in _BOOLEANS
    try:
        float(text)
    except ValueError:
        return False
    return True
