"""What a peer's script is asked to do, and the line it answers with.

Every script runs in the virtual environment of its peer (`setup.sh` makes them), as `python -m
benchmarks.speed.peers.sb3` in the repository root, and prints one line `RESULT {...}`. This module imports nothing
beyond Python's library.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from typing import Any

HIDDEN = (64, 64)  # widths of the actor and of the critic, each of its own; tanh
STEP_SIZE = 3e-4
GAMMA, GAE_LAMBDA, CLIP_RATIO = 0.99, 0.95, 0.2
VALUE_SCALE, ENTROPY_SCALE, CLIP_NORM = 0.5, 0.0, 0.5


class Work(argparse.Namespace):
    """The flags.

    Attributes:
        env_id: a Gymnasium id.
        num_envs: environments, stepped one after the other in this process.
        rollout_len: environment steps of an iteration, over all environments.
        batch_size: samples of a minibatch.
        epochs: passes over the rollout in an update.
        iterations: how many, the first one included, which is not counted.
    """

    env_id: str
    num_envs: int
    rollout_len: int
    batch_size: int
    epochs: int
    iterations: int

    @property
    def steps_per_env(self) -> int:
        """Steps of one environment in an iteration."""
        return self.rollout_len // self.num_envs

    @property
    def num_steps(self) -> int:
        """Environment steps of the whole run."""
        return self.rollout_len * self.iterations


def asked_work() -> Work:
    """The command line of this process; the peers' warnings are silenced."""
    warnings.filterwarnings("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("--env_id", default="Hopper-v5")
    parser.add_argument("--num_envs", type=int, default=16)
    parser.add_argument("--rollout_len", type=int, default=2048)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=8)
    return parser.parse_args(namespace=Work())


class Clock:
    """When each update began and ended, in seconds; all between two updates is the rollout."""

    def __init__(self) -> None:
        self.updates: list[tuple[float, float]] = []

    def watch(self, owner: Any, name: str) -> None:
        """Take the calls of `owner.name` for the updates."""
        setattr(owner, name, self.timed(getattr(owner, name)))

    def timed(self, update: Callable[..., Any]) -> Callable[..., Any]:
        """`update`, noting its times."""

        def call(*arguments: Any, **keywords: Any) -> Any:
            began = time.perf_counter()
            result = update(*arguments, **keywords)
            self.updates.append((began, time.perf_counter()))
            return result

        return call


def report(work: Work, updates: list[tuple[float, float]]) -> None:
    """Print the RESULT line: from the end of the first update to the end of the last.

    Raises:
        SystemExit: the peer made another number of updates than it was asked for.
    """
    print("RESULT " + json.dumps(result(work, updates)), flush=True)


def result(work: Work, updates: list[tuple[float, float]]) -> dict[str, float]:
    """Steps per second, and the seconds of an iteration in the rollout and in the update."""
    if len(updates) != work.iterations:
        raise SystemExit(f"{work.iterations} updates were asked for and {len(updates)} were made")
    counted = work.iterations - 1
    seconds = (updates[-1][1] - updates[0][1]) / counted
    updating = sum(end - begin for begin, end in updates[1:]) / counted
    return {
        "steps_per_second": work.rollout_len / seconds,
        "rollout_s": seconds - updating,
        "update_s": updating,
    }
