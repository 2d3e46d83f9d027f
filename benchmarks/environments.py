"""Stepping MuJoCo tasks: batched MuJoCo beside Gymnasium's SyncVectorEnv and the physics alone.

`python -m benchmarks.environments` writes docs/results/environments.md. One thread, 16 environments, random
actions. In each round all start from the same seeds and take the same actions, so they do the same physics.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

ROOT = Path(__file__).resolve().parent.parent

PHYSICS = mujoco.mjtState.mjSTATE_INTEGRATION
LIMIT_BARS = dict.fromkeys(("Hopper", "Walker2d", "HalfCheetah", "Ant", "Humanoid"), 0.93)
SYNC_BARS = dict.fromkeys(("HalfCheetah", "Hopper"), 1.3)


@dataclass
class Episode:
    """A stretch of one environment's steps, from a state of the physics."""

    environment: int
    physics: np.ndarray
    first: int
    last: int


class Contest:
    """One task: three ways to take the same steps, each timed in the processor's time of this thread.

    Processor time leaves out what other programs take; it cannot leave out that they empty the caches.
    """

    def __init__(self, env_id: str, num_envs: int) -> None:
        from environments.batched_mujoco.catalogue import make_task
        from environments.batched_mujoco.vector_env import BatchedMujocoEnv

        self.ours = BatchedMujocoEnv(env_id, make_task(env_id, {}), seeds=range(num_envs))
        self.sync = SyncVectorEnv(
            [lambda: gymnasium.make(env_id)] * num_envs,
            autoreset_mode=AutoresetMode.SAME_STEP,
        )
        self.model = self.ours.world.model
        self.data = mujoco.MjData(self.model)

    def seconds(self, seed: int, steps: int) -> tuple[float, float, float]:
        """(physics alone, ours, SyncVectorEnv) for the same steps."""
        seeds = [1000 * seed + index for index in range(self.ours.num_envs)]
        low, high = self.model.actuator_ctrlrange.T
        actions = np.random.default_rng(seed).uniform(low, high, (steps, len(seeds), len(low)))
        actions = actions.astype(np.float32)
        episodes = list(self._episodes(seeds, actions))
        alone = self._physics(episodes, actions.astype(np.float64))
        return alone, _time(self.ours, seeds, actions), _time(self.sync, seeds, actions)

    def _episodes(self, seeds: list[int], actions: np.ndarray) -> Iterator[Episode]:
        """What the actions lead to, taken apart where episodes end."""
        size = mujoco.mj_stateSize(self.model, PHYSICS)
        self.ours.reset(seed=seeds)
        open_ = [Episode(i, np.empty(size), 0, len(actions)) for i in range(len(seeds))]
        for episode, data in zip(open_, self.ours.simulations.datas, strict=True):
            mujoco.mj_getState(self.model, data, episode.physics, PHYSICS)
        for step, action in enumerate(actions, start=1):
            _, _, terminated, truncated, _ = self.ours.step(action)
            for i in np.flatnonzero(terminated | truncated):
                open_[i].last = step
                yield open_[i]
                open_[i] = Episode(i, np.empty(size), step, len(actions))
                data = self.ours.simulations.datas[i]
                mujoco.mj_getState(self.model, data, open_[i].physics, PHYSICS)
        yield from open_

    def _physics(self, episodes: list[Episode], actions: np.ndarray) -> float:
        """A bare loop of mj_step in one MjData, episode after episode; beginning one is not timed."""
        seconds = 0.0
        model, data, frame_skip = self.model, self.data, self.ours.task.frame_skip
        ctrl, mj_step, clock = data.ctrl, mujoco.mj_step, time.thread_time
        for episode in episodes:
            mujoco.mj_resetData(model, data)
            mujoco.mj_setState(model, data, episode.physics, PHYSICS)
            rows = list(actions[episode.first : episode.last, episode.environment])
            started = clock()
            for row in rows:
                ctrl[...] = row
                mj_step(model, data, frame_skip)
            seconds += clock() - started
        return seconds


def _time(envs: Any, seeds: list[int], actions: np.ndarray) -> float:
    envs.reset(seed=seeds)
    clock: Callable[[], float] = time.thread_time
    started = clock()
    for action in actions:
        envs.step(action)
    return clock() - started


def spread(values: list[float], digits: int = 2) -> str:
    """Median (lowest to highest)."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> int:
    """Measure and tabulate; 1 where a bar is missed."""
    from environments.gymnasium_envs.registered import MUJOCO_NAMES
    from environments.mujoco_warnings import route_mujoco_warnings

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=100, help="of each environment in a round")
    parser.add_argument("--num_envs", type=int, default=16)
    parser.add_argument("--tasks", nargs="+", default=list(MUJOCO_NAMES), metavar="NAME")
    options = parser.parse_args()
    route_mujoco_warnings()
    lines = [
        "# Stepping environments",
        "",
        f"Made by `python -m benchmarks.environments --rounds {options.rounds} --steps {options.steps} "
        f"--num_envs {options.num_envs}`: one thread, random actions; in each round all three do the same physics, "
        "one after the other. The limit is a bare loop of `mj_step` in one `MjData`, episode after episode, in which "
        "beginning an episode is not timed; in the other two it is. Medians over rounds (lowest to highest) of "
        "processor time. Quote the ratios, not the figures: machines differ. "
        f"MuJoCo {mujoco.__version__}, Gymnasium {gymnasium.__version__}, NumPy {np.__version__}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}; "
        f"OPENBLAS_CORETYPE={os.environ.get('OPENBLAS_CORETYPE', 'unset')}, mujoco wheel {version('mujoco')}.",
        "",
        "| task | limit, steps/s | ours / limit | bar | SyncVectorEnv / limit | ours / SyncVectorEnv | bar |",
        "|---|---|---|---|---|---|---|",
    ]
    is_missed = False
    loads = []
    for name in options.tasks:
        contest = Contest(f"{name}-v5", options.num_envs)
        contest.seconds(0, options.steps)  # warms up
        rows = [contest.seconds(1 + i, options.steps) for i in range(options.rounds)]
        loads.append(os.getloadavg()[0])
        of_limit = [alone / ours for alone, ours, _ in rows]
        sync_of_limit = [alone / sync for alone, _, sync in rows]
        of_sync = [sync / ours for _, ours, sync in rows]
        rates = [options.steps * options.num_envs / alone for alone, _, _ in rows]
        bars = (LIMIT_BARS.get(name), SYNC_BARS.get(name))
        is_missed |= statistics.median(of_limit) < (bars[0] or 0)
        is_missed |= statistics.median(of_sync) < (bars[1] or 0)
        lines.append(
            f"| {name} | {statistics.median(rates):,.0f} | {spread(of_limit, 3)} | {bars[0] or ''} | "
            f"{spread(sync_of_limit, 3)} | {spread(of_sync)} | {bars[1] or ''} |",
        )
        print(lines[-1], flush=True)
    lines += ["", f"Load of the machine meanwhile: {min(loads):.1f} to {max(loads):.1f}."]
    path = ROOT / "docs" / "results" / "environments.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}")
    return int(is_missed)


if __name__ == "__main__":
    sys.exit(main())
