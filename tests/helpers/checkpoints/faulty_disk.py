"""A disk that tells what is done to it, and that fails or takes the process down where a test wants it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from helpers import durable

OPERATIONS = (
    "open",
    "write",
    "pwrite",
    "fsync",
    "close",
    "mkdir",
    "rename",
    "replace",
    "symlink",
    "rmtree",
)
# (operation, path, whether it is done): called before and after each
Watcher = Callable[[str, str, bool], None]


class _Watched:
    """A module whose operations on the disk are announced to a watcher."""

    def __init__(self, module: ModuleType, watcher: Watcher) -> None:
        self._module, self._watcher = module, watcher
        self._paths: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._module, name)
        if name not in OPERATIONS:
            return function

        def watched(subject: Any, *arguments: Any, **options: Any) -> Any:
            path = self._paths.get(subject) or str(subject)
            self._watcher(name, path, False)
            if name == "rmtree":  # which can be stopped half-way, like a write of several parts
                for file in sorted(Path(subject).glob("*"))[:1]:
                    file.unlink()
                self._watcher("unlink", path, True)
            result = function(subject, *arguments, **options)
            if name == "open":
                self._paths[result] = path
            self._watcher(name, path, True)
            return result

        return watched


def watch(monkeypatch: pytest.MonkeyPatch, watcher: Watcher) -> None:
    """Announce everything that the checkpoints do to the disk."""
    monkeypatch.setattr(durable, "os", _Watched(os, watcher))
    monkeypatch.setattr(durable, "shutil", _Watched(shutil, watcher))


def fail_from(point: int, number: int, *, times: int, operations: tuple[str, ...]) -> Watcher:
    """A watcher that lets operations fail `times` times, from the `point`-th on, with an errno."""
    count = 0

    def watcher(operation: str, path: str, done: bool) -> None:
        nonlocal count
        if operation in operations and not done:
            count += 1
            if point <= count < point + times:
                raise OSError(number, os.strerror(number), None if "write" in operation else path)

    return watcher


class Death(BaseException):
    """The end of a process, for everything but this test."""


def die_at(point: int, die: Callable[[], object]) -> Watcher:
    """A watcher that ends the process before or after an operation; points count both."""
    count = 0

    def watcher(_operation: str, _path: str, _done: bool) -> None:
        nonlocal count
        count += 1
        if count == point:
            die()

    return watcher


def in_process(action: Callable[..., object], *arguments: Any) -> bool:
    """Do it here, dying by `Death`; whether it was finished."""
    try:
        action(*arguments)
    except Death:
        return False
    return True


def in_child(action: Callable[..., object], *arguments: Any) -> bool:
    """Do it in a forked process, dying by SIGKILL; whether it was finished."""
    child = os.fork()
    if child == 0:
        try:
            action(*arguments)
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, -signal.SIGKILL}, "the action raised an exception"
    return code == 0


def damaged(content: bytes, kind: str, place: int) -> bytes:
    """The content after something happened to it at a place; never the content itself."""
    place %= len(content)
    changed = {
        "flip": content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :],
        "truncate": content[:place],
        "zero": content[:place] + bytes(min(512, len(content) - place)) + content[place + 512 :],
        "remove": content[:place] + content[place + 1 :],
        "append": content + b" ",
        "repeat": content[:place] + content[max(0, place - 8) : place] + content[place:],
    }[kind]
    return changed if changed != content else content + b"\n"


def tree(folder: Path) -> dict[str, bytes | str]:
    """Everything under a folder: files by their content, links by their target."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file():
            found[name] = path.read_bytes()
    return found
