"""Reads what an offline wandb run really holds: the iteration of the last row in its `.wandb` file.

The file is a LevelDB log of protobuf records: a header of 7 bytes, then blocks of 32 KiB, in them chunks
of (checksum, length, kind, bytes). A file that a kill cut short is read as far as it goes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

BLOCK = 32 * 1024
FILE_HEADER = 7
CHUNK = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def last_iteration(run_folders: list[Path]) -> int:
    """The greatest iteration in the `.wandb` files of these folders; -1 where they hold no row."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    last = -1
    for path in (file for folder in run_folders for file in folder.glob("run-*.wandb")):
        for data in _records(path.read_bytes()):
            record = Record.FromString(data)
            if record.HasField("history"):
                last = max(last, record.history.step.num)
    return last


def _records(content: bytes) -> Iterator[bytes]:
    """The complete records of a log, in order."""
    position = FILE_HEADER
    parts: list[bytes] = []
    while position + CHUNK.size <= len(content):
        if BLOCK - position % BLOCK < CHUNK.size:  # no chunk begins in so short a rest of a block
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = CHUNK.unpack_from(content, position)
        position += CHUNK.size
        if position + length > len(content) or kind not in (FULL, FIRST, MIDDLE, LAST):
            return
        parts.append(content[position : position + length])
        position += length
        if kind in (FULL, LAST):
            yield b"".join(parts)
            parts = []
