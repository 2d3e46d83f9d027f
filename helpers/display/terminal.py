"""Finds the user's terminal, also below mpiexec, and survives its closing."""

from __future__ import annotations

import io
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from helpers.errors import INTERRUPTED
from helpers.processes import parent_of

LAUNCHERS = ("mpiexec", "mpirun", "mpiexec.hydra", "mpirun.hydra", "orterun", "prterun")


class _Outlasting:
    """An output that drops words once nobody reads them any more, as after `| head`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._drop()

    def _drop(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def outlast_readers() -> None:
    """From now on the program continues when the reader of its output pipe has closed it.

    A terminal without Unicode shows ? in the place of a sign.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and "utf" not in stream.encoding.lower():
            stream.reconfigure(errors="replace")
    sys.stdout = cast(TextIO, _Outlasting(sys.stdout))
    sys.stderr = cast(TextIO, _Outlasting(sys.stderr))


def run_quietly(program: Callable[[], int]) -> int:
    """The status of a program that outlasts its readers, and that Ctrl-C ends without a word."""
    outlast_readers()
    try:
        return program()
    except KeyboardInterrupt:
        return INTERRUPTED


class Terminal:
    """A terminal that can be asked for its width.

    Args:
        device: its device file; None for the one that the standard output is.
    """

    def __init__(self, device: Path | None = None) -> None:
        self._device = device

    @property
    def is_launchers(self) -> bool:
        """Whether an MPI launcher writes to it, and may say something itself."""
        return self._device is not None

    def size(self) -> os.terminal_size:
        """Columns and lines; 80 and 24 where the terminal does not say."""
        if self._device is None:
            return shutil.get_terminal_size()
        usual = os.terminal_size((80, 24))
        try:
            descriptor = os.open(self._device, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            return usual
        try:
            size = os.get_terminal_size(descriptor)
            return size if size.columns and size.lines else usual
        except OSError:
            return usual
        finally:
            os.close(descriptor)

    @property
    def has_colours(self) -> bool:
        """Whether colours are wanted: NO_COLOR and TERM=dumb are heeded."""
        return not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def find_terminal(output: TextIO, *, descriptor: int = 1) -> Terminal | None:
    """The terminal that shows what is written to the output; None where none does.

    Under MPI a rank's output is a pipe to the launcher. If the launcher itself writes to a terminal,
    the rank's words end there. Seen through /proc, so on Linux and on the launcher's machine only.

    Args:
        output: the stream.
        descriptor: of the launcher, which passes it on: 1 the standard output, 2 the standard error.
    """
    try:
        if output.isatty():
            return Terminal()
        kind = os.fstat(output.fileno()).st_mode
    except (OSError, ValueError):  # closed, or no file at all
        return None
    if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
        return None
    for process in _ancestors():
        try:
            if (process / "comm").read_text().strip() in LAUNCHERS:
                device = Path(os.readlink(process / "fd" / str(descriptor)))
                return Terminal(device) if _is_terminal(device) else None
        except OSError:
            return None
    return None


def _is_terminal(device: Path) -> bool:
    descriptor = os.open(device, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        return os.isatty(descriptor)
    finally:
        os.close(descriptor)


def _ancestors() -> Iterator[Path]:
    """/proc folders of the parent, its parent, and so on."""
    parent: int | None = os.getppid()
    while parent is not None and parent > 1:
        yield Path(f"/proc/{parent}")
        parent = parent_of(parent)
