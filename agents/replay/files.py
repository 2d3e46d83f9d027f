"""Replay memories as files: PyTorch (pt), NumPy (np) and comma-separated values (csv), written and read.

A file holds columns (steps, environments, size) by name and is called as skrl calls them,

    <directory>/memories/<YY-MM-DD_HH-MM-SS-ffffff>_memory_<hex id>.<pt|npz|csv>

A memory has one id, and a file for each time that it was full; a run has a memory for each worker. Nothing
that is read is unpickled. A file is wholly there or not there.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from agents.replay.csv_files import read_csv, write_csv
from helpers import durable
from helpers.errors import ConfigurationError, StorageError

FORMATS = ("pt", "np", "csv")
# "npz" is taken as "np": skrl's documents say the one, its files end with the other
_ENDINGS = {"pt": "pt", "np": "npz", "npz": "npz", "csv": "csv"}
_NAME = re.compile(r"(?P<time>.*)_memory_(?P<id>\w+)\.\w+")

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class MemoryColumns(Mapping[str, np.ndarray]):
    """What was read: arrays (steps, environments, size) by name, oldest step first.

    Attributes:
        arrays: as in the files; numbers of a text are float64, whatever they were written from.
        source: the files, for messages.
        from_text: whether they were text.
    """

    arrays: Columns
    source: str = "The memory"
    from_text: bool = False

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


def memory_id(run: str, rank: int) -> str:
    """The hexadecimal id of a worker's memory: the same when the run is resumed, in the order of ranks."""
    return f"0x{hashlib.sha256(run.encode()).hexdigest()[:8]}{rank:04x}"


def export_as_set(config: Any, rank: int, memory: Any) -> None:
    """`export_memory` of the replay memory of worker `rank`, as the run's configuration says."""
    run = config.uuid or f"{config.algo}.{config.env_id}.seed{config.seed:02d}"
    export_memory(
        memory.columns(),
        Path(config.memory_export_directory),
        format_=config.memory_export_format,
        id_=memory_id(run, rank),
    )


def export_memory(columns: Columns, directory: Path, *, format_: str, id_: str) -> Path:
    """Write a new file under `directory`/memories; its path.

    Args:
        columns: arrays (steps, environments, size).
        directory: made where it is missing.
        format_: "pt", "np" or "csv".
        id_: of the memory, see `memory_id`.

    Raises:
        ConfigurationError: there is no such format.
        StorageError: it cannot be written.
    """
    if format_ not in _ENDINGS:
        raise ConfigurationError(
            f"{format_!r} is not an export format.",
            f"Give --memory_export_format={', '.join(FORMATS)}.",
        )
    write: dict[str, Callable[[BinaryIO, Columns], None]]
    write = {"pt": _write_pt, "npz": _write_npz, "csv": write_csv}
    ending = _ENDINGS[format_]
    folder = directory / "memories"
    time = datetime.now().strftime("%y-%m-%d_%H-%M-%S-%f")
    path = folder / f"{time}_memory_{id_}.{ending}"
    temporary = folder / durable.temporary_name()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            write[ending](file, columns)
            file.flush()
            os.fsync(file.fileno())
        durable.rename(temporary, path)
    except (OSError, RuntimeError) as error:  # torch gives a full disk as the latter
        raise StorageError(
            f"{path} cannot be written: {getattr(error, 'strerror', None) or error}.",
            "Free space there, or choose another folder: --memory_export_directory=PATH.",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def iterate_memories(pattern: str) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """(file name, columns) of the files that a glob names, sorted by name.

    Columns are (steps, environments, size), of csv files (steps * environments, size): a text does not
    say how many environments it is of.

    Raises:
        ConfigurationError: no file is there, or one is not what it should be.
    """
    for path in find_files(pattern):
        yield path.name, _read(path)


def load_memories(pattern: str, *, num_envs: int) -> MemoryColumns:
    """All that the files of a glob hold, as one memory.

    The files of one id follow one another in time; the memories of different ids, those of a run's
    workers, stand side by side in the order of their ids. Files of one id that hold the same count once:
    a run that was killed after an export and continued exports again.

    Args:
        pattern: a glob; all files are of one format.
        num_envs: environments of all memories together.

    Raises:
        ConfigurationError: no file is there, one is not what it should be, or they do not fit together.
    """
    paths = find_files(pattern)
    endings = sorted({path.suffix for path in paths})
    if len(endings) > 1:
        raise ConfigurationError(
            f"{pattern} matches files of different formats: {', '.join(endings)}.",
            "Import one format at a time, as in --memory_import='memory/memories/*.pt'.",
        )
    memories = _group_by_memory(paths)
    is_text = endings == [".csv"]
    if is_text:
        lines = sum(_steps(memory) for memory in memories.values())
        memories = {
            path: _with_environments(memory, path, lines=lines, num_envs=num_envs)
            for path, memory in memories.items()
        }
    _check_together(memories)
    arrays = _concatenate(list(memories.values()), axis=1)
    there = next(iter(arrays.values())).shape[1]
    if there != num_envs:
        raise ConfigurationError(
            f"{pattern} holds {len(memories)} memories of {there} environments in all, the run has "
            f"{num_envs}.",
            f"Import with --num_envs={there}, or give the files of a run with {num_envs}.",
        )
    return MemoryColumns(arrays, source=pattern, from_text=is_text)


def find_files(pattern: str) -> list[Path]:
    names = glob.glob(os.path.expanduser(pattern), recursive=True)
    paths = [Path(name) for name in names]
    endings = set(_ENDINGS.values())
    found = [path for path in paths if path.is_file() and path.suffix[1:] in endings]
    if not found:
        raise ConfigurationError(
            f"{pattern} matches no exported file: no file ends with {', '.join(sorted(endings))}.",
            "Give a path or a glob in quotes, as in --memory_import='memory/memories/*.pt'.",
        )
    return sorted(found, key=lambda path: (path.name, path))


def _group_by_memory(paths: list[Path]) -> dict[Path, Columns]:
    """The columns of each memory, by its first file, in the order of their ids."""
    groups: dict[str, list[Path]] = {}
    for path in paths:
        match = _NAME.fullmatch(path.name)
        groups.setdefault(match["id"] if match else path.stem, []).append(path)
    memories: dict[Path, Columns] = {}
    for _, files in sorted(groups.items()):
        parts: dict[str, Columns] = {}
        for path in files:
            columns = _read(path)
            if parts:
                _check_alike(columns, next(iter(parts.values())), path, files[0])
            parts.setdefault(_digest(columns), columns)
        memories[files[0]] = _concatenate(list(parts.values()))
    return memories


def _concatenate(parts: list[Columns], axis: int = 0) -> Columns:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts], axis) for name in parts[0]}


