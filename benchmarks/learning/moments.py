"""How running moments follow what drifts: python -m benchmarks.learning.moments --write docs/results/moments.md

A stream of normal numbers, of mean 0 and deviation 1, moves to mean 5 and deviation 2. Counted is how many batches of
the new kind it takes until mean and deviation that are normalised by are within a tenth of the new ones; and,
of numbers in other units, how large they are once they are normalised.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.learning.value_units import print_and_write

BATCH, MEAN, DEVIATION, CLOSE = 512, 5.0, 2.0, 0.1
BEFORE = (1, 10, 100, 1_000)
UNITS = (1e-5, 1e-3, 1.0, 1e3)
LONGEST = 30_000
Follower = Callable[
    [np.ndarray | None],
    tuple[float, float],
]  # takes in a batch; what is normalised by


def observations() -> Follower:
    """Observations of PPO, of learners that replay, and of DAgger."""
    from agents.nn.normalizer import ObservationNormalizer
    from helpers.parallel.workers import Workers

    moments, workers = ObservationNormalizer(1, dtype=np.dtype(np.float64)), Workers.solo()

    def follow(batch: np.ndarray | None) -> tuple[float, float]:
        if batch is not None:
            moments.update(batch, workers=workers)
        return float(moments.offset[0]), float(1.0 / moments.scale[0])

    return follow


def returns() -> Follower:
    """Value targets of PPO."""
    from agents.nn.normalizer import ReturnNormalizer
    from helpers.parallel.workers import Workers

    moments, workers = ReturnNormalizer(active=True), Workers.solo()

    def follow(batch: np.ndarray | None) -> tuple[float, float]:
        if batch is not None:
            moments.update(batch[:, 0], workers=workers)
        return moments.center, moments.sd

    return follow


def reward_model(choice: str) -> Follower:
    """A discriminator's observations; demonstrations are of the stream as it begins."""
    from types import SimpleNamespace

    from agents.imitation.inputs import InputNormalizers
    from helpers.parallel.workers import Workers

    shown = np.random.default_rng(1).normal(size=(2000, 1))
    given = SimpleNamespace(observations=shown, extras={"step": np.zeros(len(shown))})
    config: Any = SimpleNamespace(precision="float64", d_batch_norm=True, d_moments=choice)

    class Demos:
        transitions = given

        def __len__(self) -> int:
            return len(shown)

    demos: Any = Demos()
    moments, workers = InputNormalizers(1, demos, config), Workers.solo()

    def follow(batch: np.ndarray | None) -> tuple[float, float]:
        if batch is not None:
            moments.collect(batch[:, None])
            moments.update(workers)
        return float(moments.offset[0]), float(1.0 / moments.scale[0])

    return follow


def crossq() -> Follower:
    """A layer of CrossQ; a batch is a gradient step."""
    import torch

    from agents.nn.batch_renorm import EPSILON, NormalisedNet, RunningStatistics

    make: Any = {
        "activation": "relu",
        "init": "default",
        "generator": torch.Generator(),
        "dtype": torch.float64,
    }
    net = NormalisedNet(1, (), 1, start=0, **make)
    running = RunningStatistics([net], torch.float64)

    def follow(batch: np.ndarray | None) -> tuple[float, float]:
        if batch is not None:
            statistics = running.of_groups((1, 1, len(batch)))
            net(torch.from_numpy(batch), statistics)
            running.policy_statistics.copy_(statistics.sums(1.0))
            running.move_policy()
        mean, variance = running.statistics.tolist()
        return mean, float(np.sqrt(variance + EPSILON))

    return follow


FOLLOWERS: Mapping[str, Callable[[], Follower]] = {
    "observations of a policy or critic": observations,
    "value targets of PPO": returns,
    "a discriminator's, d_moments=policy": lambda: reward_model("policy"),
    "a discriminator's, d_moments=both": lambda: reward_model("both"),
    "a discriminator's and RED's, d_moments=demos": lambda: reward_model("demos"),
    "a layer of CrossQ": crossq,
}


def followed(make: Callable[[], Follower], before: int, *, longest: int = LONGEST) -> int | None:
    """How many batches of the new kind it takes after so many of the old; None: more than `longest`, or never."""
    rng, follow = np.random.default_rng(0), make()
    for _ in range(before):
        follow(rng.normal(size=(BATCH, 1)))
    for count in range(1, longest + 1):
        mean, deviation = follow(rng.normal(MEAN, DEVIATION, (BATCH, 1)))
        if abs(mean - MEAN) < CLOSE * MEAN and abs(deviation - DEVIATION) < CLOSE * DEVIATION:
            return count
    return None


def size_of(make: Callable[[], Follower], unit: float, *, batches: int = 1000) -> float:
    """The deviation, once normalised, of a stream of this deviation that has not moved for long."""
    rng, follow = np.random.default_rng(0), make()
    for _ in range(batches):
        _, deviation = follow(rng.normal(scale=unit, size=(BATCH, 1)))
    return unit / deviation


def table(longest: int = LONGEST) -> str:
    """Both, as Markdown."""
    from helpers.machine.processor import cpu_model, instruction_set

    lines = [
        "# Running moments",
        "",
        "Made by `python -m benchmarks.learning.moments --write docs/results/moments.md`. "
        f"A stream of batches of {BATCH} numbers moves from mean 0 and deviation 1 to mean {MEAN:g} and deviation "
        f"{DEVIATION:g}. Entries: batches after the move until mean and deviation that are normalised by are within a "
        f"tenth of the new ones; a batch is a rollout, of CrossQ a gradient step. {cpu_model()}, {instruction_set()}.",
        "",
        f"| moments | {' | '.join(f'after {count:,} batches' for count in BEFORE)} |",
        f"|---|{'---|' * len(BEFORE)}",
    ]
    for name, make in FOLLOWERS.items():
        counts = [followed(make, before, longest=longest) for before in BEFORE]
        shown = ["never" if each is None else f"{each:,}" for each in counts]
        lines.append(f"| {name} | {' | '.join(shown)} |")
        print(lines[-1], flush=True)
    units = " | ".join(f"unit {unit:g}" for unit in UNITS)
    lines += [
        "",
        "Numbers whose deviation is the unit, for 1,000 batches: their deviation once they are normalised, which is to "
        "be 1. Each kind of moments has a floor of its own.",
        "",
        f"| moments | {units} |",
        f"|---|{'---|' * len(UNITS)}",
    ]
    for name in (each for each in FOLLOWERS if "demos" not in each and "both" not in each):
        sizes = [size_of(FOLLOWERS[name], unit) for unit in UNITS]
        lines.append(f"| {name} | {' | '.join(f'{each:.3g}' for each in sizes)} |")
        print(lines[-1], flush=True)
    return "\n".join([*lines, ""])


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write the tables."""
    return print_and_write("benchmarks.learning.moments", table, argv)


if __name__ == "__main__":
    sys.exit(main())
