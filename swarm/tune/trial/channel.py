"""The line between a trial's actor and its process: JSON, a line each way in turn, over a socket of this user alone."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SOCKET = "trial"


class Listener:
    """The actor's end: waits for its process, then asks and hears."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="milozero-trial-"))  # for this user alone
        self.address = str(self._folder / _SOCKET)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(self.address)
        self._listening.listen(1)
        self._listening.settimeout(0.2)
        self._connection: socket.socket | None = None
        self._file: Any = None

    def accept(self) -> bool:
        """Whether the process has connected; waits a moment."""
        try:
            self._connection, _ = self._listening.accept()
        except TimeoutError:
            return False
        self._connection.settimeout(None)
        self._file = self._connection.makefile("rwb")
        return bool(self._file.readline())  # it is ready

    def send(self, command: Mapping[str, Any]) -> None:
        """Give a command, whose answer is received later; one that died does not hear it."""
        with contextlib.suppress(OSError):
            send(self._file, command)

    def receive(self) -> dict[str, Any] | None:
        """The answer to the last command; None where the process has died."""
        try:
            return receive(self._file)
        except OSError:
            return None

    def ask(self, command: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer to a command; None where the process has died."""
        self.send(command)
        return self.receive()

    def close(self) -> None:
        """Hang up, which ends the process, and leave nothing behind."""
        for each in (self._file, self._connection, self._listening):
            if each is not None:
                with contextlib.suppress(OSError):
                    each.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def send(file: Any, message: Mapping[str, Any]) -> None:
    """One line."""
    if file is not None:
        file.write(json.dumps(message).encode() + b"\n")
        file.flush()


def receive(file: Any) -> dict[str, Any] | None:
    """One line; None at the end."""
    line = file.readline() if file is not None else b""
    return json.loads(line) if line.endswith(b"\n") else None


def connect(address: str) -> Any:
    """The process's end.

    Raises:
        OSError: the actor is gone.
    """
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.connect(address)
    os.unlink(address)  # nobody else is expected
    return line.makefile("rwb")