def _digest(columns: Columns) -> str:
    digest = hashlib.sha256()
    for name in sorted(columns):
        digest.update(np.ascontiguousarray(columns[name]).data)
    return digest.hexdigest()


def _steps(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _with_environments(
    columns: Columns,
    path: Path,
    *,
    lines: int,
    num_envs: int,
) -> Columns:
    """The columns of a text, (lines, size), as (steps, environments, size)."""
    steps, rest = divmod(lines, num_envs)
    if rest or not steps or _steps(columns) % steps:
        raise ConfigurationError(
            f"{path} has {_steps(columns)} of {lines} lines, which is not a line for each step of each of "
            f"{num_envs} environments.",
            "Import all files of a run, with its --num_envs.",
        )
    # lines go through the environments of a step, then to the next step
    return {name: array.reshape(steps, -1, array.shape[1]) for name, array in columns.items()}


def _check_together(memories: Mapping[Path, Columns]) -> None:
    """That memories can stand side by side."""
    (first, columns), *others = memories.items()
    for path, other in others:
        _check_alike(other, columns, path, first, axis=1)
        if _steps(other) != _steps(columns):
            raise ConfigurationError(
                f"{path} and the files of its id hold {_steps(other)} steps, those of {first} "
                f"{_steps(columns)}.",
                "Import as many files of each worker: a run exports them together.",
            )


def _check_alike(
    columns: Columns,
    expected: Columns,
    path: Path,
    other: Path,
    *,
    axis: int = 0,
) -> None:
    """That two files can be joined along an axis."""
    if sorted(columns) != sorted(expected):
        raise ConfigurationError(
            f"{path} has the columns {', '.join(columns)}, but {other.name} {', '.join(expected)}.",
            "Import the files of one run.",
        )
    for name, array in columns.items():
        there = expected[name]
        shapes = array.shape[axis + 1 :], there.shape[axis + 1 :]
        if shapes[0] != shapes[1] or array.dtype != there.dtype:
            raise ConfigurationError(
                f"{path} has {array.shape} {array.dtype} in {name}, but {other.name} has {there.shape} "
                f"{there.dtype}.",
                "Import the files of one run.",
            )


# Reading and writing


def _read(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".csv":
        return read_csv(path)
    try:
        columns = _read_pt(path) if path.suffix == ".pt" else _read_npz(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise ConfigurationError(
            f"{path} is not a complete exported file: {reason}.",
            "Export it again, or omit it.",
        ) from error
    shapes = {array.shape[:2] for array in columns.values()}
    for name, array in columns.items():
        if array.ndim != 3 or len(shapes) > 1:
            raise ConfigurationError(
                f"{path} has an array {array.shape} in {name}; each is (steps, environments, size), equal except "
                "for the size.",
                "Export it again, or omit it.",
            )
    if not columns:
        raise ConfigurationError(f"{path} has no columns.", "Export it again, or omit it.")
    return columns


def _write_npz(file: BinaryIO, columns: Columns) -> None:
    np.savez(file, allow_pickle=False, **columns)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is cut off, or no .npz file")
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{name} in it is no array")
    return arrays


def _write_pt(file: BinaryIO, columns: Columns) -> None:
    import torch

    tensors = {n: torch.from_numpy(np.ascontiguousarray(array)) for n, array in columns.items()}
    torch.save(tensors, file)


def _read_pt(path: Path) -> dict[str, np.ndarray]:
    import torch

    if not zipfile.is_zipfile(path):
        raise ValueError("it is cut off, or no file of torch.save")
    with zipfile.ZipFile(path) as archive:
        altered = archive.testzip()
    if altered:
        raise ValueError(f"{altered} in it is altered")
    refusal = torch.serialization.pickle.UnpicklingError
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        return {str(name): tensor.numpy() for name, tensor in tensors.items()}
    except (RuntimeError, AttributeError, TypeError, refusal) as error:
        raise ValueError(
            f"it is no dictionary of plain tensors ({type(error).__name__})",
        ) from error
