"""`metrics.jsonl`: one JSON object an iteration, append-only, the truth that other trackers are rebuilt from."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.durable import write_atomically
from helpers.errors import StorageError

Row = Mapping[str, Any]
FREE_SPACE = "Free space there, then run the same command again: it continues."


class MetricsLog:
    """The metrics of a run, a row an iteration. Made on the root worker alone.

    A number is written so that reading gives it back exactly. What is not finite is written `NaN`,
    `Infinity`, `-Infinity`: Python and most readers take these, strict JSON does not know them.

    Args:
        path: the file.
        resume_after: the iteration of the checkpoint that the run continues from: rows beyond it, and
            a last row that was cut short, are dropped, so that the rows end up those of an
            uninterrupted run. None for a fresh run, which begins an empty file.

    Raises:
        StorageError: the disk is full or not writable. The rows there were stay as they were.
    """

    def __init__(self, path: Path, *, resume_after: int | None) -> None:
        self.path = path
        self.last_row: Row | None = None
        try:
            kept = b"" if resume_after is None else self._rows_until(resume_after)
            if not path.exists() or path.read_bytes() != kept:
                write_atomically(path, kept)
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            raise _storage_error(path, error) from error

    def log(self, row: Row) -> None:
        """Append a row; it is with the operating system when this returns.

        Raises:
            StorageError: the disk is full or gone.
            ValueError: "iteration" or "step" is missing, or the iteration is not beyond the last.
        """
        if "iteration" not in row or "step" not in row:
            raise ValueError(f"a metrics row needs 'iteration' and 'step', got {sorted(row)}")
        if self.last_row is not None and row["iteration"] <= self.last_row["iteration"]:
            raise ValueError(
                f"iteration {row['iteration']} after iteration {self.last_row['iteration']}",
            )
        line = json.dumps({name: plain(value) for name, value in row.items()}) + "\n"
        self._write(line.encode())
        self.last_row = dict(row)

    def sync(self) -> None:
        """Force the rows to the disk: before a checkpoint that counts on them is committed."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise _storage_error(self.path, error) from error

    def close(self) -> None:
        """Sync and close; calling it again does nothing."""
        if self._file >= 0:
            self.sync()
            os.close(self._file)
            self._file = -1

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise _storage_error(self.path, error) from error

    def _rows_until(self, resume_after: int) -> bytes:
        """The file's lines up to the iteration, byte for byte."""
        if not self.path.exists():
            return b""
        kept = []
        for line in self.path.read_bytes().splitlines(keepends=True):
            row = parse_row(line)
            if row is not None and row["iteration"] <= resume_after:
                kept.append(line)
                self.last_row = row
        return b"".join(kept)


def parse_row(line: bytes) -> dict[str, Any] | None:
    """The row of a line, or None where the line is incomplete or no row."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("iteration"), int) else None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All complete rows, in order; also of a run that is still writing, or was killed while it wrote.

    Raises:
        StorageError: there is no such file, or it cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be read: {error.strerror}",
            "Give a run folder that has a metrics.jsonl: data/runs/NAME.",
        ) from error
    return [row for row in map(parse_row, lines) if row is not None]


def bits_of(row: Row) -> str:
    """A row without its wall-clock figures, as a text: two are the same where all bits of their numbers are."""
    kept = {name: plain(value) for name, value in row.items() if not name.startswith("time/")}
    return json.dumps(kept, sort_keys=True)


def is_number(value: object) -> bool:
    """Whether a value of a row is a finite number, what a curve can show."""
    return isinstance(value, int | float) and math.isfinite(value)


def plain(value: Any) -> Any:
    """A NumPy or torch scalar as the Python number of the same value."""
    return value.item() if hasattr(value, "item") else value


def _storage_error(path: Path, error: OSError) -> StorageError:
    return StorageError(f"{path} cannot be written: {error.strerror}", FREE_SPACE)
