"""Population-based training against random search with the same budget: final deterministic return, as it comes out.

    python -m benchmarks.tune_pbt [--repetitions 3] [--trials 8] [--folder data/tune_pbt]

tasks/tune_mujoco_ppo.yaml: HalfCheetah-v5, 300,000 steps a trial. Repetitions differ in the draws and in all seeds.
The trial that a search chooses by its training return is compared by its final evaluation, deterministic, 10 episodes
that training never sees; beside it, the mean of all trials. Searches that are there already are not done again.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from helpers.machine.processor import cpu_model, instruction_set
from helpers.trackers.jsonl import read_metrics
from swarm.tune.results import best_of, read_results

ROOT = Path(__file__).resolve().parents[1]
METRIC = "episode_reward_mean"
T_95 = {
    2: 12.71,
    3: 4.30,
    4: 3.18,
    5: 2.78,
    10: 2.26,
}  # Student's t, two-sided, by the number of repetitions


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tune_pbt", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--schedulers", nargs="+", default=["pbt", "random"])
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--folder", type=Path, default=Path("data/tune_pbt"))
    arguments = parser.parse_args(argv)
    chosen: dict[str, list[float]] = {each: [] for each in arguments.schedulers}
    everyone: dict[str, list[float]] = {each: [] for each in arguments.schedulers}
    for repetition in range(arguments.repetitions):
        for scheduler in chosen:
            folder = arguments.folder.absolute() / f"{scheduler}_{repetition}"
            task = task_of(arguments.folder, seed=100 * repetition)
            command = [
                sys.executable,
                "tuner.py",
                "--config",
                str(task),
                f"--scheduler={scheduler}",
            ]
            command += [f"--search_seed={repetition}", f"--num_samples={arguments.trials}"]
            command += [f"--name={folder.name}", f"--tune_dir={folder.parent}", "--progress=none"]
            subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
            trials = read_results(folder)
            best = best_of(trials, METRIC, "max")
            finals = {each.number: final_return(each.run) for each in trials}
            chosen[scheduler].append(finals[best.number] if best else math.nan)
            everyone[scheduler].append(statistics.fmean(finals.values()))
            print(
                f"{folder.name}: chosen {chosen[scheduler][-1]:,.0f}, mean of all {everyone[scheduler][-1]:,.0f}",
                flush=True,
            )
    print(
        f"\n{cpu_model()}, {instruction_set()}; {arguments.trials} trials, {arguments.repetitions} repetitions\n",
    )
    print("| search | chosen trial | mean of all trials | single searches |\n|---|---|---|---|")
    for scheduler, values in chosen.items():
        single = ", ".join(f"{each:,.0f}" for each in values)
        print(f"| {scheduler} | {interval(values)} | {interval(everyone[scheduler])} | {single} |")
    return 0


def task_of(folder: Path, *, seed: int) -> Path:
    """The task file with a seed of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.absolute() / f"seed{seed}.yaml"
    path.write_text(
        (ROOT / "tasks" / "tune_mujoco_ppo.yaml")
        .read_text()
        .replace("algo: ppo\n", f"algo: ppo\nseed: {seed}\n"),
    )
    return path


def final_return(run: Path) -> float:
    """Of the evaluation after the last iteration."""
    return float(read_metrics(run / "metrics.jsonl")[-1]["eval/return_mean"])


def interval(values: Sequence[float]) -> str:
    """Mean and 95 % confidence interval of the mean."""
    if len(values) < 2:
        return f"{statistics.fmean(values):,.0f}"
    half = T_95.get(len(values), 1.96) * statistics.stdev(values) / math.sqrt(len(values))
    return f"{statistics.fmean(values):,.0f} ± {half:,.0f}"


if __name__ == "__main__":
    sys.exit(main())
