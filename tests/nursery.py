"""main.py in processes that need not import torch first: forked from one that has imported what a single worker needs.

    child = nursery().start(["--task=train", ...], stdout=file, stderr=file)
    child.wait(60)

A child does what `python main.py` does from its first line on, with the working folder, environment, standard streams
and process group of a fresh one. Starts under mpiexec, and what refuses before anything is imported, stay fresh
processes: see tests/launch.py.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[1]
IMPORTED = (  # nothing that reads the environment as it is imported, and no MPI
    "agents.acting",
    "agents.cloning",
    "agents.compiled",
    "agents.demonstrations",
    "agents.factory",
    "agents.imitation",
    "agents.migration",
    "agents.model_states",
    "agents.ppo",
    "agents.replay",
    "environments.factory",
    "evaluator",
    "helpers.curve",
    "helpers.references",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "orchestrator",
)
_MOST = 1 << 20  # bytes of a request


class Child:
    """A started command, to be used like a subprocess.Popen."""

    def __init__(self, home: Nursery, pid: int) -> None:
        self._home, self.pid = home, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code as of Popen; None while it runs."""
        return self._look(0.0)

    def wait(self, timeout: float) -> int:
        """The exit code.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        end = time.monotonic() + timeout
        while (code := self._look(max(end - time.monotonic(), 0.0))) is None:
            if time.monotonic() >= end:
                raise subprocess.TimeoutExpired("main.py", timeout)
        return code

    def send_signal(self, number: int) -> None:
        """To this process, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _look(self, seconds: float) -> int | None:
        if self.returncode is None:
            self.returncode = self._home.code_of(self.pid, seconds)
        return self.returncode


class Nursery:
    """The process that children are forked from; it ends with this one."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._codes: dict[int, int] = {}
        self._read = b""
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.nursery", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )

    def start(self, flags: Sequence[str], *, stdout: IO[bytes], stderr: IO[bytes]) -> Child:
        """A child, in a process group of its own."""
        request = json.dumps({"flags": [*map(str, flags)], "environment": dict(os.environ)})
        content = request.encode() + b"\n"
        assert len(content) < _MOST
        sent = socket.send_fds(self._socket, [content], [stdout.fileno(), stderr.fileno()])
        self._socket.sendall(content[sent:])
        while True:
            said = self._next(None)
            assert said is not None
            if "pid" in said:
                return Child(self, said["pid"])
            self._codes[said["ended"]] = said["code"]

    def code_of(self, pid: int, seconds: float) -> int | None:
        """The exit code of a child, waited for so long; None while it runs."""
        end = time.monotonic() + seconds
        while pid not in self._codes:
            said = self._next(max(end - time.monotonic(), 0.0))
            if said is None:
                return None
            self._codes[said["ended"]] = said["code"]
        return self._codes[pid]

    def _next(self, seconds: float | None) -> dict[str, int] | None:
        """What it says next; None where it says nothing for so long."""
        while b"\n" not in self._read:
            self._socket.settimeout(seconds)  # None: for as long as it takes; 0: not at all
            try:
                part = self._socket.recv(4096)
            except (BlockingIOError, TimeoutError):
                return None
            assert part, "the nursery has ended"
            self._read += part
        line, _, self._read = self._read.partition(b"\n")
        said: dict[str, int] = json.loads(line)
        return said


@functools.cache
def nursery() -> Nursery:
    """That of this process, begun when it is first asked for."""
    return Nursery()


def serve(channel: socket.socket) -> list[str]:
    """Fork a child a request until the other side is gone; only children return, with their flags."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        selector.register(reading, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if reading in ready:
                os.read(reading, 4096)
                _tell_ended(channel)
            if channel.fileno() not in ready:
                continue
            content, streams, _, _ = socket.recv_fds(channel, _MOST, 2)
            if not content:
                os._exit(0)
            while not content.endswith(b"\n"):
                content += channel.recv(_MOST)
            pid = os.fork()
            if pid == 0:
                break
            for each in streams:
                os.close(each)
            channel.sendall(json.dumps({"pid": pid}).encode() + b"\n")
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for each in (reading, writing):
        os.close(each)
    channel.close()
    return _like_fresh(json.loads(content), streams)


def _tell_ended(channel: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            code = os.waitstatus_to_exitcode(ended[1])
            channel.sendall(json.dumps({"ended": ended[0], "code": code}).encode() + b"\n")


def _like_fresh(request: dict[str, Any], streams: Sequence[int]) -> list[str]:
    """Be as a process that was started with this request; its flags."""
    os.setsid()
    for number, each in enumerate(streams, start=1):
        os.dup2(each, number)
        os.close(each)
    os.environ.clear()
    os.environ.update(request["environment"])
    flags: list[str] = request["flags"]
    sys.argv = ["main.py", *flags]
    return flags


if __name__ == "__main__":
    from importlib import import_module

    import main

    for name in IMPORTED:
        import_module(name)
    gc.freeze()  # its memory stays shared
    arguments = serve(socket.socket(fileno=int(sys.argv[1])))
    main.STARTED = time.time()
    main.outlast_readers()
    sys.exit(main.main(arguments))
