"""Run alone or under mpiexec: what a loop with known rewards and episodes writes of skrl's metrics.

usage: tracked.py FOLDER ALGORITHM ...

Environment i (of all workers) pays c - 10 i in step c of an episode, which ends after i + 2 steps. The root saves in
FOLDER/ALGORITHM.json the values by step, and beside them, of all workers, the critics' values and targets as the
losses saw them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np

from agents.off_policy import losses
from helpers.parallel.workers import Workers
from orchestrator import Orchestrator
from tests.agents.builders import SPACES, small_agent, small_config
from tests.probes.environments import Probe

ITERATIONS = 5
SIZES: dict[str, Any] = {  # 4 environments; a rollout is 2 steps of each, or 16
    "precision": "float64",
    "tensorboard": True,
    "rollout_len": 8,
    "steps_per_iteration": 64,
    "write_interval": 20,
    "learning_starts": 32,
    "batch_size": 8,
    "mem_size": 200,
}


class Paying(Probe):
    """The environments of a worker, by their global indices."""

    def __init__(self, indices: Sequence[int], action_space: gymnasium.Space) -> None:
        self.indices = np.array(indices)
        super().__init__(len(indices))
        self.single_action_space = action_space

    def pay(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.clock - 10.0 * self.indices, self.clock == self.indices + 2


class Recorder:
    """A tracker that keeps the scalars."""

    def __init__(self) -> None:
        self.table: dict[int, dict[str, float]] = {}

    def log(self, row: Mapping[str, Any]) -> None:
        """Nothing."""

    def sync(self) -> None:
        """Nothing."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        assert step not in self.table
        self.table[step] = dict(values)


def make_loop(config: Any, workers: Workers, recorder: Recorder) -> Any:
    """An orchestrator on the environments above; its agent is of whatever class."""
    space = SPACES["discrete" if config.algo == "dqn" else "continuous"]
    agent = small_agent(config, space, workers=workers, dim=1)
    nothing: Any = None
    return Orchestrator(
        agent,
        Paying(agent.environments, space),
        evaluation=(None, ()),
        config=config,
        workers=workers,
        checkpoints=nothing,
        tracker=recorder,
        progress=SimpleNamespace(message=print),
        deadline=nothing,
    )


def watch_losses(seen: list[list[Any]]) -> None:
    """Let the losses note the values (C, b) and targets (b,) of every update."""
    critics_loss, huber_loss = losses.critics_loss, losses.huber_loss

    def watched_critics(values: Any, target: Any, weight: Any) -> Any:
        seen.append([values.detach().tolist(), target.detach().tolist()])
        return critics_loss(values, target, weight)

    def watched_huber(value: Any, target: Any, weight: Any) -> Any:
        seen.append([[value.detach().tolist()], target.detach().tolist()])
        return huber_loss(value, target, weight)

    losses.critics_loss, losses.huber_loss = watched_critics, watched_huber


def iterated(
    algo: str,
    workers: Workers,
    recorder: Recorder,
    seen: list[list[Any]],
) -> dict[int, list[Any]]:
    """What the losses saw until each write, by step."""
    sizes = SIZES
    if algo == "ppo":
        sizes = {k: SIZES[k] for k in ("precision", "tensorboard", "write_interval", "batch_size")}
    loop = make_loop(small_config(algo, **sizes), workers, recorder)
    windows: dict[int, list[Any]] = {}
    write = loop.tracking.write
    seen.clear()

    def noted_write(step: int) -> None:
        windows[step] = list(seen)
        seen.clear()
        write(step)

    loop.tracking.write = noted_write
    for _ in range(ITERATIONS):
        loop.do_iteration()
    return windows


def main() -> None:
    folder, *algorithms = sys.argv[1:]
    workers = Workers.connect()
    seen: list[list[Any]] = []
    watch_losses(seen)
    for algo in algorithms:
        recorder = Recorder()
        windows = iterated(algo, workers, recorder, seen)
        shares = workers.gather_json(list(windows.items()))
        if shares is not None:
            saved = {"table": list(recorder.table.items()), "seen": shares}
            Path(folder, f"{algo}.json").write_text(json.dumps(saved))


if __name__ == "__main__":
    main()
