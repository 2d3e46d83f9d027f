"""BC, then PPO from its weights, beside PPO alone: returns over seeds, as docs/results/warm_start.md.

python -m benchmarks.learning.warm_start --folder=/tmp/warm_start --write=docs/results/warm_start.md
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from helpers.machine.processor import cpu_model, instruction_set
from helpers.trackers.jsonl import read_metrics

COMMON = ("--env_id=Hopper-v5", "--progress=none")
BC = (
    "--algo=bc",
    "--expert_path=data/demos/Hopper-v5",
    "--no-expert_demo_subsample",
    "--num_timesteps=20000",
    "--p_perception_stack=mlp_64",
    "--p_activation=tanh",
    "--no-squash_actions",
)
PPO = ("--algo=ppo", "--num_timesteps=204800", "--eval_frequency=5", "--lr_schedule=constant")
NARROW = ("--policy_std_init=0.2",)
STEPS = (0, 10_240, 51_200, 102_400, 204_800)


def main(argv: Sequence[str] | None = None) -> int:
    """Run all, print the table, write the page."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="of the runs")
    parser.add_argument("--write", type=Path, help="the page")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args(argv)
    folder, seeds = arguments.folder, range(arguments.seeds)
    rows = {}
    for seed in seeds:
        name = f"seed{seed:02d}"
        run(folder, f"bc.{name}", seed, *BC)
        run(folder, f"ppo.{name}", seed, *PPO)
        run(folder, f"ppo_narrow.{name}", seed, *PPO, *NARROW)
        run(folder, f"bc_ppo.{name}", seed, *PPO, *NARROW, f"--init_from={folder}/bc.{name}")
    for kind in ("ppo", "ppo_narrow", "bc_ppo"):
        rows[kind] = [returns(folder / f"{kind}.seed{seed:02d}") for seed in seeds]
    table = table_of(rows, [start_of(folder / f"bc.seed{seed:02d}") for seed in seeds])
    print(table)
    if arguments.write:
        arguments.write.write_text(page(table), encoding="utf-8")
        print(f"written: {arguments.write}")
    return 0


def run(folder: Path, uuid: str, seed: int, *flags: str) -> None:
    """A run to its end; one that is there goes on."""
    command = [
        sys.executable,
        "main.py",
        f"--runs_dir={folder}",
        f"--uuid={uuid}",
        f"--seed={seed}",
    ]
    subprocess.run([*command, *COMMON, *flags], check=True, stdout=subprocess.DEVNULL)


def returns(folder: Path) -> dict[int, float]:
    """Mean return of the evaluations, deterministic, by environment steps."""
    rows = read_metrics(folder / "metrics.jsonl")
    return {row["step"]: row["eval/return_mean"] for row in rows if "eval/return_mean" in row}


def start_of(folder: Path) -> float:
    """What the clone's best policy returned."""
    return max(returns(folder).values())


NAMES = {
    "ppo": "PPO alone, default deviation (1)",
    "ppo_narrow": "PPO alone, `--policy_std_init=0.2`",
    "bc_ppo": "BC, then PPO, `--policy_std_init=0.2`",
}


def table_of(rows: dict[str, list[dict[int, float]]], clones: Sequence[float]) -> str:
    """Mean over the seeds, and each of them, at some steps."""
    lines = [
        "| | start | " + " | ".join(f"{step:,} steps" for step in STEPS[1:]) + " |",
        "|---|" + "---|" * len(STEPS),
    ]
    for kind, found in rows.items():
        start = cell(clones) if kind == "bc_ppo" else ""
        cells = [cell([each[step] for each in found]) for step in STEPS[1:]]
        lines.append(f"| {NAMES[kind]} | {start} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(values: Sequence[float]) -> str:
    """Their mean, and all of them."""
    return f"**{np.mean(values):,.0f}** ({', '.join(f'{value:,.0f}' for value in values)})"


def page(table: str) -> str:
    """The page of results."""
    return f"""# A warm start: BC, then PPO

Hopper-v5, the demonstrations in `data/demos` whole, 20,000 gradient steps of BC; then PPO from its weights
(`--init_from`), beside PPO alone. Mean return of 10 deterministic episodes, over three seeds (each in brackets).

{table}

It is ahead of PPO alone at each of these steps. PPO begins with the clone's policy, but not with a value function:
its first iterations cost much of what the clone returned. Without a clone, the small deviation explores too little.

Made by `python -m benchmarks.learning.warm_start --folder=/tmp/warm_start --write=docs/results/warm_start.md` on
{cpu_model()}, {instruction_set()}.
"""


if __name__ == "__main__":
    sys.exit(main())
