"""How often intervals and tests hold what they say, on groups of runs whose truth is known; beside rliable.

    python -m benchmarks.reports.statistics --write docs/results/statistics.md
    python -m benchmarks.reports.statistics --rliable /tmp/peers/bin/python     # a Python that has rliable

Simulated are final scores of seeds: normal; log-normal, with few runs far above the others; and of two kinds, 70 % that
have learned and 30 % that have not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from helpers.durable import write_atomically
from helpers.errors import ConfigurationError
from helpers.seeding import Streams
from reports.statistics import estimates, intervals, tests
from reports.statistics.estimates import Estimate

SWARMS = 2000
_RESAMPLES = 2000
_POPULATION = 4_000_000
_LEAST = 0.9  # of a 95 % interval, below which a table says so
METHODS: tuple[intervals.Method, ...] = ("expanded", "percentile", "bca")
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def normal(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return generator.normal(size=shape)


def skewed(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return generator.lognormal(0.0, 1.0, size=shape)


def bimodal(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    has_learned = generator.random(shape) < 0.7
    return np.where(has_learned, 1.0, 0.2) + 0.1 * generator.normal(size=shape)


SHAPES: dict[str, Draw] = {"normal": normal, "skewed": skewed, "bimodal": bimodal}
CENTERS: dict[str, Estimate] = {"IQM": estimates.iqm, "mean": estimates.mean}


def coverage(
    draw: Draw,
    estimate: Estimate,
    seeds: int,
    *,
    tasks: int = 1,
    swarms: int = SWARMS,
    method: intervals.Method = "expanded",
) -> float:
    """The share of simulated swarms whose 95 % interval holds the population's value.

    Args:
        draw: of the scores.
        estimate: of them.
        seeds, tasks: of a swarm.
        swarms: how many.
        method: of the interval.
    """
    streams = Streams(0)
    truth = float(estimate([draw(streams.generator("population"), (_POPULATION,))]))
    held = 0
    for swarm in range(swarms):
        scores = list(draw(streams.generator("swarm", swarm, seeds), (tasks, seeds)))
        found = intervals.interval(scores, estimate, method=method, resamples=_RESAMPLES)
        held += found.low <= truth <= found.high
    return held / swarms


def false_positives(
    draw: Draw,
    seeds: int,
    *,
    pairs: bool,
    tasks: int = 1,
    swarms: int = SWARMS,
) -> float:
    """The share of pairs of equal groups that the permutation test calls different at 5 %."""
    found = 0
    for swarm in range(swarms):
        scores = draw(Streams(0).generator("null", swarm, seeds), (2, tasks, seeds))
        found += (
            tests.permutation_test(list(scores[0]), list(scores[1]), pairs=pairs).p
            <= tests.SIGNIFICANCE
        )
    return found / swarms


def example_scores(runs: int, tasks: int, group: int) -> np.ndarray:
    """(runs, tasks) normalised scores of the shape of a published benchmark; drawn, for they cannot be fetched."""
    generator = Streams(0).generator("example", group, runs, tasks)
    levels = generator.lognormal(-0.5 + 0.2 * group, 0.8, size=tasks)
    return levels * (1 + 0.3 * generator.normal(size=(runs, tasks)))


# What rliable makes of the same arrays; run by its own Python.
_THEIRS = """
import json, sys
import numpy as np
from rliable import library, metrics
given = json.load(sys.stdin)
a, b, taus = (np.array(given[key]) for key in ("a", "b", "taus"))
np.random.seed(0)
points = lambda x: np.array([metrics.aggregate_iqm(x), metrics.aggregate_median(x), metrics.aggregate_mean(x),
                             metrics.aggregate_optimality_gap(x)])
value, ends = library.get_interval_estimates({"a": a}, points, reps=given["reps"])
profile, profile_ends = library.create_performance_profile({"a": a}, taus, reps=1000)
json.dump({"points": value["a"].tolist(), "low": ends["a"][0].tolist(), "high": ends["a"][1].tolist(),
           "profile": profile["a"].tolist(), "profile_low": profile_ends["a"][0].tolist(),
           "profile_high": profile_ends["a"][1].tolist(),
           "improvement": float(metrics.probability_of_improvement(a, b))}, sys.stdout)
