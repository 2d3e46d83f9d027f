"""main.py in processes that need not import torch first: forked from one that has imported what a worker needs.

    child = nursery().start(["--task=train", ...], stdout=file, stderr=file)
    child.wait(60)

A child does what `python main.py` does from its first line on, with the working folder, environment, standard streams
and process group of a fresh one. Under mpiexec, tests/rank.py stands in for a worker, and hands on all that it was
given. What a fresh process is needed for says so: see tests/launch.py.
"""

from __future__ import annotations

import contextlib
import fcntl
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

from swarm.backends.children import die_with_parent
from tests.rank import send_request

ROOT = Path(__file__).resolve().parents[1]
IMPORTED = (  # nothing that reads the environment as it is imported, and no MPI
    "agents.compute.compiled_policy",
    "agents.cloning.cloner",
    "agents.compute.compiled_step",
    "agents.demonstrations.dataset",
    "agents.factory",
    "agents.imitation.agent",
    "agents.weights.migration.task",
    "agents.weights.load",
    "agents.on_policy.ppo",
    "agents.off_policy.core.learner",
    "environments.factory",
    "evaluator",
    "starting",
    "verifier",
    "helpers.display.learning_curve",
    "helpers.run_folder.references",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "orchestrator",
)
_MOST = 1 << 20  # bytes of a request
_MOST_STREAMS = 64
_ABOVE = 200  # the numbers of files that nobody has opened


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
    """The process that children are forked from; it ends with this one.

    Attributes:
        door: where tests/rank.py finds it.
    """

    def __init__(self, door: str) -> None:
        self._socket, theirs = socket.socketpair()
        self._codes: dict[int, int] = {}
        self._ranks: dict[int, int] = {}
        self._read = b""
        self.door = door
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.nursery", str(theirs.fileno()), self.door],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._wait_for("ready")

    def start(self, flags: Sequence[str], *, stdout: IO[bytes], stderr: IO[bytes]) -> Child:
        """A child, in a process group of its own."""
        request = {"flags": [*map(str, flags)], "environment": dict(os.environ)}
        send_request(self._socket, request, {1: stdout.fileno(), 2: stderr.fileno()})
        return Child(self, self._wait_for("pid")["pid"])

    def code_of(self, pid: int, seconds: float) -> int | None:
        """The exit code of a child, waited for so long; None while it runs."""
        end = time.monotonic() + seconds
        while pid not in self._codes and self._hear(max(end - time.monotonic(), 0.0)):
            pass
        return self._codes.get(pid)

    def rank_of(self, stand_in: int) -> int | None:
        """The worker that a process of tests/rank.py stands for; None where there is none yet."""
        while self._hear(0.0):
            pass
        return self._ranks.get(stand_in)

    def close(self) -> None:
        """End it, and with it what it started."""
        self._socket.close()
        self._process.wait()

    def _wait_for(self, word: str) -> dict[str, int]:
        while True:
            said = self._hear(None)
            if said is not None and word in said:
                return said

    def _hear(self, seconds: float | None) -> dict[str, int] | None:
        """What it says next, noted; None where it says nothing for so long."""
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
        if "ended" in said:
            self._codes[said["ended"]] = said["code"]
        if "stand_in" in said:
            self._ranks[said["stand_in"]] = said["rank"]
        return said


@functools.cache
def nursery() -> Nursery:
    """That of this process, begun when it is first asked for."""
    return Nursery(f"milozero-nursery-{os.getpid()}")


