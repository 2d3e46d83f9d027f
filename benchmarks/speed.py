"""Environment steps per second beside the peers': the same work, interleaved, medians.

`benchmarks/peers/setup.sh` installs the peers; then `python benchmarks/speed.py` runs every configuration in
turn, A B C A B C ..., and writes docs/results/speed.md. Ours run through main.py with metrics and checkpoints on.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


@dataclass(frozen=True)
class Work:
    """What everybody computes: PPO, 10 epochs, two 64-64 nets, observation normalisation."""

    env_id: str
    rollout_len: int
    batch_size: int
    iterations: int

    @property
    def title(self) -> str:
        """For the table."""
        return f"{self.env_id}, {self.rollout_len} steps, minibatch {self.batch_size}"


WORKS = (
    Work("Hopper-v5", 2048, 64, 8),
    Work("HalfCheetah-v5", 2048, 64, 8),
    Work("Hopper-v5", 16384, 2048, 4),
    Work("HalfCheetah-v5", 16384, 2048, 4),
)


def ours(workers: int) -> Callable[[Work], float]:
    """A run of main.py on `workers` workers; its steps per second without the first iteration."""

    def measure(work: Work) -> float:
        with tempfile.TemporaryDirectory() as folder:
            flags = [
                "--task=train",
                "--algo=ppo",
                f"--env_id={work.env_id}",
                f"--rollout_len={work.rollout_len}",
                f"--batch_size={work.batch_size}",
                f"--num_timesteps={work.rollout_len * work.iterations}",
                "--num_envs=16",
                "--eval_frequency=0",
                "--uuid=speed.seed00",
                f"--runs_dir={folder}",
                "--progress=none",
                "--wandb_mode=disabled",
            ]
            mpiexec = Path(sys.executable).with_name("mpiexec")
            launcher = [str(mpiexec), "-n", str(workers)] if workers > 1 else []
            output([*launcher, sys.executable, "main.py", *flags])
            lines = (Path(folder) / "speed.seed00" / "metrics.jsonl").read_text().splitlines()
            rows = [json.loads(line) for line in lines]
            seconds = rows[-1]["time/elapsed"] - rows[0]["time/elapsed"]
            return (rows[-1]["step"] - rows[0]["step"]) / seconds

    return measure


def peer(name: str, script: str, *flags: str) -> Callable[[Work], float]:
    """A peer's script in its own virtual environment."""

    def measure(work: Work) -> float:
        command = [
            str(ROOT / ".peers" / name / "bin" / "python"),
            f"benchmarks/peers/{script}",
            f"--env_id={work.env_id}",
            f"--rollout_len={work.rollout_len}",
            f"--batch_size={work.batch_size}",
            f"--iterations={work.iterations}",
            *flags,
        ]
        results = [line for line in output(command).splitlines() if line.startswith("RESULT ")]
        return float(json.loads(results[-1][7:])["steps_per_second"])

    return measure


def output(command: list[str]) -> str:
    """What a command prints; if it fails, what it says is shown and this program ends."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | THREADS,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


CONFIGURATIONS = {
    "Stable-Baselines3, 16 environments": peer("sb3", "sb3_ppo.py", "--num_envs=16"),
    "Stable-Baselines3, 32 environments": peer("sb3", "sb3_ppo.py", "--num_envs=32"),
    "MiloZero, 1 worker": ours(1),
    "MiloZero, 2 workers": ours(2),
}


def main() -> int:
    """Measure and tabulate; 1 where ours with 2 workers is slower than the fastest peer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not (ROOT / ".peers").exists():
        print("the peers are not installed\n  run benchmarks/peers/setup.sh", file=sys.stderr)
        return 2
    lines = [
        "# Speed",
        "",
        f"Made by `python benchmarks/speed.py --rounds {options.rounds}`: environment steps per second, all in one "
        "interleaved run, median (lowest to highest); the first iteration of each is left out. 10 epochs, two 64-64 "
        "tanh nets, observations normalised. Quote the ratios, not the figures: machines differ.",
    ]
    slower = False
    for work in WORKS:
        figures: dict[str, list[float]] = {name: [] for name in CONFIGURATIONS}
        for i in range(options.rounds):
            for name, measure in CONFIGURATIONS.items():
                figures[name].append(measure(work))
                load = os.getloadavg()[0]
                print(
                    f"{work.title}: {i} {name} {figures[name][-1]:,.0f} (load {load:.1f})",
                    flush=True,
                )
        best_peer = max(
            (name for name in figures if not name.startswith("MiloZero")),
            key=lambda name: statistics.median(figures[name]),
        )
        lines += [
            "",
            f"## {work.title}",
            "",
            "| | steps/s | of the fastest peer |",
            "|---|---|---|",
        ]
        for name, values in figures.items():
            ratios = [a / b for a, b in zip(values, figures[best_peer], strict=True)]
            lines.append(
                f"| {name} | {statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f}) | "
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |",
            )
            slower |= name == "MiloZero, 2 workers" and statistics.median(ratios) < 1.0
    path = ROOT / "docs" / "results" / "speed.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}")
    return int(slower)


if __name__ == "__main__":
    sys.exit(main())
