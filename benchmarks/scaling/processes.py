"""Slow environments stepped by processes beside the worker (--env_processes), compared with the worker alone.

`python -m benchmarks.scaling.processes` writes docs/results/processes.md: 8 environments that wait 20 ms a step, over
1, 2, 4 and 8 processes. Both sides take the same steps in turn; the digests of all that they return are compared.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from environments.factory import make_vector_env
from helpers.machine.processor import cpu_model, instruction_set

ROOT = Path(__file__).resolve().parents[2]
SLEEPER = "benchmarks/scaling/sleeper.py:Sleeper"
BAR = 3.5  # times serial speed with 4 processes


@dataclass
class Side:
    """One way to step the environments.

    Attributes:
        processes: 0 for the worker alone.
        seconds: of each round.
        digests: of everything that each round returned.
    """

    processes: int
    seconds: list[float] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)


def measure(
    processes: Sequence[int],
    *,
    num_envs: int = 8,
    wait: float = 0.02,
    steps: int = 25,
    rounds: int = 5,
) -> list[Side]:
    """The worker alone first, then with processes; a round of one after a round of the other.

    Args:
        processes: how many, each a side of its own.
        num_envs: of each side.
        wait: seconds a step of an environment.
        steps: of each round.
        rounds: of each side.
    """
    sides = [Side(count) for count in (0, *processes)]
    made = [
        make_vector_env(
            SLEEPER,
            seeds=range(num_envs),
            options={"wait": wait},
            processes=side.processes,
        )
        for side in sides
    ]
    for number in range(rounds):
        actions = np.random.default_rng(number).uniform(-1, 1, (steps, num_envs, 4))
        for side, envs in zip(sides, made, strict=True):
            digest = hashlib.sha256(envs.reset(seed=number * num_envs)[0].tobytes())
            started = time.perf_counter()
            for each in actions.astype(np.float32):
                outcome = envs.step(each)
                for array in (*outcome[:4], envs.successors(outcome[0], outcome[4])):
                    digest.update(array.tobytes())
            side.seconds.append(time.perf_counter() - started)
            side.digests.append(digest.hexdigest())
    for envs in made:
        envs.close()
    return sides


def page(sides: Sequence[Side], *, num_envs: int, wait: float, steps: int) -> str:
    """The table as Markdown."""
    alone = sides[0]
    lines = [
        "# Slow environments in processes",
        "",
        f"`python -m benchmarks.scaling.processes`: {num_envs} environments that wait {wait * 1e3:g} ms a step, "
        f"{steps} steps a round, {len(alone.seconds)} rounds of each side in turn, medians (and the range). "
        f"{cpu_model()} ({instruction_set()}), {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f} at the end. "
        "The numbers of all sides are the same to the last bit: observations, rewards, ends and successors.",
        "",
        "| processes | seconds a round | steps/s | times the worker alone |",
        "|---|---|---|---|",
    ]
    for side in sides:
        seconds = statistics.median(side.seconds)
        ratios = [one / other for one, other in zip(alone.seconds, side.seconds, strict=True)]
        spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if side.processes else ""
        lines.append(
            f"| {side.processes or 'none'} | {seconds:.3f} | {num_envs * steps / seconds:,.0f} | "
            f"{statistics.median(ratios):.2f}{spread} |",
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure and write; 1 where numbers differ or 4 processes are below the bar."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "results" / "processes.md")
    arguments = parser.parse_args()
    os.chdir(ROOT)
    sides = measure((1, 2, 4, 8), steps=arguments.steps, rounds=arguments.rounds)
    arguments.output.write_text(page(sides, num_envs=8, wait=0.02, steps=arguments.steps))
    print(arguments.output.read_text(), end="")
    print(f"written: {arguments.output}")
    four = next(side for side in sides if side.processes == 4)
    ratio = statistics.median(sides[0].seconds) / statistics.median(four.seconds)
    same = all(side.digests == sides[0].digests for side in sides)
    print(f"the same numbers: {same}; 4 processes: {ratio:.2f} times, bar {BAR}")
    return 0 if same and ratio >= BAR else 1


if __name__ == "__main__":
    raise SystemExit(main())
