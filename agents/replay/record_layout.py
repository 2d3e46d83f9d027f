"""Transitions as records: how the replay memory lays them out, allocates them, and gives them out as columns."""

from __future__ import annotations

import errno
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from agents.replay.files import MemoryColumns
from helpers.errors import CheckpointError, ConfigurationError, StorageError
from helpers.free_space import require_disk, require_memory

# skrl's names of the columns, in which memories are exported, and those of `agents.base.Transitions`
COLUMNS = {
    "states": "observations",
    "actions": "actions",
    "rewards": "rewards",
    "next_states": "next_observations",
    "terminated": "terminated",
    "truncated": "truncated",
}
_WORD = 8  # bytes; records are copied in whole words

Column = tuple[np.dtype, tuple[int, ...]]


def record_dtype(*, observation: Column, action: Column, reward: np.dtype) -> np.dtype:
    """One transition; its size is a multiple of 8 bytes, and each number lies at a multiple of its own."""
    fields = [
        ("observations", *observation),
        ("actions", *action),
        ("rewards", reward, ()),
        ("next_observations", *observation),
        ("terminated", np.dtype(np.bool_), ()),
        ("truncated", np.dtype(np.bool_), ()),
    ]
    offsets, end = [], 0
    for _, dtype, shape in fields:
        start = -(-end // dtype.itemsize) * dtype.itemsize
        offsets.append(start)
        end = start + dtype.itemsize * math.prod(shape)
    return np.dtype(
        {
            "names": [name for name, _, _ in fields],
            "formats": [(dtype, shape) for _, dtype, shape in fields],
            "offsets": offsets,
            "itemsize": -(-end // _WORD) * _WORD,
        },
    )


class RecordLayout:
    """An array of records, and other looks at the same bytes.

    Attributes:
        records: (R, N) or (B,).
        fields: the columns, (R, N, ...) or (B, ...), by name.
        flat: the columns, (R * N, ...), by name.
        words: int64 (R * N, words of a record).
    """

    def __init__(self, records: np.ndarray) -> None:
        names = records.dtype.names or ()
        flat = records.reshape(-1)
        self.records = records
        self.fields = {name: records[name] for name in names}
        self.flat = {name: flat[name] for name in names}
        self.words = flat.view(np.int64).reshape(len(flat), -1)


def allocate(
    rows: int,
    environments: int,
    record: np.dtype,
    *,
    folder: Path | None,
    beside: int,
    workers_here: int,
) -> np.ndarray:
    """Records (rows, environments), zero, in memory or in a file of a folder that has no name.

    Args:
        rows, environments: the shape.
        record: the dtype.
        folder: of the file; made where it is missing.
        beside: bytes that priorities take, always in memory.
        workers_here: how many workers of this machine allocate as much.

    Raises:
        ConfigurationError: there is not so much room.
        StorageError: the folder cannot be written.
    """
    size = rows * environments * record.itemsize
    require_space(
        rows,
        environments,
        record,
        folder=folder,
        beside=beside,
        workers_here=workers_here,
    )
    if folder is None:
        return np.zeros((rows, environments), record)
    folder = folder.expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            # all of it now: a mapped file that finds its disk full later ends the process
            os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, record, mode="r+", shape=(rows, environments))
    except OSError as error:
        raise _unwritable(folder, error) from error


def require_space(
    rows: int,
    environments: int,
    record: np.dtype,
    *,
    folder: Path | None,
    beside: int,
    workers_here: int,
) -> None:
    """Refuse a memory that does not fit; the arguments are those of `allocate`. Nothing is made.

    Raises:
        ConfigurationError: there is not so much room.
        StorageError: the folder cannot be written.
    """
    size = rows * environments * record.itemsize
    what = f"The replay memory takes {rows:,} steps x {environments:,} environments x {record.itemsize} bytes"
    if folder is None and beside:
        what += f" + {beside:,} bytes of priorities"
    if workers_here > 1:
        what += f", x {workers_here} workers of this machine,"
    if folder is None:
        remedy = "Lower --mem_size, or keep it on a disk: --memory_folder=PATH."
        require_memory((size + beside) * workers_here, what=what, remedy=remedy)
        return
    whole = folder.expanduser().absolute()
    there = next(path for path in (whole, *whole.parents) if path.exists())
    try:
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        remedy = "Lower --mem_size, or choose a larger disk: --memory_folder=PATH."
        require_disk(size * workers_here, folder=there, what=what, remedy=remedy)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{folder} cannot hold the replay buffer: {error.strerror or error}.",
        "Choose another --memory_folder, or omit it to use RAM.",
    )


def as_columns(records: np.ndarray) -> dict[str, np.ndarray]:
    """Records (T, N) as arrays (T, N, size) by skrl's names; scalars have size 1, pictures are flat."""
    return {
        name: records[field].reshape(*records.shape, -1)  # (T, N, ...) -> (T, N, size)
        for name, field in COLUMNS.items()
    }