class _Server:
    """What the process does that children are forked from."""

    def __init__(self, channel: socket.socket, door: str) -> None:
        self._channel, self._door = channel, socket.socket(socket.AF_UNIX)
        self._door.bind(f"\0{door}")
        self._door.listen()
        self._stand_ins: dict[int, socket.socket] = {}  # by the process id of their worker
        self._bind_life = die_with_parent()
        self._bell, self._rings = socket.socketpair()
        for each in (self._bell, self._rings):
            each.setblocking(False)
        signal.set_wakeup_fd(self._rings.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector = selectors.DefaultSelector()
        for each in (self._channel, self._door, self._bell):
            self._selector.register(each, selectors.EVENT_READ)

    def serve(self) -> list[str]:
        """Fork a child a request until the other side is gone; only children return, with their flags."""
        _say(self._channel, ready=1)
        while True:
            for key, _ in self._selector.select():
                flags = self._attend(key.fileobj)
                if flags is not None:
                    return flags

    def _attend(self, ready: Any) -> list[str] | None:
        if ready is self._bell:
            self._bell.recv(4096)
            self._reap()
        elif ready is self._channel:
            request, streams = _receive_request(self._channel)
            if not request:
                os._exit(0)
            if (pid := self._fork(streams)) == 0:
                return self._like_fresh(request, streams)
            _say(self._channel, pid=pid)
        elif ready is self._door:
            stand_in, _ = self._door.accept()
            request, streams = _receive_request(stand_in)
            if (pid := self._fork(streams)) == 0:
                stand_in.close()
                return self._like_fresh(request, streams)
            self._stand_ins[pid] = stand_in
            self._selector.register(stand_in, selectors.EVENT_READ)
            _say(self._channel, stand_in=request["stand_in"], rank=pid)
            _say(stand_in, pid=pid)
        elif ready in self._stand_ins.values():  # it was killed: so is its worker
            self._selector.unregister(ready)
            for pid, stand_in in self._stand_ins.items():
                if stand_in is ready:
                    os.kill(pid, signal.SIGKILL)
        return None

    def _fork(self, streams: Sequence[int]) -> int:
        pid = os.fork()
        if pid:
            for each in streams:
                os.close(each)
        return pid

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, code = ended[0], os.waitstatus_to_exitcode(ended[1])
                _say(self._channel, ended=pid, code=code)
                stand_in = self._stand_ins.pop(pid, None)
                if stand_in is None:
                    continue
                with contextlib.suppress(KeyError):
                    self._selector.unregister(stand_in)
                with contextlib.suppress(OSError), stand_in:
                    _say(stand_in, code=code)

    def _like_fresh(self, request: dict[str, Any], streams: Sequence[int]) -> list[str]:
        """Be as a process that was started with this request, but end with the server; its flags."""
        self._bind_life()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if "stand_in" not in request:
            os.setsid()
        moved = [fcntl.fcntl(each, fcntl.F_DUPFD, _ABOVE) for each in streams]
        for each in streams:
            os.close(each)
        self._selector.close()
        ours = (self._channel, self._door, self._bell, self._rings, *self._stand_ins.values())
        for one in ours:
            one.close()
        for number, each in zip(request["numbers"], moved, strict=True):
            os.dup2(each, number)
            os.close(each)
        os.environ.clear()
        os.environ.update(request["environment"])
        flags: list[str] = request["flags"]
        sys.argv = ["main.py", *flags]
        return flags


def _say(channel: socket.socket, **words: int) -> None:
    channel.sendall(json.dumps(words).encode() + b"\n")


def _receive_request(channel: socket.socket) -> tuple[dict[str, Any], list[int]]:
    try:
        content, streams, _, _ = socket.recv_fds(channel, _MOST, _MOST_STREAMS)
    except ConnectionResetError:  # the other side has ended
        return {}, []
    while content and not content.endswith(b"\n"):
        content += channel.recv(_MOST)
    return (json.loads(content) if content else {}), list(streams)


if __name__ == "__main__":
    from importlib import import_module

    import main

    for name in IMPORTED:
        import_module(name)
    gc.freeze()  # its memory stays shared
    arguments = _Server(socket.socket(fileno=int(sys.argv[1])), sys.argv[2]).serve()
    main.STARTED = time.time()
    main.outlast_readers()
    sys.exit(main.main(arguments))
