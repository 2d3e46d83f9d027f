"""Who takes part in `python -m benchmarks.speed`, and how each is started. All answer with one line `RESULT {...}`.

A peer runs in a virtual environment of its own (benchmarks/speed/peers/setup.sh), each at its best on two cores:
one torch thread, environments in one process, 16 or 32 of them. Subprocess environments and more threads are
slower for all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.workload import EPOCHS, Workload

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / ".peers"
THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
PATIENCE = 1200.0  # seconds for one run
OURS, LIMIT, SB3, SBX = "MiloZero", "physical limit", "Stable-Baselines3", "SBX"
FLOOR = "matrix products alone"
Figures = dict[str, float]


class RunError(Exception):
    """A run failed; the message is the end of what it said."""


@dataclass(frozen=True)
class Contestant:
    """One way to do the work.

    Attributes:
        library: whose it is.
        how: the rest of its name.
        peer: the folder of its virtual environment in .peers/, "" for what is ours.
        run: does a work and gives `steps_per_second`; of PPO also `rollout_s` and `update_s` of an iteration.
        works: names of what it does; of none: everything.
    """

    library: str
    how: str
    peer: str
    run: Callable[[Any], Figures]
    works: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """For tables and for --only."""
        return f"{self.library}, {self.how}" if self.how else self.library

    def does(self, work: str) -> bool:
        """Whether it takes part in a work of this name."""
        return not self.works or work in self.works

    @property
    def is_ready(self) -> bool:
        """Whether it is installed."""
        return not self.peer or (PEERS / self.peer / ".ready").exists()


def said_by(command: Sequence[str]) -> str:
    """What a command prints.

    Raises:
        RunError: it failed or took too long.
    """
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise RunError(str(error)) from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise RunError("\n".join(said[-3:]) or f"status {done.returncode}")
    return done.stdout


def environment() -> Mapping[str, str]:
    """One thread a process, no accelerator."""
    return os.environ | THREADS | {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}


def figures_in(text: str) -> Figures:
    """Of the last RESULT line.

    Raises:
        RunError: there is none.
    """
    lines = [line for line in text.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RunError("it gave no RESULT line")
    figures = json.loads(lines[-1].removeprefix("RESULT "))
    return {key: float(value) for key, value in figures.items()}


def flags(work: Workload) -> list[str]:
    """That everybody takes."""
    return [
        f"--env_id={work.env_id}",
        f"--rollout_len={work.rollout_len}",
        f"--batch_size={work.batch_size}",
    ]


# Peers, and the limit


def peer(name: str, num_envs: int, *, one_core: bool = False) -> Callable[[Workload], Figures]:
    """benchmarks/speed/peers/<name>.py in the virtual environment of that name."""

    def run(work: Workload) -> Figures:
        command = [
            str(PEERS / name / "bin" / "python"),
            "-m",
            f"benchmarks.speed.peers.{name}",
            *flags(work),
            f"--num_envs={num_envs}",
            f"--epochs={EPOCHS}",
            f"--iterations={work.iterations}",
        ]
        if one_core:
            command = ["taskset", "-c", str(max(os.sched_getaffinity(0))), *command]
        return figures_in(said_by(command))

    return run


def limit(work: Workload) -> Figures:
    """Measured in the same round as everything else."""
    return figures_in(said_by([sys.executable, "-m", "benchmarks.speed.limit", *flags(work)]))


# Ours


def ours(workers: int, num_envs: int) -> Callable[[Workload], Figures]:
    """A run of main.py as users start it, metrics on, a checkpoint half-way."""

    def run(work: Workload) -> Figures:
        return figures_of(
            rows_of(
                workers,
                "--algo=ppo",
                *flags(work),
                f"--num_envs={num_envs}",
                f"--optim_epochs_per_iter={EPOCHS}",
                f"--num_timesteps={work.rollout_len * work.iterations}",
                f"--save_frequency={work.iterations // 2}",
                "--p_perception_stack=mlp_64",
                "--v_perception_stack=mlp_64",
            ),
        )

    return run


def rows_of(workers: int, *settings: str) -> list[Any]:
    """The rows of metrics.jsonl of a training by main.py, without evaluations."""
    mpiexec = [str(Path(sys.executable).with_name("mpiexec")), "-n", str(workers)]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(mpiexec if workers > 1 else ()),
            sys.executable,
            "main.py",
            "--task=train",
            *settings,
            "--eval_frequency=0",
            "--uuid=speed.seed00",
            f"--runs_dir={folder}",
            "--progress=none",
            "--wandb_mode=disabled",
        ]
        said_by(command)
        text = (Path(folder) / "speed.seed00" / "metrics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def figures_of(rows: Sequence[Mapping[str, float]]) -> Figures:
    """Of the rows of metrics.jsonl: all time from the end of the first iteration, logging and saving too."""
    counted = len(rows) - 1
    steps = (rows[-1]["step"] - rows[0]["step"]) / counted
    seconds = (rows[-1]["time/elapsed"] - rows[0]["time/elapsed"]) / counted
    updating = sum(row["time/update"] for row in rows[1:]) / counted
    return {
        "steps_per_second": steps / seconds,
        "rollout_s": seconds - updating,
        "update_s": updating,
    }


CONTESTANTS = (
    Contestant(SB3, "16 environments", "sb3", peer("sb3", 16)),
    Contestant(SB3, "32 environments", "sb3", peer("sb3", 32)),
    Contestant("skrl", "32 environments", "skrl", peer("skrl", 32)),
    Contestant("Tianshou", "32 environments", "tianshou", peer("tianshou", 32)),
    Contestant("SheepRL", "32 environments", "sheeprl", peer("sheeprl", 32)),
    Contestant("CleanRL", "32 environments", "cleanrl", peer("cleanrl", 32)),
    Contestant(SBX, "16 environments, all cores", "sbx", peer("sbx", 16)),
    Contestant(SBX, "32 environments, all cores", "sbx", peer("sbx", 32)),
    Contestant(SBX, "16 environments, one core", "sbx", peer("sbx", 16, one_core=True)),
    Contestant(SBX, "32 environments, one core", "sbx", peer("sbx", 32, one_core=True)),
    Contestant(OURS, "1 worker, 16 environments", "", ours(1, 16)),
    Contestant(OURS, "1 worker, 32 environments", "", ours(1, 32)),
    Contestant(OURS, "2 workers, 16 environments", "", ours(2, 16)),
    Contestant(OURS, "2 workers, 32 environments", "", ours(2, 32)),
    Contestant(LIMIT, "", "", limit),
)