def from_columns(columns: MemoryColumns, environments: slice, ring: np.ndarray) -> int:
    """Write columns (T, all environments, size) into the first rows of a ring (R, N); T.

    Raises:
        ConfigurationError: they do not fit; nothing was written.
    """
    converted = convert_columns(columns, environments, ring.dtype, ring.shape)
    steps = len(converted["rewards"])
    for field, column in converted.items():
        ring[field][:steps] = column
    return steps


def convert_columns(
    columns: MemoryColumns,
    environments: slice,
    record: np.dtype,
    shape: tuple[int, ...],
) -> dict[str, np.ndarray]:
    """Columns (T, all environments, size) as the fields (T, N, ...) of records, for a ring (R, N).

    Raises:
        ConfigurationError: they do not fit.
    """
    rows, own = shape
    _check_names(columns)
    steps, there = columns["rewards"].shape[:2]
    if len(range(there)[environments]) != own:
        raise ConfigurationError(
            f"{columns.source} holds {there} environments, but this run has others ({own} here).",
            f"Import it with --num_envs={there}, or give the files of a run with the same number.",
        )
    if steps > rows:
        raise ConfigurationError(
            f"{columns.source} holds {steps:,} steps of each environment, but the replay buffer {rows:,}.",
            f"Use --mem_size={steps * there}, or import fewer files.",
        )
    converted = {}
    for name, field in COLUMNS.items():
        column = columns[name][:, environments]
        dtype, one = record[field].base, record[field].shape
        if column.shape[2] != math.prod(one):
            raise ConfigurationError(
                f"{columns.source} has {column.shape[2]} numbers per step in {name}, but this run has "
                f"{math.prod(one)}.",
                "Import a replay buffer of this environment.",
            )
        converted[field] = _as_dtype(column, dtype, columns, name).reshape(steps, own, *one)
    return converted


def _check_names(columns: MemoryColumns) -> None:
    missing = [name for name in COLUMNS if name not in columns]
    unknown = [name for name in columns if name not in COLUMNS]
    if missing:
        raise ConfigurationError(
            f"{columns.source} has no column {', '.join(missing)}, only {', '.join(columns)}.",
            f"An exported file has the columns {', '.join(COLUMNS)}.",
        )
    if unknown:
        raise ConfigurationError(
            f"{columns.source} has a column {', '.join(unknown)}, which is not a column of replay buffers.",
            f"An exported file has the columns {', '.join(COLUMNS)}.",
        )


def _as_dtype(
    column: np.ndarray,
    dtype: np.dtype,
    columns: MemoryColumns,
    name: str,
) -> np.ndarray:
    """The column, of this dtype; numbers of a text, which has none, become what was written as text."""
    if column.dtype == dtype:
        return column
    is_text = columns.from_text and column.dtype == np.float64 and dtype != np.bool_
    if is_text:
        with np.errstate(over="ignore", invalid="ignore"):
            converted = column.astype(dtype)
        if dtype.kind == "f" and np.array_equal(np.isfinite(converted), np.isfinite(column)):
            return converted
        if dtype.kind in "iu" and np.array_equal(converted.astype(np.float64), column):
            return converted
    what = f"{column.dtype} in {name}, but this run has {dtype}"
    if is_text:
        what = f"numbers that are no {dtype} in {name}"
    raise ConfigurationError(
        f"{columns.source} has {what}.",
        "Import a replay buffer of the same --precision and of this environment.",
    )


def frame_shape(observation: tuple[int, ...], frames: int) -> tuple[int, ...]:
    """The shape of what is kept of a flat observation, where each of its stacked frames is kept once."""
    return observation if frames == 1 else (observation[0] // frames,)


def load_rows(rows: np.ndarray, shards: Mapping[str, np.ndarray], name: str) -> None:
    """Fill rows with the blocks that a checkpoint holds under a name.

    Raises:
        CheckpointError: there are fewer, or of another form.
    """
    start = block = 0
    while start < len(rows):
        array = shards.get(f"{name}.{block:04d}")
        if array is None or array.shape[1:] != rows.shape[1:] or array.dtype != rows.dtype:
            there = "is missing" if array is None else f"holds {row_in_words(array)}"
            raise CheckpointError(
                f"{name}.{block:04d} {there}; this replay buffer needs {row_in_words(rows)}.",
                "Continue with the environments, precision and priorities of that run.",
            )
        stop = start + len(array)
        rows[start:stop] = array
        start, block = stop, block + 1


def row_in_words(array: np.ndarray) -> str:
    """What a row of an array is, for a message."""
    return f"a row of {array.shape[1:]} x {array.dtype.itemsize} bytes"
