"""Every environment x workers x kind of interruption, against a run that nobody disturbed: sha256 by sha256.

`python -m benchmarks.resume --rounds 1` interrupts 41 runs at random iterations, continues them, and writes
docs/results/resume.md. The test suite does eighteen of them and twenty random kills.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.helpers.demos.cases import write_demos
from tests.resume_cases import (
    IMITATION_CASES,
    IMITATIONS,
    ITERATIONS,
    REPLAY_CASES,
    SLOW_ITERATIONS,
    check_interrupted_run,
)

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = ("Hopper-v5", "CartPole-v1", "Cheetah-Run-Feat-v0")
KINDS = ("USR1", "kill all", "kill one")
CASES = [
    ("ppo", env_id, workers, how)
    for env_id in ENVIRONMENTS
    for workers in (1, 2, 3)
    for how in KINDS
    if workers > 1 or how != "kill one"  # one worker is all
]


def main() -> int:
    """1 if any run differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    lines = [
        "# Resume",
        "",
        f"Made by `python -m benchmarks.resume --rounds {options.rounds}`. Runs of {ITERATIONS} "
        f"iterations, of {SLOW_ITERATIONS} where a memory is learned from, are stopped by SIGUSR1, by "
        "SIGKILL of all their processes, or by SIGKILL of one "
        "worker, at a random iteration, and continued by the same command. Compared with an "
        "undisturbed run are the sha256 of every file of the last checkpoint (parameters, "
        "optimiser, normalisers, counters, reward model, replay memory and simulator state of every worker) and "
        "every row of metrics but its wall-clock figures.",
        "",
        "| algorithm | environment | workers | interrupted by | after iterations | files and rows |",
        "|---|---|---|---|---|---|",
    ]
    failures = 0
    for case in [*CASES, *REPLAY_CASES, *IMITATION_CASES]:
        at, is_equal = interrupted(*case, rounds=options.rounds)
        failures += not is_equal
        stops = ", ".join(map(str, at))
        verdict = "equal" if is_equal else "DIFFERENT"
        lines.append(f"| {' | '.join(map(str, case))} | {stops} | {verdict} |")
        print(lines[-1], flush=True)
    path = ROOT / "docs" / "results" / "resume.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}: {failures} different")
    return int(failures > 0)


def interrupted(
    algo: str,
    env_id: str,
    workers: int,
    how: str,
    *,
    rounds: int,
) -> tuple[list[int], bool]:
    """After how many iterations the runs were interrupted, and whether all came out the same."""
    at, is_equal = [], True
    with tempfile.TemporaryDirectory() as folder:
        if algo in IMITATIONS:
            write_demos(Path(folder) / "demos")
        for seed in range(rounds):
            try:
                kind = {"algo": algo, "seed": seed}
                at.append(check_interrupted_run(Path(folder), env_id, workers, how, **kind))
            except AssertionError as error:
                print(error, file=sys.stderr)
                is_equal = False
    return at, is_equal


if __name__ == "__main__":
    sys.exit(main())
