"""What a learnt reward costs: SAM and DAC beside their learners alone, GAIL beside the `imitation` library's.

    benchmarks/peers/setup.sh imitation              installs the peer, once
    .venv/bin/python benchmarks/speed_imitation.py   measures, and writes docs/results/speed_imitation.md

Interleaved, medians. SAM and DAC run as their task files have them, their learners with the same settings, on
HalfCheetah-v5. GAIL has iterations of 2048 steps on Hopper, minibatches of 64, ten epochs, networks of two layers of
64, and eight steps of the discriminator on 256 transitions of each side.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.speed_contestants import (  # noqa: E402
    PEERS,
    RunError,
    figures_in,
    figures_of,
    rows_of,
    said_by,
)
from helpers.durable import write_atomically  # noqa: E402

SHARE_BAR = 0.6
ITERATIONS = 12
SHARED = ("batch_size", "gamma", "layer_norm")  # settings that an imitation's learner has too
PEER = "imitation 1.0.1"
Measure = Callable[[], float]


def main_py(workers: int, *flags: str) -> float:
    """Steps per second of a training as users start it, from the end of its second row of metrics on."""
    return figures_of(rows_of(workers, *flags)[1:])["steps_per_second"]


def replaying(algo: str, learner: str, workers: int) -> dict[str, Measure]:
    """An imitation as its task file has it, and its learner with the settings that both have."""
    task = f"tasks/train_mujoco_{algo}.yaml"
    own = yaml.safe_load((ROOT / task).read_text(encoding="utf-8"))
    length = ["--num_timesteps=9000", "--warm_up=1000"]
    shared = [f"--{key}={own[key]}".lower() for key in SHARED if key in own]
    shared.append(f"--env_id={own['env_id']}")

    def imitation() -> float:
        return main_py(workers, f"--config={task}", "--expert_demo_subsample", *length)

    def alone() -> float:
        config = f"--config=tasks/train_mujoco_{learner}.yaml"
        return main_py(workers, config, *shared, *length)

    return {algo: imitation, f"{learner} alone": alone}


def gail(workers: int) -> float:
    """Ours."""
    return main_py(
        workers,
        "--config=tasks/train_mujoco_gail.yaml",
        "--num_envs=16",
        "--rollout_len=2048",
        "--batch_size=64",
        "--optim_epochs_per_iter=10",
        "--p_perception_stack=mlp_64",
        "--v_perception_stack=mlp_64",
        "--d_perception_stack=mlp_64",
        "--d_batch_size=256",
        "--d_steps=8",
        f"--num_timesteps={2048 * ITERATIONS * 4}",
    )


def peer(num_envs: int) -> float:
    """The library's."""
    command = [
        str(PEERS / "imitation" / "bin" / "python"),
        "-m",
        "benchmarks.peers.imitation",
        "--env_id=Hopper-v4",
        f"--num_envs={num_envs}",
        f"--iterations={ITERATIONS}",
    ]
    return figures_in(said_by(command))["steps_per_second"]


def measured(contestants: dict[str, Measure], rounds: int) -> dict[str, list[float]]:
    """Steps per second of each, one after the other, again and again."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for i in range(rounds):
        for name, measure in contestants.items():
            found[name].append(measure())
            load = os.getloadavg()[0]
            print(f"{i} {name}: {found[name][-1]:,.0f} steps/s (load {load:.1f})", flush=True)
    return found


def table(found: dict[str, list[float]], beside: str) -> tuple[list[str], dict[str, float]]:
    """Lines of a table, and the median ratio of each to the one named."""
    lines = [f"| | steps/s | of {beside} |", "|---|---|---|"]
    medians: dict[str, float] = {}
    for name, values in found.items():
        ratios = [a / b for a, b in zip(values, found[beside], strict=True)]
        medians[name] = statistics.median(ratios)
        lines.append(
            f"| {name} | {statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f}) | "
            f"{medians[name]:.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |",
        )
    return lines, medians


def main() -> int:
    """1 where SAM or DAC has less than 0.6 of its learner's speed, or GAIL is not the faster one."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "results")
    options = parser.parse_args()
    lines = [
        "# Speed of imitation",
        "",
        f"Made by `python benchmarks/speed_imitation.py --rounds {options.rounds}`: environment steps per second, "
        "interleaved, median (lowest to highest). Quote the ratios: machines differ.",
    ]
    is_missed = False
    for algo, learner in (("sam", "sac"), ("dac", "td3")):
        for workers in (1, 2):
            found = measured(replaying(algo, learner, workers), options.rounds)
            rows, ratios = table(found, f"{learner} alone")
            lines += ["", f"## {algo.upper()}, {workers} worker{'s' * (workers > 1)}", "", *rows]
            is_missed |= ratios[algo] < SHARE_BAR
    lines += ["", f"Bar: {SHARE_BAR} of the learner's.", "", "## GAIL", ""]
    ways: dict[str, Measure] = {
        f"MiloZero, {workers} worker{'s' * (workers > 1)}": partial(gail, workers)
        for workers in (1, 2)
    }
    if (PEERS / "imitation" / ".ready").exists():
        theirs = {f"{PEER}, {n} environments": partial(peer, n) for n in (8, 16, 32)}
        try:
            found = measured({**theirs, **ways}, options.rounds)
        except RunError as error:
            sys.exit(f"{PEER}: {error}")
        best = max(theirs, key=lambda name: statistics.median(found[name]))
        rows, ratios = table(found, best)
        lines += [
            *rows,
            "",
            "The library's Hopper is -v4, of Gymnasium 0.29 and MuJoCo 3.1: it knows no newer ones.",
        ]
        is_missed |= ratios[next(iter(ways))] <= 1.0  # one process each
    else:
        lines.append(f"{PEER} is not installed here: benchmarks/peers/setup.sh imitation")
    path = options.folder / "speed_imitation.md"
    write_atomically(path, "\n".join(lines) + "\n")
    print(f"wrote {path}")
    print("next: docs/sam.md and docs/gail.md have these figures")
    return int(is_missed)


if __name__ == "__main__":
    sys.exit(main())
