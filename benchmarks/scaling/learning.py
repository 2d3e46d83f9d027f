"""What larger minibatches and longer rollouts cost in learning: curves beside the default's, three seeds.

    python -m benchmarks.scaling.learning                 train, and write docs/results/scaling_learning.{json,md,png}
    python -m benchmarks.scaling.learning --from_saved    write the table and the chart again

Fewer sums over the workers are had by larger minibatches. Their gradients are less noisy, so the step sizes grow with
the square root of the minibatch (Krizhevsky 2014, arXiv:1404.5997; Adam: Malladi et al. 2022, arXiv:2205.10287).
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scaling.runs import RESULTS, Setting, launch, output

TASKS = ("HalfCheetah-v5", "Hopper-v5")
STEP_SIZE, BATCH = 3e-4, 64  # of tasks/train_mujoco_ppo.yaml
WAYS = {  # rollout_len, batch_size, num_envs
    "2048/64 (default)": (2048, 64, 16),
    "2048/512": (2048, 512, 16),
    "8192/256": (8192, 256, 64),
    "16384/2048": (16384, 2048, 16),
}
EVALUATIONS = 20


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is asked for, tabulate and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--num_timesteps", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where the results go")
    parser.add_argument("--from_saved", action="store_true", help="train nothing")
    options = parser.parse_args(argv)
    path = options.folder / "scaling_learning.json"
    if not options.from_saved:
        options.folder.mkdir(parents=True, exist_ok=True)
        runs: list[dict[str, Any]] = []
        for seed in range(options.seeds):
            for env_id in options.tasks:
                for way in options.ways:
                    runs.append(train(env_id, way, seed, options))
                    print(env_id, way, seed, f"{runs[-1]['returns'][-1]:.0f}", flush=True)
        saved = {"num_timesteps": options.num_timesteps, "workers": options.workers, "runs": runs}
        path.write_text(json.dumps(saved) + "\n", encoding="utf-8")
    saved = json.loads(path.read_text(encoding="utf-8"))
    (options.folder / "scaling_learning.md").write_text(report(saved), encoding="utf-8")
    draw(saved, options.folder / "scaling_learning.png")
    print(f"wrote {options.folder}/scaling_learning.json, .md, .png")
    return 0


def train(env_id: str, way: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """The evaluations of a training: global environment steps and mean returns."""
    rollout_len, batch_size, num_envs = WAYS[way]
    learning_rate = STEP_SIZE * math.sqrt(batch_size / BATCH)
    iterations = math.ceil(options.num_timesteps / rollout_len)
    with tempfile.TemporaryDirectory() as folder:
        flags = [
            "main.py",
            "--config=tasks/train_mujoco_ppo.yaml",
            f"--env_id={env_id}",
            f"--seed={seed}",
            f"--num_timesteps={options.num_timesteps}",
            f"--rollout_len={rollout_len}",
            f"--batch_size={batch_size}",
            f"--num_envs={num_envs}",
            f"--p_lr={learning_rate:.3g}",
            f"--v_lr={learning_rate:.3g}",
            f"--eval_frequency={max(1, iterations // EVALUATIONS)}",
            "--uuid=learning.seed00",
            f"--runs_dir={folder}",
            "--progress=none",
            "--wandb_mode=disabled",
        ]
        setting = Setting(env_id, rollout_len, batch_size, num_envs, options.workers)
        output(launch(flags, setting))
        lines = (Path(folder) / "learning.seed00" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    evaluations = [row for row in rows if row.get("eval/return_mean") is not None]
    return {
        "env_id": env_id,
        "way": way,
        "seed": seed,
        "steps": [row["step"] for row in evaluations],
        "returns": [row["eval/return_mean"] for row in evaluations],
        "seconds": rows[-1]["time/elapsed"],
    }


def command_of(saved: dict[str, Any]) -> str:
    """What was called."""
    ways = [way for way in WAYS if any(run["way"] == way for run in saved["runs"])]
    some = ["--ways", *ways] if len(ways) < len(WAYS) else []
    steps = f"--num_timesteps={saved['num_timesteps']}"
    return shlex.join(["python", "-m", "benchmarks.scaling.learning", steps, *some])


def report(saved: dict[str, Any]) -> str:
    """docs/results/scaling_learning.md."""
    lines = [
        "# Learning with larger minibatches",
        "",
        f"Made by `{command_of(saved)}`: PPO with "
        "`tasks/train_mujoco_ppo.yaml`, "
        f"{saved['num_timesteps']:,} environment steps, {saved['workers']} workers; step sizes times the square root "
        f"of batch_size/{BATCH}. The mean of the last three evaluations during training (deterministic policy, 10 "
        "episodes each), seed by seed. Curves: [scaling_learning.png](scaling_learning.png).",
        "",
        "| task | R/B | gradient steps for 1 M environment steps | return, each seed | mean | wall-clock time, s |",
        "|---|---|---|---|---|---|",
    ]
    for env_id, way in _ways(saved):
        runs = _runs(saved, env_id, way)
        finals = [statistics.fmean(run["returns"][-3:]) for run in runs]
        seconds = statistics.median(run["seconds"] for run in runs)
        batch_size = WAYS[way][1]
        lines.append(
            f"| {env_id} | {way} | {10_000_000 // batch_size:,} | "
            f"{', '.join(f'{value:.0f}' for value in finals)} | {statistics.fmean(finals):.0f} | {seconds:.0f} |",
        )
    return "\n".join(lines) + "\n"


def _ways(saved: dict[str, Any]) -> list[tuple[str, str]]:
    return sorted(
        {(run["env_id"], run["way"]) for run in saved["runs"]},
        key=lambda pair: (pair[0], list(WAYS).index(pair[1])),
    )


def _runs(saved: dict[str, Any], env_id: str, way: str) -> list[dict[str, Any]]:
    return [run for run in saved["runs"] if (run["env_id"], run["way"]) == (env_id, way)]


def draw(saved: dict[str, Any], path: Path) -> None:
    """Mean over seeds as a line, lowest to highest as a band."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tasks = sorted({env_id for env_id, _ in _ways(saved)})
    figure = Figure(figsize=(6 * len(tasks), 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    for i, env_id in enumerate(tasks):
        axes = figure.add_subplot(1, len(tasks), i + 1)
        for way in [way for task, way in _ways(saved) if task == env_id]:
            runs = _runs(saved, env_id, way)
            steps = runs[0]["steps"]
            returns = np.array([run["returns"] for run in runs])
            (line,) = axes.plot(steps, returns.mean(0), label=way)
            axes.fill_between(
                steps,
                returns.min(0),
                returns.max(0),
                color=line.get_color(),
                alpha=0.12,
                linewidth=0,
            )
        axes.set_title(env_id)
        axes.set_xlabel("environment steps")
        axes.set_ylabel("return of evaluations")
        axes.legend(frameon=False)
    figure.savefig(path, dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    sys.exit(main())
