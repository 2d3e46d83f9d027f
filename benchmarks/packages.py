"""Policy packages of every algorithm: equal to the agent, and as good in its environment by onnxruntime alone.

    python -m benchmarks.packages [--steps 3000] [--only ppo ...] [--folder DIR]

Each run is trained for some steps, evaluated by --task=eval, exported, and acts ten episodes by onnxruntime alone, from
the same seeds; the table goes to docs/results/packages.md. Actions a second, batch 1, are those of the package, of
load_policy, of the agent's predict, and of Stable-Baselines3's for networks of the same size where it is installed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from agents.common_settings import hidden_sizes
from agents.weights.load import load_agent
from environments.factory import make_vector_env
from environments.sizes import spaces_of
from helpers.episodes import run_episodes
from helpers.machine.processor import cpu_model, instruction_set
from registry.acting import load_policy

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "results" / "packages.md"
REPLAY = ["--learning_starts=500", "--updates_per_step=0.25"]
DEMOS = ["--expert_path=data/demos/Hopper-v5", "--num_demos=2"]
# Environment and settings of each run.
RUNS: dict[str, tuple[str, str, list[str]]] = {
    "ppo, MuJoCo": ("ppo", "Hopper-v5", []),
    "ppo, dm_control": ("ppo", "Cheetah-Run-Feat-v0", []),
    "ppo, discrete": ("ppo", "CartPole-v1", []),
    "ppo, float64": ("ppo", "HalfCheetah-v5", ["--precision=float64"]),
    "ppo, one-hot observations": ("ppo", "FrozenLake-v1", []),
    "sac, MuJoCo": ("sac", "HalfCheetah-v5", REPLAY),
    "sac, dm_control": ("sac", "Cartpole-Swingup-Feat-v0", REPLAY),
    "td3": ("td3", "Pendulum-v1", REPLAY),
    "ddpg": ("ddpg", "Humanoid-v5", REPLAY),
    "crossq": ("crossq", "Hopper-v5", REPLAY),
    "redq": ("redq", "Hopper-v5", ["--learning_starts=500", "--updates_per_step=1"]),
    "tqc": ("tqc", "Walker2d-v5", REPLAY),
    "dqn": ("dqn", "CartPole-v1", ["--learning_starts=500"]),
    "dqn, dueling": ("dqn", "Acrobot-v1", ["--learning_starts=500", "--dueling"]),
    "bc": ("bc", "Hopper-v5", DEMOS),
    "bc, likelihood": ("bc", "Hopper-v5", [*DEMOS, "--cloning_loss=log_likelihood"]),
    "gail": ("gail", "Hopper-v5", DEMOS),
    "airl": ("airl", "Hopper-v5", DEMOS),
    "sam": ("sam", "Hopper-v5", [*DEMOS, *REPLAY]),
    "dac": ("dac", "Hopper-v5", [*DEMOS, *REPLAY]),
    "red": ("red", "Hopper-v5", DEMOS),
    "maad": ("maad", "Hopper-v5", DEMOS),
}


class _Acts:
    """What run_episodes asks for its actions: a package."""

    def __init__(self, package: Path) -> None:
        self.policy = load_policy(package)

    def predict(self, observations: np.ndarray, *, explore: bool) -> tuple[np.ndarray, dict]:
        return self.policy(observations), {}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.packages", description=__doc__)
    parser.add_argument("--steps", type=int, default=3000, help="of each run's training")
    parser.add_argument("--only", nargs="+", default=list(RUNS), choices=list(RUNS))
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "packages")
    parser.add_argument("--table", type=Path, default=TABLE)
    arguments = parser.parse_args(argv)
    rows = []
    for name in arguments.only:
        kept = run_of(name, arguments.folder).with_suffix(".row")
        if not kept.exists():  # else an earlier call has come so far
            text = one(name, arguments)
            kept.write_text(text, encoding="utf-8")
        rows.append(kept.read_text(encoding="utf-8"))
        print(rows[-1], flush=True)
    head = [
        "# Policy packages\n",
        "Made by `python -m benchmarks.packages`: each algorithm is trained briefly, evaluated by `--task=eval` over "
        "ten episodes, exported, and acts the same episodes by onnxruntime alone.\n",
        f"{cpu_model()}, {instruction_set()}; actions a second on one core, one observation at a time.\n",
        "| run | environment | largest difference, 1,000 observations | return, evaluation | return, onnxruntime "
        "| equal lengths | largest relative difference of a return | package, actions/s | agent's predict, actions/s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    rows += ["", beside_sb3(arguments.folder)]
    arguments.table.write_text("\n".join([*head, *rows]) + "\n", encoding="utf-8")
    print(f"table: {arguments.table}")
    return 0


def run_of(name: str, folder: Path) -> Path:
    """The run folder."""
    return folder / f"{name.replace(', ', '_').replace(' ', '_')}.seed0"


def one(name: str, arguments: argparse.Namespace) -> str:
    """Train, evaluate, export and compare one run; its row."""
    algo, env_id, settings = RUNS[name]
    run = run_of(name, arguments.folder)
    if not (run / "checkpoints" / "latest").exists():
        shutil.rmtree(run, ignore_errors=True)
        flags = [f"--algo={algo}", f"--env_id={env_id}", f"--num_timesteps={arguments.steps}"]
        flags += [
            f"--uuid={run.name}",
            f"--runs_dir={run.parent}",
            "--progress=none",
            "--no-compile",
        ]
        call(["--task=train", *flags, *settings])
    package = run / "packages" / (run / "checkpoints" / "latest").resolve().name
    shutil.rmtree(package, ignore_errors=True)
    call(["--task=eval", f"--model_path={run}", "--iter_num=latest"])
    call(["--task=export", f"--model_path={run}", "--iter_num=latest"])
    evaluated = json.loads((run / "evaluation_latest.json").read_text())
    contract = json.loads((package / "contract.json").read_text())
    seeds = contract["evaluation"]["seeds"]
    environment = make_vector_env(env_id, seeds=seeds)
    episodes = run_episodes(environment, _Acts(package), seeds=seeds)
    observation = environment.observations[0]
    environment.close()
    found = np.array([each.return_ for each in episodes])
    wanted = np.array(evaluated["returns"])
    relative = np.abs(found - wanted) / np.maximum(1.0, np.abs(wanted))
    equal = [each.length for each in episodes] == evaluated["lengths"]
    policy = load_policy(package)
    spaces = spaces_of(env_id)
    agent = load_agent(run, iter_num="latest", action_space=spaces and spaces[1])
    batch = observation[None]
    ours = rate(lambda: policy(observation))
    theirs = rate(lambda: agent.predict(batch, explore=False))
    cells: list[Any] = [
        name,
        env_id,
        f"{contract['check']['largest_difference']:.1e}",
        f"{wanted.mean():.2f}",
        f"{found.mean():.2f}",
        "yes" if equal else "no",
        f"{relative.max():.1e}",
        f"{ours:,.0f}",
        f"{theirs:,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def beside_sb3(folder: Path) -> str:
    """Actions a second of the first run's networks, and of Stable-Baselines3's of the same sizes, in turn; medians."""
    program = ROOT / "benchmarks" / "speed" / "peers" / "predict_sb3.py"
    python = ROOT / ".peers" / "sb3" / "bin" / "python"
    run = folder / "ppo_MuJoCo.seed0"
    if not python.exists() or not run.exists():
        return "Stable-Baselines3 was not installed (benchmarks/speed/peers/setup.sh sb3)."
    (package,) = (run / "packages").iterdir()
    policy = load_policy(package)
    agent: Any = load_agent(run, iter_num="latest")
    observation = np.zeros(11)
    batch = observation[None]
    took: dict[str, list[float]] = {"package": [], "agent": [], "Stable-Baselines3": []}
    for _ in range(5):
        took["package"].append(rate(lambda: policy(observation)))
        took["agent"].append(rate(lambda: agent.predict(batch, explore=False)))
        hidden = [str(width) for width in hidden_sizes(agent.config.p_perception_stack)]
        command = [str(python), str(program), "11", "3", *hidden]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        told = json.loads(done.stdout.splitlines()[-1])
        took["Stable-Baselines3"].append(told["actions_per_second"])
    medians = {name: float(np.median(each)) for name, each in took.items()}
    said = ", ".join(f"{name} {each:,.0f}" for name, each in medians.items())
    return f"Hopper-v5, equal networks, five rounds in turn, medians of actions a second, batch 1: {said}."


def call(flags: list[str]) -> None:
    """main.py, to its end."""
    done = subprocess.run(
        [sys.executable, "main.py", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"main.py {' '.join(flags)}\n{done.stderr}")


def rate(act: Callable[[], object], *, calls: int = 2000, takes: int = 5) -> float:
    """Calls a second, the best of some takes."""
    best = float("inf")
    for _ in range(takes):
        started = time.perf_counter()
        for _ in range(calls):
            act()
        best = min(best, time.perf_counter() - started)
    return calls / best


if __name__ == "__main__":
    sys.exit(main())
