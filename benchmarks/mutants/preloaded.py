"""Runs pytest again and again, each time in a fork of this process, which has imported already what takes long.

usage: python -P preloaded.py [MODULE ...]   (in a copy of the tree, of which nothing is imported here)

A line of JSON asks, {"arguments": [...], "output": FILE, "seconds": LIMIT}, and a line answers, {"status": N,
"seconds": S}: pytest's exit status, or null where it was killed at the limit, and the processor's time.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import time

import pytest


def run(arguments: list[str], output: str, seconds: float) -> dict[str, float | None]:
    """Run pytest in a child of this process: its exit status, None where it was killed, and its seconds."""
    child = os.fork()
    if child == 0:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.setpgid(0, 0)
        os._exit(_status(arguments))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if ended:
            return _answer(os.waitstatus_to_exitcode(status), used)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    return _answer(None, os.wait4(child, 0)[2])


def _answer(status: int | None, used: resource.struct_rusage) -> dict[str, float | None]:
    return {"status": status, "seconds": round(used.ru_utime + used.ru_stime, 1)}


def _status(arguments: list[str]) -> int:
    status = int(pytest.main(arguments))
    sys.stdout.flush()
    return status


def main() -> None:
    """Answer until the input ends."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
