"""Which process did something, and whether it still lives: a number alone is given away again."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Process:
    """A process as other processes can find it again.

    Attributes:
        host: its machine.
        pid: its number there.
        ticks: when it began, in clock ticks since the machine began; None where nobody knows.
        boot: of the machine; None where nobody knows.
    """

    host: str
    pid: int
    ticks: int | None = None
    boot: str | None = None

    @classmethod
    def this(cls) -> Process:
        """The process that asks."""
        pid = os.getpid()
        return cls(socket.gethostname(), pid, start_ticks(pid), _boot())

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Process:
        """From JSON."""
        return cls(values["host"], int(values["pid"]), values.get("ticks"), values.get("boot"))

    def to_json(self) -> dict[str, Any]:
        """What `of` reads."""
        return asdict(self)

    def is_alive(self) -> bool | None:
        """Whether it still runs; None where that cannot be seen from this machine."""
        if self.host != socket.gethostname():
            return None
        if self.boot is not None and self.boot != _boot():
            return False
        ticks = start_ticks(self.pid)
        return ticks is not None and self.ticks in (None, ticks)

    def has_survivors(self) -> bool:
        """Whether processes that it started live on though it was killed: those of its own session.

        Only asked of a leader of a session that is known to be dead, on this machine: its number is not
        given away again while the session lasts.
        """
        return self.host == socket.gethostname() and any(
            _session(int(entry)) == self.pid for entry in os.listdir("/proc") if entry.isdigit()
        )


def start_ticks(pid: int) -> int | None:
    """When a process began, in clock ticks since the machine did; None of one that is no more, or only a status."""
    fields = _stat(pid)
    return None if fields is None else int(fields[19])


def parent_of(pid: int) -> int | None:
    """The process that started it; None of one that is no more."""
    fields = _stat(pid)
    return None if fields is None else int(fields[1])


def _session(pid: int) -> int | None:
    fields = _stat(pid)
    return None if fields is None else int(fields[3])


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; None of a process that is no more."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before may hold blanks and brackets
    return None if fields[0] in "ZX" else fields


def _boot() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
