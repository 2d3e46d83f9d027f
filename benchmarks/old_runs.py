"""Run folders of an older commit, continued by this one: whether they end as they would have there.

    python -m benchmarks.old_runs make FOLDER        at the older commit: runs of each algorithm, whole and interrupted
    python -m benchmarks.old_runs continue FOLDER    at this commit: continues copies of the interrupted ones

Compared are the sha256 of every file of the last checkpoint, and every row of metrics but its wall-clock figures.
Compiled runs may differ by rounding where a loss is written otherwise: another graph, another order of additions.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

from tests import launch
from tests.helpers.demos.cases import write_demos
from tests.resume_cases import ALGORITHMS, IMITATED, IMITATIONS, PPO, settings

ON_PPO: dict[str, dict[str, Any]] = {
    "airl": PPO | IMITATED | {"algo": "airl", "d_steps": 2},
    "red": PPO | IMITATED | {"algo": "red"},
}
ROWS = 5  # of an interrupted run, at least


def cases() -> list[tuple[str, int, bool]]:
    """(algorithm, workers, compiled)."""
    ALGORITHMS.update(ON_PPO)
    IMITATIONS.update(ON_PPO)
    alone = [(algo, 1, compiled) for algo in sorted(ALGORITHMS) for compiled in (False, True)]
    return alone + [(algo, 2, False) for algo in ("ppo", "sac", "crossq", "gail", "sam")]


def make(folder: Path) -> None:
    """The runs of all cases; those that are there already are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "demos").exists():
        write_demos(folder / "demos")
    for algo, workers, compiled in cases():
        env_id = "CartPole-v1" if algo == "dqn" else "Hopper-v5"
        for kind in ("whole", "part"):
            name = f"{algo}_{workers}_{str(compiled).lower()}_{kind}.seed00"
            file = folder / f"{name}.flags.json"
            if file.exists():
                continue
            flags = settings(env_id, folder, name, algo, compile=str(compiled).lower())
            if kind == "part":
                process = launch.start(flags, workers=workers)
                launch.wait_for_rows(folder / name, ROWS, process)
                assert launch.interrupt(process, "USR1") == 75
            else:
                done = launch.run(flags, workers=workers)
                assert done.returncode == 0, done.stderr
            file.write_text(json.dumps([workers, flags]), encoding="utf-8")
            print(name, flush=True)


def go_on(folder: Path) -> int:
    """How many of the interrupted runs end otherwise than the whole ones, beyond the rounding of compiled code."""
    failures = 0
    for file in sorted(folder.glob("*_part.seed00.flags.json")):
        name = file.name.removesuffix(".flags.json")
        workers, flags = json.loads(file.read_text(encoding="utf-8"))
        kept, copy = folder / f"{name}.as_it_was", folder / name
        if not kept.exists():
            copy.rename(kept)
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(kept, copy, symlinks=True)
        done = launch.run(flags, workers=workers)
        whole = folder / name.replace("_part", "_whole")
        if done.returncode:
            verdict = f"FAILED: {done.stderr.strip().splitlines()[-1]}"
        else:
            verdict = compared(copy, whole)
        is_bad = verdict.isupper() or verdict.startswith(("FAILED", "DIFFERENT"))
        failures += is_bad
        print(f"{name}: {verdict}", flush=True)
    return failures


def compared(run: Path, whole: Path) -> str:
    """What is equal."""
    if launch.fingerprint(run) == launch.fingerprint(whole):
        return "equal" if launch.rows(run) == launch.rows(whole) else "equal files, DIFFERENT rows"
    rows, theirs = launch.rows(run), launch.rows(whole)
    if len(rows) != len(theirs) or any(
        a.keys() != b.keys() for a, b in zip(rows, theirs, strict=False)
    ):
        return "DIFFERENT rows"
    if rows == theirs:
        return "DIFFERENT files"
    first = next(i for i, (a, b) in enumerate(zip(rows, theirs, strict=True)) if a != b)
    here, there = rows[first], theirs[first]
    apart = max(
        abs(here[key] - there[key]) / (abs(there[key]) + 1e-6)
        for key in here
        if isinstance(here[key], float) and math.isfinite(there[key])
    )
    is_compiled = "_true_" in run.name
    word = "rounding" if is_compiled and apart < 1e-3 else "DIFFERENT"
    return f"{word}: first apart in row {first + 1}, by {apart:.1e}"


def main() -> int:
    """1 if a run fails or differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["make", "continue"])
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.what == "make":
        make(options.folder)
        return 0
    return int(go_on(options.folder) > 0)


if __name__ == "__main__":
    sys.exit(main())
