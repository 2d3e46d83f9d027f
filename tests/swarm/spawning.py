"""Spawners as child processes, to be killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from multiprocessing.process import BaseProcess

from swarm.deploy import deploy
from swarm.plan import Plan

_FORK = multiprocessing.get_context("fork")  # as quick as a spawner that has imported everything


def start_spawner(plan: Plan) -> BaseProcess:
    """A spawner at work on the plan; it says nothing."""
    process = _FORK.Process(target=_spawn, args=(plan,))
    process.start()
    return process


def spawn_with_kills(plan: Plan, *, kills: int, longest: float, seed: int = 0) -> None:
    """Kill so many spawners, each after at most `longest` seconds, then let one finish."""
    generator = random.Random(seed)
    for _ in range(kills):
        process = start_spawner(plan)
        time.sleep(generator.uniform(0, longest))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    deploy(plan, say=lambda _: None)


def _spawn(plan: Plan) -> None:
    deploy(plan, say=lambda _: None)


# what changes the disk or starts something; an audit event comes just before it
_INSTANTS = (
    "open",
    "os.link",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.chmod",
    "subprocess.Popen",
)


def spawn_killed_at(plan: Plan, instant: int) -> bool:
    """Let a spawner die by SIGKILL just before its so-manieth deed; False if it finished before."""
    process = _FORK.Process(target=_spawn_until, args=(plan, instant))
    process.start()
    process.join()
    return process.exitcode == -signal.SIGKILL


def _spawn_until(plan: Plan, instant: int) -> None:
    count = 0

    def die_when_due(event: str, _arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in _INSTANTS:
            count += 1
            if count == instant:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(die_when_due)
    _spawn(plan)
