"""Locks between processes, on file systems with and without `flock`.

Where `flock` works, the kernel frees a lock with the process that held it. Lustre without `-o flock` and some NFS
refuse it; there a lock is a lease: a file beside it that is made once, names its process, and is touched every few
seconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import secrets
import threading
import time
from pathlib import Path
from typing import IO

from helpers.durable import make_once, unmake
from helpers.processes import Process

_log = logging.getLogger(__name__)
TOUCH_SECONDS = 15.0
LEASE_SECONDS = 120.0  # without a touch, a lease of another machine is over
_told: set[int] = set()  # file systems that a line was said of


class Lock:
    """A lock that is held until `close`, or until its process is gone."""

    def __init__(self, file: IO[str] | None, lease: Path | None = None) -> None:
        self._file, self._lease = file, lease
        self._closed = threading.Event()
        if lease is not None:
            threading.Thread(target=self._touch, args=(lease,), daemon=True).start()

    def close(self) -> None:
        """Let another process have it."""
        self._closed.set()
        if self._file is not None:
            self._file.close()
        if self._lease is not None:
            _remove(self._lease)

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _touch(self, lease: Path) -> None:
        while not self._closed.wait(TOUCH_SECONDS):
            with contextlib.suppress(OSError):
                os.utime(lease)


def take_lock(path: Path) -> Lock | None:
    """The lock of a file, which is made; None: another process has it.

    Raises:
        OSError: the file cannot be made.
    """
    file = path.open("a", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError as error:  # not implemented, not supported, no locks available
        system = os.fstat(file.fileno()).st_dev
        file.close()
        if system not in _told:
            _told.add(system)
            _log.warning("%s: no flock (%s): locked by leases", path.parent, error.strerror)
        return _lease(path)
    return Lock(file)


def wait_for_lock(path: Path, seconds: float = float("inf"), *, pause: float = 0.1) -> Lock | None:
    """The lock of a file, as soon as it is free; None where it is not within `seconds` seconds."""
    end = time.monotonic() + seconds
    while (lock := take_lock(path)) is None and time.monotonic() < end:
        time.sleep(pause)
    return lock


def _lease(path: Path) -> Lock | None:
    """A lease under the next number. Each looks again after it has made its own: of two at once, both may withdraw.

    So nobody ever removes what another may just have taken over: a lease that is over is left until its successor is
    there.
    """
    others = _leases(path)
    if any(map(_is_held, others)):
        return None
    number = 1 + max((_number(each) for each in others), default=0)
    mine = path.with_name(f"{path.name}.lease{number}")
    if not make_once(mine, json.dumps(Process.this().to_json() | {"token": secrets.token_hex(4)})):
        return None
    rest = [each for each in _leases(path) if each != mine]
    if any(map(_is_held, rest)):
        _remove(mine)
        return None
    for each in rest:
        _remove(each)
    return Lock(None, mine)


def _leases(path: Path) -> list[Path]:
    return [each for each in path.parent.glob(f"{path.name}.lease*") if _number(each)]


def _number(lease: Path) -> int:
    text = lease.name.rpartition(".lease")[2]
    return int(text) if text.isdecimal() else 0


def _is_held(lease: Path) -> bool:
    """Whether its process lives: asked of this machine, or inferred from the age of the lease on another one."""
    try:
        lives = Process.of(json.loads(lease.read_text(encoding="utf-8"))).is_alive()
    except (OSError, ValueError, LookupError, TypeError):
        lives = None  # not to be seen yet
    if lives is not None:
        return lives
    try:
        return _now(lease.parent) - lease.stat().st_mtime < LEASE_SECONDS
    except OSError:
        return lease.is_symlink()


def _now(folder: Path) -> float:
    """What time it is on the file system's own clock."""
    probe = folder / f".now.{os.getpid()}.{secrets.token_hex(4)}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _remove(lease: Path) -> None:
    with contextlib.suppress(OSError):
        unmake(lease)