"""
_SHAPES_OF_BENCHMARKS = {
    "Atari 100k (100 x 26)": (100, 26),
    "ALE (5 x 55)": (5, 55),
    "Procgen (10 x 16)": (10, 16),
}


def beside_rliable(python: str, runs: int, tasks: int) -> dict[str, float]:
    """The largest differences from rliable on one pair of arrays: of points, and of ends by the interval's width."""
    ours, others = (example_scores(runs, tasks, group) for group in range(2))
    taus = np.linspace(0, 3, 61)
    given = {"a": ours.tolist(), "b": others.tolist(), "taus": taus.tolist(), "reps": 5_000}
    done = subprocess.run(
        [python, "-c", _THEIRS],
        input=json.dumps(given),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ConfigurationError(
            f"{python} does not run rliable: {done.stderr.strip().splitlines()[-1]}",
            "Install it there: pip install rliable==1.2.0 'pandas<3'.",
        )
    theirs = {key: np.array(value) for key, value in json.loads(done.stdout).items()}
    mine, other = list(ours.T), list(others.T)
    found = [
        intervals.interval(mine, of, method="percentile", resamples=5_000)
        for of in (estimates.iqm, estimates.median, estimates.mean, estimates.optimality_gap)
    ]
    profile, low, high = intervals.profile_band(mine, taus)
    width = theirs["high"] - theirs["low"]
    ends = np.concatenate(
        [
            ([f.low for f in found] - theirs["low"]) / width,
            ([f.high for f in found] - theirs["high"]) / width,
        ],
    )
    return {
        "points": float(np.max(np.abs([f.value for f in found] - theirs["points"]))),
        "profile": float(np.max(np.abs(profile - theirs["profile"]))),
        "improvement": abs(
            float(estimates.improvement(mine, other)) - float(theirs["improvement"]),
        ),
        "ends": float(np.max(np.abs(ends))),
        "profile ends": float(
            np.max(
                np.abs(
                    np.concatenate([low - theirs["profile_low"], high - theirs["profile_high"]]),
                ),
            ),
        ),
    }


def _coverage_rows(swarms: int) -> list[str]:
    rows = []
    for name, estimate in CENTERS.items():
        for shape, draw in SHAPES.items():
            for seeds in (5, 10):
                held = [
                    coverage(draw, estimate, seeds, swarms=swarms, method=method)
                    for method in METHODS
                ]
                cells = [f"{each:.1%}" + (" *" if each < _LEAST else "") for each in held]
                rows.append(f"| {name} | {shape} | {seeds} | 1 | {' | '.join(cells)} |")
                print(rows[-1], flush=True)
    for shape, draw in SHAPES.items():
        held = [coverage(draw, estimates.iqm, 5, tasks=4, swarms=swarms, method=m) for m in METHODS]
        cells = [f"{each:.1%}" + (" *" if each < _LEAST else "") for each in held]
        rows.append(f"| IQM | {shape} | 5 | 4 | {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    return rows


def _null_rows(swarms: int) -> list[str]:
    rows = []
    for shape, draw in SHAPES.items():
        for seeds, pairs in ((5, False), (10, False), (5, True), (10, True)):
            share = false_positives(draw, seeds, pairs=pairs, swarms=swarms)
            rows.append(f"| {shape} | {seeds} | {'seeds' if pairs else 'none'} | {share:.1%} |")
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Simulate and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--swarms", type=int, default=SWARMS)
    parser.add_argument(
        "--rliable",
        metavar="PYTHON",
        help="a Python that has rliable, compared with",
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="Markdown")
    arguments = parser.parse_args()
    theirs = []
    if arguments.rliable:
        for name, shape in _SHAPES_OF_BENCHMARKS.items():
            found = beside_rliable(arguments.rliable, *shape)
            theirs.append(
                f"| {name} | " + " | ".join(f"{value:.1e}" for value in found.values()) + " |",
            )
            print(theirs[-1], flush=True)
    held = _coverage_rows(arguments.swarms)
    null = _null_rows(arguments.swarms)
    if arguments.write:
        write_atomically(arguments.write, page(arguments.swarms, held, null, theirs))
        print(arguments.write)


def page(swarms: int, held: list[str], null: list[str], theirs: list[str]) -> str:
    """The tables as Markdown."""
    lines = [
        "# Statistics: what intervals and tests hold",
        "",
        "Made by `python -m benchmarks.reports.statistics --rliable PYTHON --write FILE`: "
        f"{swarms:,} simulated swarms a row, each judged against its population's value. The same "
        "seeds give the same numbers on every machine.",
        "",
        "## Coverage of the 95 % interval",
        "",
        "`expanded` is what reports use. A star is below 90 %.",
        "",
        "| of | scores | seeds | tasks | expanded | percentile | BCa |",
        "|---|---|---:|---:|---:|---:|---:|",
        *held,
        "",
        "## False positives of the permutation test at 5 %",
        "",
        "| scores | seeds | pairs | called different |",
        "|---|---:|---|---:|",
        *null,
    ]
    if theirs:
        lines += [
            "",
            "## Beside rliable 1.2.0",
            "",
            "Largest differences: of points, profiles and the probability of improvement; of interval ends "
            "(percentile, 5,000 resamples each) by the interval's width; of the profile's band. rliable's example "
            "scores lie in a bucket that could not be reached, so arrays of the same shapes were drawn.",
            "",
            "| runs x tasks | points | profile | improvement | ends | profile's band |",
            "|---|---:|---:|---:|---:|---:|",
            *theirs,
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
