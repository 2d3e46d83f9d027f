"""Stands in for a worker that mpiexec starts, and has tests/nursery.py fork it, where importing takes seconds.

usage: mpiexec -n 2 python -I -S tests/rank.py DOOR FLAG ...

The worker is given all open files, MPI's among them, and the environment. Signals are passed on to it, and this
process ends as it ends.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


def send_request(channel: socket.socket, request: Mapping[str, Any], files: dict[int, int]) -> None:
    """One line, and with it open files, each to be there under the number that is its key."""
    content = json.dumps({**request, "numbers": [*files]}).encode() + b"\n"
    sent = socket.send_fds(channel, [content], [*files.values()])
    channel.sendall(content[sent:])


def main(door: str, flags: list[str]) -> None:
    """As the worker, to its end."""
    worker, early = [0], []

    def pass_on(number: int, _frame: object) -> None:
        if worker[0]:
            os.kill(worker[0], number)
        else:
            early.append(number)

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    request = {"flags": flags, "environment": dict(os.environ), "stand_in": os.getpid()}
    files = {number: number for number in map(int, os.listdir("/proc/self/fd")) if _is_open(number)}
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(f"\0{door}")
        send_request(channel, request, files)
        with channel.makefile() as answers:
            worker[0] = json.loads(answers.readline())["pid"]
            for each in early:
                os.kill(worker[0], each)
            code = json.loads(answers.readline())["code"]
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _is_open(number: int) -> bool:
    """Whether the file is still there, and not the list of files itself."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
