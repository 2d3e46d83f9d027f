"""Steps a second of the OpenSim tasks beside their integrator alone, and in two processes; and memory of resets.

    python -m benchmarks.opensim.speed            a table; takes about five minutes
    python -m benchmarks.opensim.speed --resets 1000
    python -m benchmarks.opensim.speed --soak 7200

The bare integrator is OpenSim's Manager on the same model with the same method, accuracy and excitations, which goes on
from action to action and reads nothing. Both are timed in turn, episode for episode.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from environments.factory import make_vector_env
from environments.opensim.catalogue import ARM, GAIT, L2M
from environments.opensim.simulation import make_manager
from environments.opensim.simulator import import_opensim
from helpers.machine.processor import machine

CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "Arm-Reach": (ARM, {}, 100),
    "Arm-Reach, actions of 10 ms": (ARM, {"frame_skip": 1}, 200),
    "Gait-Walk": (GAIT, {}, 12),
    "Gait-Walk, accuracy 1e-3, Merson": (
        GAIT,
        {"accuracy": 1e-3, "integrator": "runge_kutta_merson"},
        12,
    ),
    "Gait-Walk, gait14dof22musc": (GAIT, {"model": "gait14dof22musc"}, 12),
    "L2M2019": (L2M, {}, 40),
    "L2M2019, accuracy 1e-2, Euler": (
        L2M,
        {"accuracy": 1e-2, "integrator": "semi_explicit_euler_2"},
        40,
    ),
}

_EPISODES = 4  # of a measurement with processes


def excitations(count: int, muscles: int, seed: int) -> np.ndarray:
    """(count, muscles), each of which lasts five actions, weak enough to stay up for some time."""
    draw = np.random.default_rng(seed)
    return np.repeat(draw.uniform(0.0, 0.4, (-(-count // 5), muscles)), 5, axis=0)[:count]


def ours(env_id: str, options: dict[str, Any]) -> Any:
    """One environment that has begun."""
    env = make_vector_env(env_id, seeds=[0], options=options)
    env.reset()
    return env


def time_ours(env: Any, actions: np.ndarray, seed: int) -> tuple[float, np.ndarray]:
    """(seconds, initial state) of an episode's actions."""
    env.reset(seed=[seed])
    simulated = env.envs[0].unwrapped.simulation
    begin = np.array(simulated.values)
    started = time.perf_counter()
    for action in actions:
        env.step(action[None])
    return time.perf_counter() - started, begin


class Bare:
    """The integrator alone."""

    def __init__(self, env: Any) -> None:
        self.osim = import_opensim()
        inner = env.envs[0].unwrapped
        self.options, self.seconds = inner.options, inner.dt
        self.simulated = inner.simulation
        self.constants = self.simulated._constants
        self.model = self.simulated.model

    def time(self, actions: np.ndarray, begin: np.ndarray) -> float:
        """Seconds of the actions from a state."""
        state = self.model.initializeState()
        state.setTime(0.0)
        state.setY(self.osim.Vector.createFromMat(begin))
        manager = make_manager(
            self.model,
            accuracy=float(self.options["accuracy"]),
            integrator=self.options["integrator"],
        )
        manager.initialize(state)
        rows = actions.tolist()
        started = time.perf_counter()
        for index, row in enumerate(rows, start=1):
            for constant, value in zip(self.constants, row, strict=True):
                constant.setValue(value)
            manager.integrate(index * self.seconds)
        return time.perf_counter() - started


def beside_bare(rounds: int) -> None:
    """Each case in turn with its integrator alone."""
    print(
        "| task | actions/s | bare integrator | ratio (smallest, largest) |\n|---|---:|---:|---:|",
    )
    for name, (env_id, options, count) in CASES.items():
        env = ours(env_id, options)
        bare = Bare(env)
        muscles = env.single_action_space.shape[0]
        rates: list[tuple[float, float]] = []
        for seed in range(rounds + 1):
            actions = excitations(count, muscles, seed).astype(np.float32)
            mine, begin = time_ours(env, actions, seed)
            alone = bare.time(actions, begin)
            if seed:  # the first warms up
                rates.append((count / mine, count / alone))
        ratios = sorted(mine / alone for mine, alone in rates)
        middle = [statistics.median(each) for each in zip(*rates, strict=True)]
        print(
            f"| {name} | {middle[0]:,.0f} | {middle[1]:,.0f} | {statistics.median(ratios):.3f} "
            f"({ratios[0]:.3f}, {ratios[-1]:.3f}) |",
            flush=True,
        )
        env.close()


