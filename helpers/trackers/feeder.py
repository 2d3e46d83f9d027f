"""Both ends of a feeder: a child process that follows `metrics.jsonl` and feeds a tracker's client.

Training never waits for it, and it can be killed at any moment without a loss. The parent writes one JSON object a
line: first the job, then commands, {"upload": [names]} and {"finish": exit_code}. The child answers with {"say": text}
or {"alive": true}.
"""

from __future__ import annotations

import json
import os
import queue
import re
import select
import shlex
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from helpers.locks import Lock, wait_for_lock
from helpers.trackers.jsonl import parse_row

SILENCE_SECONDS = 5.0  # how long `close` waits for a server that does not answer
UPLOAD_SECONDS = 60.0  # how long `close` waits for one that does
POLL_SECONDS = 0.5
LOCK_SECONDS = 10.0
LOST = 1  # the exit code of a run whose process is gone
SECRET = re.compile(r"(api_?key|token|password|secret)", re.IGNORECASE)
REPOSITORY = Path(__file__).resolve().parents[2]


class Feeder:
    """The parent's end.

    Args:
        name: of the tracker, for what is said.
        module: the child's program, started by its name.
        folder: where its log lies.
        job: its first line.
        environment: of the child.
        say: prints a line for the user.
        longest: seconds that `close` waits for a server that answers.

    Raises:
        OSError: the child cannot be started.
    """

    def __init__(
        self,
        name: str,
        module: str,
        folder: Path,
        *,
        job: Mapping[str, Any],
        environment: Mapping[str, str],
        say: Callable[[str], None],
        longest: float = UPLOAD_SECONDS,
    ) -> None:
        self._longest = longest
        self._name, self._module, self._folder, self._say = name, module, folder, say
        self._unread = b""
        with (folder / "feeder.log").open("ab") as log:
            self.process: subprocess.Popen[bytes] | None = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=REPOSITORY,
                env=environment,
                start_new_session=True,  # the terminal's Ctrl-C is for the run, which then finishes this
            )
        self.send(job)

    def send(self, command: Mapping[str, Any]) -> None:
        """Give the child a command."""
        if self.process is None or self.process.stdin is None:
            return
        try:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self._check()

    def listen(self) -> None:
        """Say what the child has to say, and that it failed, if it did."""
        for _ in self._messages(0.0):
            pass
        self._check()

    def close(self, exit_code: int) -> None:
        """Let the child finish; what a silent server leaves undone is given up after 5 s."""
        self.send({"finish": exit_code})
        if self.process is None:
            return
        end = time.monotonic() + self._longest
        patience = time.monotonic() + SILENCE_SECONDS
        while self.process.poll() is None and time.monotonic() < min(end, patience):
            for message in self._messages(0.1):
                if "alive" in message:
                    patience = time.monotonic() + SILENCE_SECONDS
        for _ in self._messages(0.0):
            pass
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            run = shlex.quote(str(self._folder.parent))
            self._say(
                f"{self._name}: the server is silent, given up; to send what it lacks: "
                f"python -m {self._module} {run}",
            )
        else:
            self._check()
        self._drop()

    def _messages(self, timeout: float) -> Iterator[Mapping[str, Any]]:
        """What the child wrote within `timeout` seconds; its messages to the user are printed."""
        if self.process is None or self.process.stdout is None:
            return
        output = self.process.stdout.fileno()
        while select.select([output], [], [], timeout)[0]:
            data = os.read(output, 65536)
            *lines, self._unread = (self._unread + data).split(b"\n")
            for message in map(json.loads, lines):
                if "say" in message:
                    self._say(message["say"])
                yield message
            if not data:
                return
            timeout = 0.0

    def _check(self) -> None:
        """Say once that the child failed; the run continues without it."""
        if self.process is not None and self.process.poll() not in (None, 0):
            log = self._folder / "feeder.log"
            self._say(f"{self._name}: stopped, the run continues without it; see {log}")
            self._drop()

    def _drop(self) -> None:
        if self.process is not None:
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe is not None:
                    pipe.close()
        self.process = None


# The child's end


def read_commands(finishing: threading.Event) -> queue.SimpleQueue[dict[str, Any]]:
    """Commands as they come, read by a thread; `finishing` is set with the last one.

    The end of input means that the run's process is gone.
    """
    commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            command = json.loads(line)
            commands.put(command)
            if "finish" in command:
                finishing.set()
                return
        commands.put({"finish": LOST})

    threading.Thread(target=read, daemon=True).start()
    return commands


def next_command(commands: queue.SimpleQueue[dict[str, Any]]) -> dict[str, Any]:
    """The next command; an empty one where none comes for a while."""
    try:
        return commands.get(timeout=POLL_SECONDS)
    except queue.Empty:
        return {}


def tell(**message: object) -> None:
    """Write a message for the parent."""
    os.write(sys.__stdout__.fileno(), (json.dumps(message) + "\n").encode())  # type: ignore[union-attr]


def beat(finishing: threading.Event, works: Callable[[], bool]) -> None:
    """While the run is being finished, tell each second that waiting is not in vain, if it `works`."""

    def go_on() -> None:
        finishing.wait()
        while True:
            if works():
                tell(alive=True)
            time.sleep(1.0)

    threading.Thread(target=go_on, daemon=True).start()


def lock(path: Path) -> Lock | None:
    """Be the only feeder of the run: the one of a killed run may still be finishing."""
    return wait_for_lock(path, LOCK_SECONDS)


def new_rows(path: Path) -> Iterator[dict[str, Any] | None]:
    """Rows of a growing file; None where there is none at present."""
    with path.open("rb") as file:
        rest = b""
        while True:
            rest += file.readline()
            if not rest.endswith(b"\n"):
                yield None
                continue
            if row := parse_row(rest):
                yield row
            rest = b""


def without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings but those that sound like secrets."""
    return {name: value for name, value in settings.items() if not SECRET.search(name)}


def answers(url: str, seconds: float) -> bool:
    """Whether a server answers anything over HTTP in time (proxies of the environment are used)."""
    try:
        urllib.request.urlopen(url, timeout=seconds).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


def one_line(error: Exception) -> str:
    """What an error says, shortened."""
    return " ".join(str(error).split())[:160]
