"""Large arrays of checkpoints: one file a worker holds those of all, and nothing that is there is written again.

A worker's memory is cut into shards, blocks of rows with a version each. They lie in its pack,
`checkpoints/worker_000.shards`, each in the format of a .npy file; a checkpoint's manifest says where, with a proof. A
save writes the shards whose version is new into places that no checkpoint needs; of the others the manifest takes the
place that they have. So each checkpoint stays whole, whichever other is removed, and a death while a place is written
hurts none. Older versions kept a file a shard in the checkpoint's own folder; these are read as well.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers import durable
from helpers.checkpoints.manifests import PackedShard, list_checkpoints, pack_file, read_manifest
from helpers.durable import Bytes, Proof, UnprovenError
from helpers.errors import CheckpointError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_ENDING = ".npy"
_SECTOR = 4096  # bytes; a place begins and ends at a multiple, so that no other is touched when the power goes
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


def shard_name(rank: int, name: str) -> str:
    """A worker's shard in a manifest: "worker_000.memory.transitions.0007.npy".

    Raises:
        ValueError: the name has other characters than a file's.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"a shard cannot be called {name!r}: letters, digits, _ . and - only")
    return f"{_prefix(rank)}{name}{_ENDING}"


def check_shards(shards: Mapping[str, Shard] | None) -> Mapping[str, Shard]:
    """Those that there are, if they can be saved.

    Raises:
        ValueError, TypeError: a shard's name or array cannot.
    """
    for name, shard in (shards or {}).items():
        shard_name(0, name)
        if shard.array.dtype.hasobject:
            raise TypeError(f"a shard holds numbers, not objects (at {name})")
    return shards or {}


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
        known: those whose content the worker has: it wrote them or has read them. Only these may be
            kept by the next save, for a version says nothing about what another process did.
    """

    def __init__(self, folder: Path, rank: int, manifest: Mapping[str, Any]) -> None:
        self.known: set[str] = set()
        self._folder, self._rank = folder, rank
        self._pack = folder.parent / pack_file(rank)
        self._packed: dict[str, PackedShard] = {}
        self._files: dict[str, Proof] = {}  # of an older version
        for full, shard in manifest.get("shards", {}).items():
            name = full.removeprefix(_prefix(rank)).removesuffix(_ENDING)
            if not full.startswith(_prefix(rank)):
                continue
            if isinstance(shard, str):
                self._files[name] = manifest["files"][full]
            else:
                self._packed[name] = shard

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            array = self.read_verified(name)
        except UnprovenError as error:  # it was proven when the checkpoint was chosen
            raise CheckpointError(
                f"{self._folder} changed while it was read: {error}.",
                "Run the same command again: it uses the newest complete checkpoint.",
            ) from error
        self.known.add(name)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter([*self._packed, *self._files])

    def __len__(self) -> int:
        return len(self._packed) + len(self._files)

    def read_verified(self, name: str) -> np.ndarray:
        """The array of a shard.

        Raises:
            UnprovenError: it is missing, unreadable or altered.
        """
        full = shard_name(self._rank, name)
        try:
            if name in self._files:
                return npy_array(durable.read_file(self._folder / full, self._files[name]))
            packed = self._packed[name]
            return npy_array(durable.read_file(self._pack, packed, at=packed["at"]))
        except UnprovenError as error:
            words = str(error).removeprefix(f"{self._pack.name} ")
            raise UnprovenError(words if words.startswith(full) else f"{full} {words}") from error

    def verify(self) -> None:
        """Read them all once, one after the other.

        Raises:
            UnprovenError: one is missing, unreadable or altered.
        """
        for name in self:
            self.read_verified(name)

    def find_unchanged(self, name: str, version: str) -> PackedShard | None:
        """A shard whose place the next checkpoint takes over; None where it has to be written.

        It has to be where its version is another one or its content is not known, and where it is no longer there.
        """
        packed = self._packed.get(name)
        if name not in self.known or packed is None or packed["version"] != version:
            return None
        return packed if self._has(packed) else None

    def are_there(self) -> bool:
        """Whether the pack is as long as they need; what it holds is not read."""
        return all(map(self._has, self._packed.values()))

    def _has(self, packed: PackedShard) -> bool:
        try:
            return self._pack.stat().st_size >= packed["at"] + packed["bytes"]
        except OSError:
            return False  # if this is the disk, writing will say so

    def places(self) -> list[tuple[int, int]]:
        """(first, last + 1) byte of each."""
        return [(each["at"], each["at"] + each["bytes"]) for each in self._packed.values()]


def places_taken(folder: Path) -> dict[str, list[tuple[int, int]]]:
    """(first, last + 1) byte of all shards of the checkpoints in a folder, by their pack's name."""
    taken: dict[str, set[tuple[int, int]]] = {}
    for _, checkpoint in list_checkpoints(folder):
        try:
            manifest = read_manifest(checkpoint)
        except UnprovenError:
            continue  # no load takes it
        for full, shard in manifest.get("shards", {}).items():
            if not isinstance(shard, str):
                pack = f"{full.partition('.')[0]}{Path(pack_file(0)).suffix}"
                taken.setdefault(pack, set()).add((shard["at"], shard["at"] + shard["bytes"]))
    return {pack: sorted(places) for pack, places in taken.items()}


