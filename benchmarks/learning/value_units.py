"""Values of known size at each horizon and unit of reward: python -m benchmarks.learning.value_units --write FILE

An endless cycle of ten states pays 1 + cos of where it is, times the unit: no action matters, and the values follow
from a linear equation. "Before" is a critic in deviations of all returns so far that nothing rescales when they move,
"after" PopArt's (agents/on_policy/value_units.py).
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

STATES, ITERATIONS = 10, 200
HORIZONS = (10, 100, 1_000, 10_000)
UNITS = (1e-3, 1.0, 1e3)
SETTINGS = {
    "num_envs": 4,
    "rollout_len": 512,
    "batch_size": 64,
    "num_timesteps": ITERATIONS * 512,
    "optim_epochs_per_iter": 5,
    "gae_lambda": 0.98,
    "lr_schedule": "linear",
    "v_lr": 1e-3,
    "clip_norm": 0.5,
}


class Cycle:
    """N copies of the cycle, cut every 100 steps; nothing terminates."""

    single_observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,))
    single_action_space = gymnasium.spaces.Discrete(2)
    limit = 100

    def __init__(self, num_envs: int, unit: float) -> None:
        self.unit, self.clock = unit, np.zeros(num_envs, dtype=np.int64)
        self.place = np.arange(num_envs) % STATES

    def observe(self) -> np.ndarray:
        """Where each is on the circle, (N, 2)."""
        angle = 2.0 * math.pi * self.place / STATES
        return np.stack([np.cos(angle), np.sin(angle)], -1).astype(np.float32)

    def reset(self) -> tuple[np.ndarray, dict[str, Any]]:
        """The first observations."""
        return self.observe(), {}

    def step(self, _: np.ndarray) -> tuple[Any, ...]:
        """One state further."""
        rewards = self.unit * (1.0 + np.cos(2.0 * math.pi * self.place / STATES))
        self.place = (self.place + 1) % STATES
        self.clock += 1
        cut = self.clock >= self.limit
        self.clock[cut] = 0
        return self.observe(), rewards, np.zeros_like(cut), cut, {}

    def successors(self, observations: np.ndarray, _: Any) -> np.ndarray:
        """They go on where they were cut."""
        return observations


def true_values(gamma: float) -> np.ndarray:
    """Of the ten states, for a unit of 1."""
    rewards = 1.0 + np.cos(2.0 * math.pi * np.arange(STATES) / STATES)
    follows = np.roll(np.eye(STATES), 1, axis=1)
    return np.linalg.solve(np.eye(STATES) - gamma * follows, rewards)


def measure(horizon: int, unit: float, *, preserves: bool) -> tuple[float, float]:
    """(root mean square error of the differences between values, the mean value's share of the true one)."""
    import torch

    from agents.algorithms import SCHEMA
    from agents.factory import make_agent
    from helpers.parallel.workers import Workers
    from helpers.seeding import Streams
    from orchestrator import RolloutState, rollout_generator

    gamma = 1.0 - 1.0 / horizon
    layer = SCHEMA.layer_of({"algo": "ppo", "seed": 0, "gamma": gamma, **SETTINGS})
    config: Any = SCHEMA.resolve(layer).config
    environment, workers = Cycle(config.num_envs, unit), Workers.solo()
    agent: Any = make_agent(
        config,
        observation_space=environment.single_observation_space,
        action_space=environment.single_action_space,
        workers=workers,
        streams=Streams(0),
        environments=slice(0, config.num_envs),
    )
    moments = agent.return_normalizer
    moments.preserves = preserves
    moments.memory = moments.MEMORY if preserves else math.inf
    state = RolloutState.start(environment.reset()[0])
    rollouts = rollout_generator(
        environment,
        agent,
        state,
        dtype=np.dtype(config.precision),
        stopwatch=workers.stopwatch,
    )
    for _ in range(ITERATIONS):
        agent.update(next(rollouts))
    environment.place = np.arange(STATES)
    inputs = torch.from_numpy(agent._value_input(environment.observe()))
    found = moments.denormalize(agent.gradient_steps.values(inputs).numpy().astype(np.float64))
    found, true = found / unit, true_values(gamma)
    error = (found - found.mean()) - (true - true.mean())
    return float(np.sqrt(np.mean(error * error))), float(found.mean() / true.mean())


def table() -> str:
    """Before and after, by horizon and unit."""
    from helpers.machine.processor import cpu_model, instruction_set

    lines = [
        "# The unit of PPO's values",
        "",
        "Made by `python -m benchmarks.learning.value_units --write docs/results/value_units.md`: an endless cycle of "
        f"ten states that pays 1 + cos, times the unit of reward; {ITERATIONS} iterations of {SETTINGS['rollout_len']} "
        f"steps, gae_lambda {SETTINGS['gae_lambda']}, a linear schedule, one seed.",
        "Before: a critic in deviations of all returns so far, which nothing rescales when they move. After: moments "
        "of ten rollouts, the last layer rescaled against them, the first unit from the first rollout (PopArt).",
        "Error: of the differences between the ten values, root mean square, in units of the reward's; the differences "
        "themselves are about 1.1. Share: of the mean value in the true one; above 100 % it has run away.",
        f"{cpu_model()}, {instruction_set()}.",
        "",
        "| horizon 1/(1 - gamma) | unit of reward | error before | error after | share before | share after |",
        "|---|---|---|---|---|---|",
    ]
    for horizon in HORIZONS:
        for unit in UNITS:
            before, after = (measure(horizon, unit, preserves=each) for each in (False, True))
            shares = [f"{100.0 * each[1]:,.3g} %" for each in (before, after)]
            lines.append(
                f"| {horizon:,} | {unit:g} | {before[0]:.3g} | {after[0]:.3g} | {' | '.join(shares)} |",
            )
            print(lines[-1], flush=True)
    return "\n".join([*lines, ""])


def print_and_write(program: str, table: Callable[[], str], argv: Sequence[str] | None) -> int:
    """The command line of a measurement that gives one page of Markdown: --write FILE keeps it."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the page, as Markdown")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    text = table()
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
        print(f"page: {arguments.write}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write the table."""
    return print_and_write("benchmarks.learning.value_units", table, argv)


if __name__ == "__main__":
    sys.exit(main())
