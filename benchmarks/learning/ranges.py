"""The same task behind other bounds of its actions: python -m benchmarks.learning.ranges --write docs/results/ranges.md

What an action does depends on where it lies between its bounds; nothing else differs from the plain environment, whose
bounds are -1 and 1. Each return is a line of a JSON file; what is there is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector.utils import batch_space

RANGES: Mapping[str, tuple[Sequence[float], Sequence[float]]] = {  # repeated over the actions
    "[-1, 1]": ([-1], [1]),
    "[0, 0.02]": ([0], [0.02]),
    "[2, 10]": ([2], [10]),
    "[-3, 1]": ([-3], [1]),
    "mixed: [-3, 1], [0, 0.02], [2, 10]": ([-3, 0, 2], [1, 0.02, 10]),
}
CASES: Mapping[str, Mapping[str, Any]] = {
    "ppo": {"env_id": "Reacher-v5", "num_timesteps": 100_000, "num_envs": 8},
    "gail": {
        "env_id": "Hopper-v5",
        "num_timesteps": 100_000,
        "num_envs": 8,
        "num_demos": 4,
        "expert_path": "{demos}/Hopper-v5",
    },
    "bc": {
        "env_id": "HalfCheetah-v5",
        "num_timesteps": 5_000,
        "num_demos": 4,
        "expert_demo_subsample": False,
        "expert_path": "{demos}/HalfCheetah-v5",
    },
    "sac": {
        "env_id": "Reacher-v5",
        "num_timesteps": 5_000,
        "num_envs": 2,
        "learning_starts": 500,
    },
}
SEEDS, EPISODES, FIRST_EVALUATION_SEED = 3, 10, 1_000_000


class Ranged:
    """A vector environment whose actions have other bounds.

    Args:
        environment: with bounds of -1 and 1.
        low, high: of the actions, repeated as often as there are some.
    """

    def __init__(self, environment: Any, low: Sequence[float], high: Sequence[float]) -> None:
        self.environment = environment
        count = environment.single_action_space.shape[0]
        self.low, self.high = (np.resize(np.float32(each), count) for each in (low, high))
        self.center, self.half = (self.low + self.high) / 2, (self.high - self.low) / 2
        self.single_action_space = gymnasium.spaces.Box(self.low, self.high)
        self.action_space = batch_space(self.single_action_space, environment.num_envs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.environment, name)

    def step(self, actions: np.ndarray) -> Any:
        """A step of the environment, its action as far between -1 and 1 as this one is between the bounds."""
        return self.environment.step((actions - self.center) / self.half)

    def stretch(self, actions: np.ndarray) -> np.ndarray:
        """Actions of the plain environment as they are here."""
        return (self.center + self.half * actions).astype(np.float32)


def train(algo: str, bounds: str, seed: int, demos: Path) -> dict[str, Any]:
    """One run: its row of the JSON file."""
    from agents.algorithms import SCHEMA
    from agents.factory import make_agent
    from environments.factory import make_vector_env
    from helpers.demos.load import read_demos
    from helpers.episodes import run_episodes
    from helpers.parallel.workers import Workers
    from helpers.seeding import Streams
    from orchestrator import RolloutState, rollout_generator

    settings = {
        key: value.format(demos=demos) if isinstance(value, str) else value
        for key, value in CASES[algo].items()
    }
    config: Any = SCHEMA.resolve(SCHEMA.layer_of({"algo": algo, "seed": seed, **settings})).config
    started, workers = time.process_time(), Workers.solo()

    def make(seeds: Sequence[int]) -> Ranged:
        return Ranged(make_vector_env(config.env_id, seeds=list(seeds)), *RANGES[bounds])

    environment = make(range(config.num_envs))
    parts: dict[str, Any] = {}
    if "expert_path" in settings:
        read = read_demos(config, None)
        bounds_here = {"action_low": environment.low, "action_high": environment.high}
        episodes = [
            replace(
                each,
                actions=environment.stretch(each.actions),
                origin={**each.origin, **bounds_here},
            )
            for each in read.episodes
        ]
        parts["demos"] = replace(read, episodes=tuple(episodes))
    agent: Any = make_agent(
        config,
        observation_space=environment.single_observation_space,
        action_space=environment.single_action_space,
        workers=workers,
        streams=Streams(seed),
        environments=slice(0, config.num_envs),
        **parts,
    )
    first = environment.reset(seed=[1000 * seed + each for each in range(config.num_envs)])[0]
    state, dtype = RolloutState.start(first), np.dtype(config.precision)
    rollouts = rollout_generator(
        environment,
        agent,
        state,
        dtype=dtype,
        stopwatch=workers.stopwatch,
    )
    a_rollout = agent.rollout_len * config.num_envs or 1
    for _ in range(-(-config.num_timesteps // a_rollout)):
        agent.update(next(rollouts))
        if getattr(agent, "is_done", False):
            break
    seeds = range(FIRST_EVALUATION_SEED, FIRST_EVALUATION_SEED + EPISODES)
    returns = [each.return_ for each in run_episodes(make(seeds), agent, seeds=seeds)]
    return {
        "algo": algo,
        "bounds": bounds,
        "seed": seed,
        "return": statistics.fmean(returns),
        "seconds": round(time.process_time() - started, 1),
    }


def shown(value: float) -> str:
    """A return with three digits or more."""
    return f"{value:,.0f}" if abs(value) >= 100.0 else f"{value:.1f}"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Mean returns over seeds, their standard errors, and each of them, for each range and algorithm."""
    from helpers.machine.processor import cpu_model, instruction_set

    found: dict[tuple[str, str], list[float]] = {}
    for row in sorted(rows, key=lambda each: each["seed"]):
        found.setdefault((row["bounds"], row["algo"]), []).append(row["return"])
    heads = [f"{algo}, {CASES[algo]['env_id']}" for algo in CASES]
    lines = ["| bounds of the actions | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for bounds in RANGES:
        cells = []
        for algo in CASES:
            returns = found.get((bounds, algo), [])
            each = ", ".join(map(shown, returns))
            spread = statistics.stdev(returns) / len(returns) ** 0.5 if len(returns) > 1 else 0.0
            mean = f"{shown(statistics.fmean(returns))} +- {shown(spread)}"
            cells.append(f"{mean} ({each})" if returns else "not run")
        lines.append(f"| {bounds} | " + " | ".join(cells) + " |")
    steps = "; ".join(
        f"{algo} {case['num_timesteps']:,} {'gradient' if algo == 'bc' else 'environment'} steps"
        for algo, case in CASES.items()
    )
    return "\n".join(
        [
            "# Other bounds of the actions",
            "",
            "Made by `python -m benchmarks.learning.ranges --write docs/results/ranges.md`: the same tasks behind an "
            "affine map of their actions. Deterministic returns of the last policy: the mean over seeds, its standard "
            "error, (each seed), "
            f"{EPISODES} episodes each. {steps}; all other settings are the defaults; demonstrations of "
            "`python -m benchmarks.learning.experts`, their actions mapped alike. Rows differ by rounding alone at "
            "first, which grows over a training as any difference of a seed does: they are to agree as seeds do. "
            f"{cpu_model()}, {instruction_set()}.",
            "",
            *lines,
            "",
        ],
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is missing, one run after the other, and write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning.ranges",
        description=__doc__,
    )
    parser.add_argument("--rows", type=Path, default=Path("docs/results/ranges.jsonl"))
    parser.add_argument("--demos", type=Path, default=Path("data/demos"))
    parser.add_argument("--write", type=Path, metavar="FILE", help="the table, as Markdown")
    parser.add_argument("--algos", default=",".join(CASES), help="ppo,gail,bc,sac")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="3; ten where three disagree")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    path: Path = arguments.rows
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    there = {(row["algo"], row["bounds"], row["seed"]) for row in rows}
    wanted = [
        (algo, bounds, seed)
        for algo in arguments.algos.split(",")
        for seed in range(arguments.seeds)
        for bounds in RANGES
    ]
    for algo, bounds, seed in wanted:
        if (algo, bounds, seed) in there:
            continue
        row = train(algo, bounds, seed, arguments.demos)
        rows.append(row)
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
    print(f"returns: {path}")
    if arguments.write:
        arguments.write.write_text(table(rows), encoding="utf-8")
        print(f"table: {arguments.write}")
    else:
        print("next: python -m benchmarks.learning.ranges --write docs/results/ranges.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
