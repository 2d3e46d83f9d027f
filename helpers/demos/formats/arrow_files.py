"""Columns of Arrow and Parquet files as arrays, by the package `pyarrow`, which only these formats need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from helpers.demos.formats.spaces import Column
from helpers.errors import ConfigurationError
from helpers.free_space import require_memory


def read_columns(path: Path) -> dict[str, Column]:
    """All columns of numbers of a file, structures by the names of their parts; others are left.

    Raises:
        ConfigurationError: pyarrow is not installed, or the file is damaged.
    """
    table = read_table(path)
    found = {}
    for name in table.column_names:
        array = table.column(name).combine_chunks()
        column = _column(array.combine_chunks() if hasattr(array, "combine_chunks") else array)
        if column is not None:
            found[name] = column
    return found


def read_table(path: Path, columns: list[str] | None = None) -> Any:
    """A `pyarrow.Table`, of the named columns as far as they are there.

    Raises:
        ConfigurationError: pyarrow is not installed, or the file is damaged.
    """
    try:
        import pyarrow
        from pyarrow import ipc
    except ImportError as error:
        raise ConfigurationError(
            f"{path} is an Arrow file, and the package pyarrow is not installed.",
            "Install it: pip install pyarrow.",
        ) from error
    require_memory(
        4 * path.stat().st_size,
        what=f"{path} unpacked",
        remedy="Use fewer demonstrations, or a machine with more memory.",
    )
    try:
        if path.suffix == ".parquet":
            from pyarrow import parquet

            with parquet.ParquetFile(path) as file:
                table = file.read()
        else:
            with path.open("rb") as file:
                is_file = file.read(6) == b"ARROW1"
                file.seek(0)
                reader = ipc.open_file(file) if is_file else ipc.open_stream(file)
                table = reader.read_all()
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise ConfigurationError(
            f"{path} is not a complete Arrow file: {' '.join(str(error).split())}.",
            "Download or write it again.",
        ) from error
    return (
        table if columns is None else table.select([c for c in columns if c in table.column_names])
    )


def _column(array: Any) -> Column | None:
    """Numbers (T,), vectors (T, n), or parts; None of what has no numbers."""
    import pyarrow

    kind = array.type
    if pyarrow.types.is_struct(kind):
        parts = {kind.field(i).name: _column(array.field(i)) for i in range(kind.num_fields)}
        return {name: each for name, each in parts.items() if each is not None}
    if pyarrow.types.is_fixed_size_list(kind):
        numbers = _column(array.flatten())
        return None if numbers is None else np.asarray(numbers).reshape(len(array), kind.list_size)
    is_number = pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)
    if is_number or pyarrow.types.is_boolean(kind):
        return np.asarray(array.to_numpy(zero_copy_only=False))
    return None