def write_shards(
    folder: Path,
    shards: Mapping[str, Shard],
    *,
    rank: int,
    before: StoredShards | None,
    taken: Mapping[str, Iterable[Sequence[int]]],
) -> dict[str, PackedShard]:
    """Bring a worker's shards into its pack; where each lies, for the manifest.

    Args:
        folder: of the checkpoints.
        shards: all of them, by name.
        rank: the worker's.
        before: those of the checkpoint that this worker saved or loaded last.
        taken: what `places_taken` gave; neither that nor what was before is touched.

    Raises:
        OSError: one cannot be written.
    """
    if not shards:
        return {}
    kept = {
        name: before.find_unchanged(name, each.version) if before else None
        for name, each in shards.items()
    }
    path = folder / pack_file(rank)
    room = _Room([*taken.get(path.name, ()), *(before.places() if before else ())])
    parts = []
    for name, shard in shards.items():
        if kept[name] is None:
            content = npy_parts(shard.array)
            parts.append((room.take(sum(len(memoryview(part)) for part in content)), content))
    written = iter(zip(parts, durable.write_parts(path, parts, end=room.end), strict=True))
    packed: dict[str, PackedShard] = {}
    for name, shard in shards.items():
        found = kept[name]
        if found is None:
            (at, _), proof = next(written)
            found = {**proof, "at": at, "version": shard.version}
        packed[shard_name(rank, name)] = found
    return packed


def packs(folder: Path) -> list[Path]:
    """What lies beside the checkpoints of a folder and belongs to them."""
    return sorted(folder.glob(f"worker_*{Path(pack_file(0)).suffix}"))


class _Room:
    """The gaps of a pack; the last one has no end."""

    def __init__(self, taken: Iterable[Sequence[int]]) -> None:
        self._gaps: list[tuple[int, int | None]] = []
        end = 0
        for start, stop in sorted((first, last) for first, last in taken):
            if start > end:
                self._gaps.append((end, start))
            end = max(end, -(-stop // _SECTOR) * _SECTOR)
        self._gaps.append((end, None))

    @property
    def end(self) -> int:
        """What lies from this byte on belongs to nobody."""
        return self._gaps[-1][0]

    def take(self, size: int) -> int:
        """Where `size` bytes fit: the first gap that is wide enough."""
        for number, (start, stop) in enumerate(self._gaps):
            end = start + -(-size // _SECTOR) * _SECTOR
            if stop is None or end <= stop:
                self._gaps[number] = (end, stop)
                return start
        raise AssertionError("the last gap has no end")
