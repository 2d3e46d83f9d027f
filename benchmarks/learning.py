"""Learning results, three seeds and more, beside published ones.

`python benchmarks/learning.py --suite ppo` trains every case of the suite with two workers, evaluates the
final policy (not the best) without exploration noise on 20 episodes, and writes a table to docs/results/.
Runs that are done are not done again, a stopped one goes on: call it as often as you like.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "data" / "runs" / "benchmarks"
RESULTS = ROOT / "docs" / "results"
EPISODES = 20


@dataclass(frozen=True)
class Case:
    """One environment at one number of steps.

    Attributes:
        name: of the runs.
        task: the YAML file.
        flags: what differs from it.
        bar: the mean over seeds that must be reached.
        reference: what others report, with the source.
        episodes: of the evaluation.
        part_of: the name of a longer case that learns the same until this one's last step: its
            evaluation at that step is taken, and nothing is trained.
    """

    name: str
    task: str
    flags: tuple[str, ...]
    bar: float
    reference: str
    episodes: int = EPISODES
    part_of: str = ""


CLASSIC, MUJOCO = "tasks/train_classic_ppo.yaml", "tasks/train_mujoco_ppo.yaml"
EAGER, NORM = "--no-compile", "--layer_norm"
# The Zoo's own settings of DQN on CartPole, as far as they differ from the task's.
ZOO = (
    "--rollout_len=256",
    "--slow_period=256",
    "--n_step=1",
    "--no-double",
    "--lr_schedule=constant",
)
SUITES = {
    "ppo": (
        Case(
            "cartpole_100k",
            "tasks/train_classic_ppo.yaml",
            ("--env_id=CartPole-v1", "--num_timesteps=100_000"),
            475.0,
            "CleanRL 490 +- 6 (500k steps)",
        ),
        Case(
            "hopper_1m",
            "tasks/train_mujoco_ppo.yaml",
            ("--env_id=Hopper-v5", "--num_timesteps=1_000_000"),
            2000.0,
            "CleanRL v4 2383 +- 272, Tianshou v3 2483 +- 852",
        ),
        Case(
            "halfcheetah_1m",
            "tasks/train_mujoco_ppo.yaml",
            ("--env_id=HalfCheetah-v5", "--num_timesteps=1_000_000"),
            3000.0,
            "CleanRL v4 1443 +- 46, Tianshou v3 5650 +- 1226",
        ),
        Case(
            "walker2d_1m",
            "tasks/train_mujoco_ppo.yaml",
            ("--env_id=Walker2d-v5", "--num_timesteps=1_000_000"),
            2500.0,
            "CleanRL v4 2288 +- 572, Tianshou v3 3410 +- 686",
        ),
    ),
    "off_policy": (
        *(
            Case(
                f"pendulum_20k_{algo}",
                f"tasks/train_mujoco_{algo}.yaml",
                ("--env_id=Pendulum-v1", "--num_timesteps=20_000", "--warm_up=1000", *flags),
                -200.0,
                "Stable-Baselines3 Zoo about -150",
                episodes=100,  # the return is mostly the initial state's
            )
            for algo, flags in {
                "sac": ("--p_lr=0.001", "--q_lr=0.001", "--temperature_lr=0.001"),
                "td3": ("--p_lr=0.001", "--q_lr=0.001"),
                "ddpg": ("--p_lr=0.001", "--q_lr=0.001"),
            }.items()
        ),
        Case(
            "cartpole_50k_dqn",
            "tasks/train_classic_dqn.yaml",
            ("--env_id=CartPole-v1", "--num_timesteps=50_000"),
            450.0,
            "Stable-Baselines3 Zoo 500 (one run)",
        ),
        Case(
            "cartpole_50k_dqn_zoo",
            "tasks/train_classic_dqn.yaml",
            ("--env_id=CartPole-v1", "--num_timesteps=50_000", *ZOO),
            450.0,
            "Zoo 500 (one run); here Stable-Baselines3 itself: see docs/dqn.md",
        ),
        *(
            Case(
                f"halfcheetah_100k_{algo}",
                f"tasks/train_mujoco_{algo}.yaml",
                ("--env_id=HalfCheetah-v5", "--num_timesteps=100_000"),
                bar,
                reference,
            )
            for algo, bar, reference in (
                ("td3", 4000.0, "pooled 4854 +- 715 (28 seeds)"),
                ("ddpg", 3800.0, "pooled 4474 +- 553 (19 seeds)"),
                ("crossq", 6000.0, "authors 9507 at 200k"),
            )
        ),
        Case(
            "halfcheetah_200k_sac",
            "tasks/train_mujoco_sac.yaml",
            ("--env_id=HalfCheetah-v5", "--num_timesteps=200_000", "--eval_episodes=20"),
            6200.0,
            "pooled 7171 +- 907 (23 seeds)",
        ),
        Case(
            "halfcheetah_100k_sac",
            "",
            ("--num_timesteps=100_000",),
            4700.0,
            "pooled 5333 +- 577 (23 seeds)",
            part_of="halfcheetah_200k_sac",
        ),
        Case(
            "hopper_300k_sac",
            "tasks/train_mujoco_sac.yaml",
            ("--env_id=Hopper-v5", "--num_timesteps=300_000"),
            1700.0,
            "pooled 2525 +- 681 (23 seeds)",
        ),
        Case(
            "dmc_cheetah_run_200k_sac",  # a step is a frame
            "tasks/train_dmc_sac.yaml",
            ("--env_id=Cheetah-Run-Feat-v0", "--num_timesteps=200_000"),
            280.0,
            "311 +- 16 and 574 at 200k frames (100k decisions)",
        ),
        Case(
            "dmc_cartpole_swingup_100k_sac",
            "tasks/train_dmc_sac.yaml",
            ("--env_id=Cartpole-Swingup-Feat-v0", "--num_timesteps=100_000"),
            780.0,
            "861 +- 4 and 835 +- 8",
        ),
    ),
    # The same training by different routes: what native code must not change.
    "compiled": tuple(
        Case(name, task, (f"--env_id={env_id}", f"--num_timesteps={steps}", *flags), bar, "")
        for name, task, env_id, steps, flags, bar in (
            ("cartpole_100k", CLASSIC, "CartPole-v1", "100_000", (), 475.0),
            ("cartpole_100k_eager", CLASSIC, "CartPole-v1", "100_000", (EAGER,), 475.0),
            ("halfcheetah_1m", MUJOCO, "HalfCheetah-v5", "1_000_000", (), 3000.0),
            ("halfcheetah_1m_eager", MUJOCO, "HalfCheetah-v5", "1_000_000", (EAGER,), 3000.0),
            ("hopper_300k_layer_norm", MUJOCO, "Hopper-v5", "300_000", (NORM,), 500.0),
            ("hopper_300k_layer_norm_eager", MUJOCO, "Hopper-v5", "300_000", (NORM, EAGER), 500.0),
        )
    ),
}


def main() -> int:
    """Train, evaluate and tabulate; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", choices=sorted(SUITES), default="ppo")
    parser.add_argument("--seeds", type=int, default=3, help="seeds a case (default 3)")
    parser.add_argument("--num_workers", type=int, default=2, help="MPI workers a run (default 2)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once (default 1)")
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    parser.add_argument("--table", action="store_true", help="only tabulate what is there")
    options, flags = parser.parse_known_args()
    cases = [case for case in SUITES[options.suite] if options.only in case.name]
    results: dict[str, list[dict[str, float]]] = {}
    with ThreadPoolExecutor(options.jobs) as pool:
        pending = [  # seed by seed: a table of all cases is there early
            (case, seed, pool.submit(run, case, seed, options, flags))
            for seed in range(options.seeds)
            for case in cases
        ]
        for case, seed, waiting in pending:
            result = waiting.result()
            if result is None and case.part_of:
                result = run(case, seed, options, flags)  # the longer one is done by now
            if result is not None:
                results.setdefault(case.name, []).append(result)
    table = tabulate(cases, results, options)
    print(table)
    if options.only or flags:
        return 0
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{options.suite}.md"
    path.write_text(table, encoding="utf-8")
    (RESULTS / f"{options.suite}.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"wrote {path.relative_to(ROOT)} and {path.stem}.json")
    return int(any(mean_final(results.get(case.name, [])) < case.bar for case in cases))


def run(
    case: Case,
    seed: int,
    options: argparse.Namespace,
    flags: list[str],
) -> dict[str, float] | None:
    """Train and evaluate one run, if that has not been done; its figures."""
    name = "_".join(
        [case.part_of or case.name, *(flag.strip("-").replace("=", "_") for flag in flags)],
    )
    folder = RUNS / f"{name}.seed{seed:02d}"
    summary = folder / "evaluation_latest.json"
    if not case.part_of:
        played = json.loads(summary.read_text())["episodes"] if summary.exists() else 0
        if played != case.episodes and options.table:
            return None
        if played != case.episodes:
            train(case, seed, folder, options, flags)
    elif not summary.exists():
        return None
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    if case.part_of:
        rows = [row for row in rows if row["step"] <= number(case, "num_timesteps")]
    evaluations = [row["eval/return_mean"] for row in rows if "eval/return_mean" in row]
    returns = [row["rollout/return_mean"] for row in rows if row["rollout/return_mean"] is not None]
    final = evaluations[-1] if case.part_of else json.loads(summary.read_text())["return_mean"]
    return {
        "seed": seed,
        "final": final,
        "training": statistics.fmean(returns[-max(1, len(returns) // 20) :]),
        "best": max(evaluations),
        "steps": rows[-1]["step"],
        "seconds": rows[-1]["time/elapsed"],
    }


def train(
    case: Case,
    seed: int,
    folder: Path,
    options: argparse.Namespace,
    flags: list[str],
) -> None:
    """Train a run, or go on with it, and evaluate its last policy."""
    print(f"== {folder.name}", flush=True)
    started = time.time()
    command = [f"--config={case.task}", *case.flags, *flags, f"--seed={seed}"]
    command += [f"--uuid={folder.name}", f"--runs_dir={RUNS}", "--wandb_mode=disabled"]
    if options.jobs > 1:
        command.append("--progress=none")
    launch(options.num_workers, ["--task=train", *command])
    evaluation = ["--task=eval", f"--model_path={folder}", "--iter_num=latest"]
    launch(options.num_workers, [*evaluation, f"--num_trajs={case.episodes}"])
    print(f"== {folder.name} took {time.time() - started:.0f} s", flush=True)


def number(case: Case, setting: str) -> int:
    """A number among a case's flags."""
    (flag,) = [flag for flag in case.flags if flag.startswith(f"--{setting}=")]
    return int(flag.split("=")[1])


def launch(workers: int, arguments: list[str]) -> None:
    """`main.py` under mpiexec."""
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    prefix = [mpiexec, "-n", str(workers)] if workers > 1 and mpiexec else []
    subprocess.run([*prefix, sys.executable, "main.py", *arguments], cwd=ROOT, check=True)


def mean_final(results: list[dict[str, float]]) -> float:
    """Mean over seeds of the final deterministic return."""
    return statistics.fmean(r["final"] for r in results) if results else float("-inf")


def tabulate(
    cases: list[Case],
    results: dict[str, list[dict[str, float]]],
    options: argparse.Namespace,
) -> str:
    """The Markdown table, and the command that made it."""
    how = "".join(
        f" --{name} {value}"
        for name, default in (("num_workers", 2), ("jobs", 1), ("seeds", 3))
        if (value := getattr(options, name)) != default
    )
    lines = [
        f"# Results: {options.suite}",
        "",
        f"Made by `python benchmarks/learning.py --suite {options.suite}{how}`: "
        f"{count(options.num_workers, 'worker')} a run, {EPISODES} deterministic episodes (Pendulum: 100) of the "
        "final policy (never the best one), mean +- standard deviation over seeds. `training` is the return of the "
        "sampling policy over the last 5 % of training.",
        "",
        "| case | steps | seeds | final | each seed | training | bar | published | minutes a run |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for case in cases:
        runs = results.get(case.name, [])
        if not runs:
            lines.append(f"| {case.name} | | 0 | not run | | | {case.bar:g} | {case.reference} | |")
            continue
        final, training = [r["final"] for r in runs], [r["training"] for r in runs]
        minutes = statistics.median(r["seconds"] for r in runs) / 60
        each = ", ".join(f"{value:.0f}" for value in final)
        lines.append(
            f"| {case.name} | {runs[0]['steps']:,.0f} | {len(runs)} | {spread(final)} | {each} | "
            f"{spread(training)} | {case.bar:g} | {case.reference} | {minutes:.1f} |",
        )
    return "\n".join(lines) + "\n"


def count(number: int, noun: str) -> str:
    """With its plural."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def spread(values: list[float]) -> str:
    """Mean +- standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.fmean(values):.0f} +- {deviation:.0f}"


if __name__ == "__main__":
    sys.exit(main())
