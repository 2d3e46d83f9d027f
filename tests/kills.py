"""Start a run again and again, each time killed at a random instant, then once to its end.

usage: echo '["--task=train", ...]' | python -m tests.kills SCRATCH_FOLDER KILLS

Everything is imported once and forked, so that instants, not imports, are what is hit. The last line printed counts
the kills, the checkpoints that could not be read, and the committed ones that were lost.
"""

import contextlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import gymnasium.envs.classic_control  # noqa: F401
import torch

import agents.on_policy.ppo  # noqa: F401
import main
import orchestrator  # noqa: F401
from helpers.checkpoints.resolve import read_shared, resolve_checkpoint
from helpers.errors import CheckpointError


def child(flags: list[str]) -> None:
    """main.py in a forked process, silent."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        code = main.main(flags)
    os._exit(code)


def newest(folder: Path) -> int:
    """The iteration of the newest checkpoint, proven; -1 where there is none yet."""
    if not (folder / "checkpoints" / "latest").exists():
        return -1
    return read_shared(resolve_checkpoint(folder, "latest"))[0]


def session(flags: list[str], seconds: float) -> int | None:
    """Fork, wait, kill; the exit code if it ended before."""
    pid = os.fork()
    if pid == 0:
        child(flags)
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def killed_run(flags: list[str], folder: Path, kills: int) -> dict[str, int]:
    """The counts."""
    rng, report, seen = random.Random(0), {"kills": 0, "unreadable": 0, "lost": 0}, -1
    while report["kills"] < kills:
        # The run must outlast its kills, so it is given little time until the last of them.
        if session(flags, rng.uniform(0.02, 0.25)) is not None:
            break
        report["kills"] += 1
        try:
            found = newest(folder)
        except CheckpointError:
            report["unreadable"] += 1
            continue
        report["lost"] += found < seen
        seen = found
    session(flags, 120.0)
    return report


if __name__ == "__main__":
    torch.set_num_threads(1)
    arguments = json.loads(sys.stdin.read())
    name = next(flag.partition("=")[2] for flag in arguments if flag.startswith("--uuid="))
    print(json.dumps(killed_run(arguments, Path(sys.argv[1]) / name, int(sys.argv[2]))))
