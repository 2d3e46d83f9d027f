"""One process a run folder: a second one on the same machine does not start and says so.

The file `running.json` names host, process and when that process started. A process that was killed
leaves it behind and is not mistaken for one that lives. On another machine it is unknown whether
the process lives; there the launcher of a swarm has a lock of its own.
"""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path
from typing import Any

from helpers.durable import make_once, unmake
from helpers.errors import ConfigurationError
from helpers.processes import start_ticks

LOCK_FILE = "running.json"
SEEN_SECONDS = 10.0  # after which what one machine wrote is seen by others, with usual caches
PAUSE = 0.05


def take(folder: Path) -> None:
    """Make this process the one that trains in a run folder.

    Raises:
        ConfigurationError: another process of this machine does.
        OSError: the folder cannot be written.
    """
    path = folder / LOCK_FILE
    mine = _identity(os.getpid())
    while not make_once(path, json.dumps(mine) + "\n"):  # of two at once, one is first
        holder = _read_when_seen(path)
        if holder == mine:
            return
        if _lives(holder):
            raise ConfigurationError(
                f"{folder} is being trained by process {holder['pid']} on this machine.",
                f"Stop it (touch {folder}/stop), wait for it, or choose another --uuid.",
            )
        unmake(path)


def release(folder: Path) -> None:
    """Let others train there; nothing happens if it was not ours."""
    path = folder / LOCK_FILE
    if _read(path) == _identity(os.getpid()):
        unmake(path)


def is_trained_here(folder: Path) -> bool:
    """Whether a process of this machine trains in a run folder now; of another machine's it is unknown."""
    return _lives(_read(folder / LOCK_FILE))


def holder_elsewhere(folder: Path) -> str | None:
    """The other machine whose process made the lock of a run folder; whether it still lives is not to be seen here."""
    host = _read(folder / LOCK_FILE).get("host")
    return None if host in (None, platform.node()) else str(host)


def _identity(pid: int) -> dict[str, Any]:
    return {"host": platform.node(), "pid": pid, "started": start_ticks(pid)}


def _read_when_seen(path: Path) -> dict[str, Any]:
    """What stands in a file that is there, though a cache of NFS may refuse to open it for some seconds."""
    end = time.monotonic() + SEEN_SECONDS
    while time.monotonic() < end:
        try:
            path.read_bytes()
            break
        except FileNotFoundError:
            if not os.path.lexists(path):
                break  # given back meanwhile
            time.sleep(PAUSE)
    return _read(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _lives(holder: dict[str, Any]) -> bool:
    """Whether the process that wrote it is still there, and is on this machine."""
    if holder.get("host") != platform.node() or holder.get("started") is None:
        return False
    return start_ticks(int(holder["pid"])) == holder["started"]
