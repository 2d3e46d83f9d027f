"""How much a process may still keep in memory or on a disk, asked before it keeps much."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from helpers.errors import ConfigurationError

_CGROUPS = Path("/sys/fs/cgroup")
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def require_memory(need: int, *, what: str, remedy: str) -> None:
    """Refuse what does not fit into this machine's memory.

    Args:
        need: bytes.
        what: the arithmetic that gave them, "The replay memory takes 1,000 steps x 4 ...".
        remedy: what to do about it.

    Raises:
        ConfigurationError: less is free.
    """
    free = free_memory()
    if free is not None and need > free:
        raise ConfigurationError(
            f"{what} = {format_bytes(need)}, but {format_bytes(free)} of memory are free.",
            remedy,
        )


def require_disk(need: int, *, folder: Path, what: str, remedy: str) -> None:
    """Refuse what does not fit onto the disk of a folder; the arguments are those of `require_memory`.

    Raises:
        ConfigurationError: less is free.
    """
    free = shutil.disk_usage(folder).free
    if need > free:
        raise ConfigurationError(
            f"{what} = {format_bytes(need)}, but {format_bytes(free)} are free on the disk of {folder}.",
            remedy,
        )


def format_bytes(size: float) -> str:
    """A number of bytes for a reader: "1.5 GiB"."""
    for unit in _UNITS:
        if size < 1024 or unit == _UNITS[-1]:
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process may still take: of the machine, and of the groups a job was put in.

    None where the system gives neither. `root` is where the system's files are, for tests.
    """
    found = [*_machine(root), *_groups(root)]
    return max(0, min(found)) if found else None


def _machine(root: Path) -> Iterator[int]:
    for name, value in _table(root / "proc/meminfo").items():
        if name == "MemAvailable:":
            yield value * 1024


def _groups(root: Path) -> Iterator[int]:
    """What is left in each control group of this process and in those around it."""
    membership = _text(root / "proc/self/cgroup")
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            tree, limit, usage = _CGROUPS, "memory.max", "memory.current"
        elif controllers == "memory":
            tree, limit, usage = _CGROUPS / "memory", *_VERSION_1
        else:
            continue
        tree = root / tree.relative_to("/")
        place = tree / path.lstrip("/")
        for folder in [place, *place.parents]:
            most, used = _text(folder / limit).strip(), _text(folder / usage).strip()
            if most.isdecimal() and used.isdecimal():
                # what only caches files is given up when memory is asked for
                caches = _table(folder / "memory.stat").get("inactive_file", 0)
                yield int(most) - int(used) + caches
            if folder == tree:
                break


def _table(path: Path) -> dict[str, int]:
    """The numbers of a file of lines such as "name 12 kB"."""
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