def processes(rounds: int) -> None:
    """Two environments in two processes, beside the same in one."""
    print(
        "\n| task | actions/s, 1 process | 2 processes | ratio (smallest, largest) |\n|---|---:|---:|---:|",
    )
    for name in ("Gait-Walk", "L2M2019", "Arm-Reach"):
        env_id, options, count = CASES[name]
        made = [make_vector_env(env_id, seeds=[0, 1], options=options, processes=n) for n in (1, 2)]
        rates: list[list[float]] = []
        for seed in range(rounds + 1):
            actions = excitations(count, made[0].single_action_space.shape[0], seed).astype(
                np.float32,
            )
            row = []
            for env in made:
                seconds = 0.0
                for episode in range(_EPISODES):
                    # alike, so that neither waits for the other
                    env.reset(seed=[_EPISODES * seed + episode] * 2)
                    started = time.perf_counter()
                    for action in actions:
                        env.step(np.stack([action, action]))
                    seconds += time.perf_counter() - started
                row.append(2 * count * _EPISODES / seconds)
            if seed:
                rates.append(row)
        ratios = sorted(two / one for one, two in rates)
        middle = [statistics.median(each) for each in zip(*rates, strict=True)]
        print(
            f"| {name} | {middle[0]:,.0f} | {middle[1]:,.0f} | {statistics.median(ratios):.2f} "
            f"({ratios[0]:.2f}, {ratios[-1]:.2f}) |",
            flush=True,
        )
        for env in made:
            env.close()


def resident() -> float:
    """MiB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def resets(count: int) -> None:
    """How much memory so many episodes leave behind."""
    for env_id in (ARM, GAIT, L2M):
        env = make_vector_env(env_id, seeds=[0], options={"accuracy": 1e-2})
        action = np.full((1, *env.single_action_space.shape), 0.1, np.float32)
        for index in range(count + 50):
            if index == 50:
                before = resident()
            env.reset(seed=[index])
            env.step(action)
        print(f"{env_id}: {count} resets, {resident() - before:+.2f} MiB", flush=True)
        env.close()


def soak(seconds: float) -> None:
    """Random excitations for so long, in every task in turn; memory and failures now and then."""
    made = [make_vector_env(e, seeds=[0], options={"accuracy": 1e-2}) for e in (ARM, GAIT, L2M)]
    draw = np.random.default_rng(0)
    for env in made:
        env.reset()
    started = told = time.monotonic()
    steps = episodes = 0
    while (now := time.monotonic()) - started < seconds:
        for env in made:
            scale = draw.uniform(0.0, 1.0)
            action = draw.uniform(0.0, scale, (1, *env.single_action_space.shape)).astype(
                np.float32,
            )
            observations, _, terminated, truncated, _ = env.step(action)
            if not np.isfinite(observations).all():
                raise ArithmeticError("an observation is not finite")
            steps += 1
            episodes += int((terminated | truncated)[0])
        if now - told > min(600.0, seconds / 4):
            told = now
            failures = [env.failures for env in made]
            print(
                f"{now - started:6.0f} s: {steps:,} actions, {episodes:,} episodes, failures {failures}, "
                f"{resident():.1f} MiB",
                flush=True,
            )
    print(
        f"{seconds:g} s: {steps:,} actions, {episodes:,} episodes, {resident():.1f} MiB at the end",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--resets", type=int)
    parser.add_argument("--soak", type=float)
    arguments = parser.parse_args(argv)
    if arguments.resets:
        resets(arguments.resets)
    elif arguments.soak:
        soak(arguments.soak)
    else:
        print(f"{machine()}\n")
        beside_bare(arguments.rounds)
        processes(arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
