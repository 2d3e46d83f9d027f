"""The experts whose demonstrations are in data/demos/, and those demonstrations: trained, recorded, looked at.

`python -m benchmarks.learning.experts` trains what is not trained, goes on with what was stopped, and prints each
command, also those that made what is there. An expert is the final policy, without exploration noise. Demonstrations
that are there stay unless `--anew` is given.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNS = Path("data/runs/experts")
DEMOS = Path("data/demos")
EPISODES = 16


@dataclass(frozen=True)
class Expert:
    """How one is trained, and what it must reach.

    Attributes:
        env_id: of its environment.
        steps: of training.
        bar: the smallest mean return of its demonstrations.
        algo: what learns, as tasks/train_mujoco_<algo>.yaml has it.
        flags: what differs from that.
        seed: of the run.
    """

    env_id: str
    steps: int
    bar: float
    algo: str = "sac"
    flags: tuple[str, ...] = ()
    seed: int = 0

    @property
    def name(self) -> str:
        """Of its run."""
        return f"{self.env_id}_expert.seed{self.seed:02d}"

    @property
    def training(self) -> list[str]:
        """What main.py is given to train it."""
        return [
            "--task=train",
            f"--config=tasks/train_mujoco_{self.algo}.yaml",
            f"--env_id={self.env_id}",
            f"--num_timesteps={self.steps}",
            *self.flags,
            f"--seed={self.seed}",
            f"--uuid={self.name}",
            f"--runs_dir={RUNS}",
        ]

    def recording(self, folder: str) -> list[str]:
        """What main.py is given to record it below a folder."""
        return [
            "--task=eval",
            f"--model_path={RUNS / self.name}",
            "--iter_num=latest",
            "--save_traj",
            f"--num_trajs={EPISODES}",
            f"--save_traj_dir={folder}",
        ]


NARROW = (
    "--batch_size=128",
    "--q_perception_stack=mlp_256",
)  # three times as fast, and good enough
EXPERTS = (
    Expert("Hopper-v5", 300_000, 3000.0),
    Expert("HalfCheetah-v5", 140_000, 8000.0, seed=1),
    Expert("Walker2d-v5", 300_000, 3800.0, "crossq", NARROW),
    Expert("Ant-v5", 300_000, 4000.0, "crossq", NARROW),
)


def main() -> int:
    """1 if an expert does not reach its bar."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="only environments whose id contains this")
    parser.add_argument("--jobs", type=int, default=1, help="experts trained at once (default 1)")
    parser.add_argument("--anew", action="store_true", help="record again what has been recorded")
    options = parser.parse_args()
    chosen = [expert for expert in EXPERTS if options.only in expert.env_id]
    with ThreadPoolExecutor(options.jobs) as pool:
        quiet = options.jobs > 1
        returns = [*pool.map(lambda expert: made(expert, quiet, options.anew), chosen)]
    for expert, found in zip(chosen, returns, strict=True):
        verdict = "reached" if found >= expert.bar else "MISSED"
        print(f"{expert.env_id}: {found:.0f}, bar {expert.bar:.0f}: {verdict}")
    print(f"next: python main.py --task=demos --expert_path={DEMOS / chosen[0].env_id}")
    return int(any(f < e.bar for e, f in zip(chosen, returns, strict=True)))


def made(expert: Expert, quiet: bool, anew: bool) -> float:
    """Train and record one expert; the mean return of its demonstrations."""
    folder = DEMOS / expert.env_id
    if anew or not list((ROOT / folder).glob("*.h5")):
        run([*expert.training, *(["--progress=none"] if quiet else [])])
        with tempfile.TemporaryDirectory(dir=ROOT / "data") as scratch:
            run(expert.recording(scratch))
            files = sorted(Path(scratch).rglob("*.h5"))
            (ROOT / folder).mkdir(parents=True, exist_ok=True)
            for path in files:
                shutil.move(path, ROOT / folder / path.name)
        run(["--task=demos", f"--env_id={expert.env_id}", f"--expert_path={folder}"])
    else:
        print(f"{folder} is there; what made it:")
        for arguments in (expert.training, expert.recording(str(DEMOS))):
            print(f"$ {shown(arguments)}", flush=True)
    card = json.loads((ROOT / folder / "card.json").read_text())
    return float(card["return"]["mean"])


def shown(arguments: list[str]) -> str:
    """A command as a user would type it."""
    return f"python main.py {shlex.join(arguments)}"


def run(arguments: list[str]) -> None:
    """`main.py`, its command printed first."""
    print(f"$ {shown(arguments)}", flush=True)
    subprocess.run([sys.executable, "main.py", *arguments], cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
