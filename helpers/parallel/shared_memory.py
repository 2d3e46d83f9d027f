"""What a start that was killed left in /dev/shm, cleared away at the next start.

MPICH lets the processes of one machine talk through a file there, `mpich_shm_1efad1f7_0` of some MB, which each maps
and holds open to its end; its name is a hash, which names no owner. Processes that end remove it, killed ones do not,
and the memory stays taken until the machine starts anew. (What else MPICH and UCX put there, and the windows of
`helpers.parallel.exchange`, loses its name as soon as it is mapped.)

A file is nobody's if no process of this user maps it or has it open. One that another user owns is left alone, and one
that is young: the processes of a start that is under way may be about to open it. A process that cannot be seen from
here, in another container on the same /dev/shm, would not be hurt either: what it has mapped stays, without a name.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path("/dev/shm")  # where POSIX puts shared memory on Linux
_NAME = re.compile(r"mpich_sh(m|ar)_[0-9A-Za-z]+(_[0-9]+)?")
_SHARED = re.compile(rb"^(?:RssShmem|VmSwap):\s*(\d+) kB$", re.MULTILINE)
_YOUNG = 60.0  # seconds
_BUDGET = 0.05  # seconds of the processor that a start spends on this; a later one tries again


def clear_leftovers(folder: Path = FOLDER, *, budget: float = _BUDGET) -> list[str]:
    """Remove what MPICH's killed processes of this user left; the names of what was removed.

    Nothing is removed whose owner cannot be found within `budget` seconds of work. Nothing is raised either:
    memory that stays taken is no reason not to start.
    """
    deadline = time.thread_time() + budget
    try:
        left = _old_files(folder)
        for process in _own_processes() if left else ():
            left -= _held_by(process, left)
            if not left or time.thread_time() > deadline:
                return []
    except (
        OSError
    ):  # a process of this user that does not let itself be looked at may hold them all
        return []
    return [name for name in sorted(left) if _remove(folder / name)]


def _old_files(folder: Path) -> set[str]:
    """Names of this user's files that MPICH made, but those of the last minute."""
    found = set()
    for entry in os.scandir(folder):
        if not _NAME.fullmatch(entry.name):
            continue
        try:
            state = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        is_own = stat.S_ISREG(state.st_mode) and state.st_uid == os.getuid()
        if is_own and time.time() - state.st_mtime > _YOUNG:
            found.add(entry.name)
    return found


def _own_processes() -> Iterator[Path]:
    """Folders in /proc of this user's processes that live."""
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                if entry.stat().st_uid == os.getuid():
                    yield Path(entry.path)
            except FileNotFoundError:  # it has ended by now
                continue


def _held_by(process: Path, names: set[str]) -> set[str]:
    """Which of these files a process has open or maps.

    All, of one that hides it and has shared memory; unless it is the first process, which starts all others.
    """
    held: set[str] = set()
    try:
        for entry in os.scandir(process / "fd"):
            try:
                held.add(os.path.basename(os.readlink(entry.path)).removesuffix(" (deleted)"))
            except FileNotFoundError:
                continue
        if not names <= held and _has_shared_memory(process):
            maps = (process / "maps").read_bytes()
            held |= {name for name in names if name.encode() in maps}
    except PermissionError:
        return names if process.name != "1" and _has_shared_memory(process) else set()
    except (FileNotFoundError, ProcessLookupError):  # it has ended by now
        return set()
    return names & held


def _has_shared_memory(process: Path) -> bool:
    """Whether a process has any, or may have where it was swapped out; to read all that it maps takes far longer."""
    status = (process / "status").read_bytes()
    return any(int(size) for size in _SHARED.findall(status))


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True
