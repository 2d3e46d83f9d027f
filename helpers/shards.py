"""Large arrays in checkpoints: a .npy file each, linked from the checkpoint before where nothing changed.

A worker's memory is cut into shards, blocks of rows with a version each. A save writes the shards whose
version is new; of the others the checkpoint takes the file that is there already, as a hard link with the
same proof. So each checkpoint is whole by itself, and removing one never hurts another.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers import durable
from helpers.durable import Bytes, Proof, UnprovenError
from helpers.errors import CheckpointError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_ENDING = ".npy"
_MAGIC_AND_LENGTH = 10  # bytes of a .npy file of version 1.0 before its header


@dataclass(frozen=True)
class Shard:
    """A part of a worker's large state.

    Attributes:
        version: changes whenever the content does; equal versions of one name mean equal bytes.
        array: the content, of any dtype but objects; read while the checkpoint is saved.
    """

    version: str
    array: np.ndarray


def shard_file(rank: int, name: str) -> str:
    """The file of a worker's shard: "worker_000.memory.transitions.0007.npy".

    Raises:
        ValueError: the name is no part of a file's name.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"a shard cannot be called {name!r}: letters, digits, _ . and - only")
    return f"{_prefix(rank)}{name}{_ENDING}"


def versions_of(shards: Mapping[str, Shard], rank: int) -> dict[str, str]:
    """The versions of a worker's shards, by file.

    Raises:
        ValueError, TypeError: a shard's name or array cannot be saved.
    """
    for name, shard in shards.items():
        if shard.array.dtype.hasobject:
            raise TypeError(f"a shard holds numbers, not objects (at {name})")
    return {shard_file(rank, name): shard.version for name, shard in shards.items()}


def _prefix(rank: int) -> str:
    return f"worker_{rank:03d}."


def npy_parts(array: np.ndarray) -> list[Bytes]:
    """The bytes of a .npy file, in parts; a contiguous array is referred to, not copied."""
    plain = np.ascontiguousarray(array)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header,
        {
            "descr": np.lib.format.dtype_to_descr(plain.dtype),
            "fortran_order": False,
            "shape": array.shape,
        },
    )
    return [header.getvalue(), plain.reshape(-1).view(np.uint8).data]


def npy_array(content: bytearray) -> np.ndarray:
    """The array of a .npy file's content, which it shares and may change; never unpickled.

    The content is trusted: prove it first.

    Raises:
        UnprovenError: it is no such file.
    """
    length = _MAGIC_AND_LENGTH + int.from_bytes(content[8:_MAGIC_AND_LENGTH], "little")
    header = io.BytesIO(content[:length])
    try:
        np.lib.format.read_magic(header)
        shape, _, dtype = np.lib.format.read_array_header_1_0(header)
        return np.ndarray(shape, dtype, buffer=content, offset=length)
    except (ValueError, TypeError) as error:
        raise UnprovenError(f"is no array: {error}") from error


class StoredShards(Mapping[str, np.ndarray]):
    """A worker's shards in a checkpoint, read and proven each time that one is asked for.

    Args:
        folder: of the checkpoint.
        rank: the worker's.
        manifest: its entries "files" and "shards".

    Attributes:
        versions: of each.
        known: those whose content the worker has: it wrote them or has read them. Only these may be
            linked by the next save, for a version says nothing about what another process did.
    """

    def __init__(self, folder: Path, rank: int, manifest: Mapping[str, Any]) -> None:
        self.versions: dict[str, str] = {}
        self.known: set[str] = set()
        self._folder, self._rank = folder, rank
        self._proofs: dict[str, Proof] = {}
        for file, version in manifest.get("shards", {}).items():
            if file.startswith(_prefix(rank)):
                name = file.removeprefix(_prefix(rank)).removesuffix(_ENDING)
                self.versions[name] = version
                self._proofs[name] = manifest["files"][file]

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            array = self.proven(name)
        except UnprovenError as error:  # it was proven when the checkpoint was chosen
            raise CheckpointError(
                f"{self._folder} has changed while it was read: {error}.",
                "Start the same command again: it takes the newest checkpoint that is whole.",
            ) from error
        self.known.add(name)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self.versions)

    def __len__(self) -> int:
        return len(self.versions)

    def proven(self, name: str) -> np.ndarray:
        """The array of a shard.

        Raises:
            UnprovenError: its file is missing, unreadable or altered.
        """
        file = shard_file(self._rank, name)
        try:
            return npy_array(durable.read_file(self._folder / file, self._proofs[name]))
        except UnprovenError as error:
            words = str(error)
            raise UnprovenError(words if words.startswith(file) else f"{file} {words}") from error

    def prove(self) -> None:
        """Read them all once, one after the other.

        Raises:
            UnprovenError: one is missing, unreadable or altered.
        """
        for name in self:
            self.proven(name)

    def link(self, name: str, version: str, target: Path) -> Proof | None:
        """Give the file of a shard a second name; its proof, or None where it has to be written.

        It has to be where its version is another one or its content is not known, and where a file
        system has no hard links, or the file is gone or cut.
        """
        if name not in self.known or self.versions[name] != version:
            return None
        proof = self._proofs[name]
        try:
            os.link(self._folder / target.name, target)
            if target.stat().st_size == proof["bytes"]:
                return proof
            target.unlink()
        except OSError:
            return None  # if this is the disk, writing will say so
        return None


def write_shards(
    staging: Path,
    shards: Mapping[str, Shard],
    *,
    rank: int,
    before: StoredShards | None,
) -> dict[str, Proof]:
    """Bring a worker's shards into a checkpoint's folder, linked or written; the proofs, by file.

    Args:
        staging: the folder of the checkpoint that is being made.
        shards: all of them, by name.
        rank: the worker's.
        before: those of the checkpoint that this worker saved or loaded last.

    Raises:
        OSError: one can neither be linked nor written.
    """
    proofs: dict[str, Proof] = {}
    for name, shard in shards.items():
        path = staging / shard_file(rank, name)
        proof = before.link(name, shard.version, path) if before else None
        proofs[path.name] = proof or durable.write_file(path, npy_parts(shard.array))
    return proofs
