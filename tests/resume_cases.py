"""Runs that are interrupted and continued: their settings, and the comparison with one that nobody disturbed.

tests/test_resume*.py meet some of the cases, benchmarks/resume.py all.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests import launch

ITERATIONS = 40
SLOW_ITERATIONS = 12  # of what learns from a memory
SETTINGS: dict[str, Any] = {
    "task": "train",
    "num_envs": 6,
    "rollout_len": 96,
    "batch_size": 24,
    "num_timesteps": 96 * ITERATIONS,
    "p_perception_stack": "mlp_16",
    "save_frequency": 4,
    "eval_frequency": 10,
    "eval_episodes": 3,
    "sync_frequency": 3,
    "progress": "none",
}
PPO: dict[str, Any] = {"algo": "ppo", "optim_epochs_per_iter": 2, "v_perception_stack": "mlp_16"}
REPLAY: dict[str, Any] = {
    "num_timesteps": 96 * SLOW_ITERATIONS,
    "rollout_len": 12,
    "steps_per_iteration": 96,
    "learning_starts": 120,
    "updates_per_step": 0.25,
    "mem_size": 384,  # a third of what is collected
    "q_perception_stack": "mlp_16",
    "compile": "false",
}
IMITATED: dict[str, Any] = {
    "d_perception_stack": "mlp_16",
    "d_batch_size": 24,
    "expert_demo_subsample_rate": 5,
    "expert_mismatch": "warn",  # made up, for another version of MuJoCo
    "compile": "false",
}
IMITATIONS: dict[
    str,
    dict[str, Any],
] = {  # of the demonstrations in a folder `demos` beside the runs
    "gail": PPO
    | IMITATED
    | {"algo": "gail", "d_steps": 3, "d_moments": "both", "wrap_absorb": "true"},
    "sam": REPLAY | IMITATED | {"algo": "sam", "n_step": 3, "use_purl": "true"},
    "maad": PPO | IMITATED | {"algo": "maad", "idm_steps": 5, "idm_perception_stack": "mlp_8"},
    "dac": REPLAY | IMITATED | {"algo": "dac", "d_moments": "policy", "grad_pen_type": "dragan"},
}
ALGORITHMS = {
    **IMITATIONS,
    "ppo": PPO,
    "sac": REPLAY | {"algo": "sac", "batch_norm_all": "true"},
    "td3": REPLAY | {"algo": "td3", "n_step": 3},
    "ddpg": REPLAY | {"algo": "ddpg"},
    "crossq": REPLAY | {"algo": "crossq", "renorm_warm_up": 100},
    "dqn": REPLAY | {"algo": "dqn", "priority_exponent": 0.6, "target_period": 300},
}
FRESH = [("ppo", "Hopper-v5", 1), ("ppo", "Hopper-v5", 2)]  # whose processes are forked from none
REPLAY_CASES = [  # every other one in the tests, all in benchmarks/resume.py
    ("sac", "Cheetah-Run-Feat-v0", 2, "USR1"),
    ("sac", "Hopper-v5", 1, "kill all"),
    ("td3", "Hopper-v5", 1, "USR1"),
    ("td3", "Hopper-v5", 2, "kill one"),
    ("ddpg", "Hopper-v5", 2, "kill all"),
    ("ddpg", "Pendulum-v1", 1, "kill all"),
    ("crossq", "Hopper-v5", 1, "USR1"),
    ("crossq", "Hopper-v5", 2, "kill all"),
    ("dqn", "CartPole-v1", 2, "kill one"),
    ("dqn", "CartPole-v1", 1, "kill all"),
]
IMITATION_CASES = [
    ("gail", "Hopper-v5", 1, "USR1"),
    ("gail", "Hopper-v5", 2, "kill all"),
    ("sam", "Hopper-v5", 1, "kill all"),
    ("sam", "Hopper-v5", 2, "USR1"),
    ("dac", "Hopper-v5", 1, "USR1"),
    ("dac", "Hopper-v5", 2, "kill one"),
    ("maad", "Hopper-v5", 2, "kill all"),
]


def settings(
    env_id: str,
    folder: Path,
    name: str,
    algo: str = "ppo",
    **others: Any,
) -> list[str]:
    """Flags of a small run; evaluations of 1000-step episodes are few."""
    evaluation = {"eval_frequency": 20, "eval_episodes": 1} if "Feat" in env_id else {}
    named = {"env_id": env_id, "runs_dir": folder, "uuid": name}
    demos = {"expert_path": folder / "demos"} if algo in IMITATIONS else {}
    chosen = SETTINGS | ALGORITHMS[algo] | demos | evaluation | named | others
    return [f"--{key}={value}" for key, value in chosen.items()]


def iterations_of(algo: str) -> int:
    """How many there are in a whole run."""
    return SLOW_ITERATIONS if "mem_size" in ALGORITHMS[algo] else ITERATIONS


def check_interrupted_run(
    folder: Path,
    env_id: str,
    workers: int,
    how: str,
    *,
    algo: str = "ppo",
    seed: int = 0,
    **others: Any,
) -> int:
    """Run undisturbed, run interrupted and continued, compare; how many rows there were by then.

    `others` are further settings.
    """
    undisturbed, fresh = folder / "undisturbed.seed00", (algo, env_id, workers) in FRESH
    if not undisturbed.exists():
        flags = settings(env_id, folder, undisturbed.name, algo, **others)
        done = launch.run(flags, workers=workers, fresh=fresh)
        assert done.returncode == 0, done.stderr
    iterations = iterations_of(algo)
    name = f"{how.replace(' ', '_')}_{seed}.seed00"
    flags, interrupted = settings(env_id, folder, name, algo, **others), folder / name
    process = launch.start(flags, workers=workers, fresh=fresh)
    instant = random.Random(f"{algo} {env_id} {workers} {name}").randrange(2, iterations * 5 // 8)
    launch.wait_for_rows(interrupted, instant, process)
    code = launch.interrupt(process, how)
    assert code == 75 if how == "USR1" else code != 0
    before = launch.rows(interrupted)
    assert 0 < len(before) < iterations
    done = launch.run(flags, workers=workers, fresh=fresh)
    assert done.returncode == 0, done.stderr
    assert launch.fingerprint(interrupted) == launch.fingerprint(undisturbed)
    assert launch.rows(interrupted) == launch.rows(undisturbed)
    for run in (undisturbed, interrupted):
        check_files(run, workers)
    return len(before)


def check_files(run: Path, workers: int) -> None:
    """Clusters have quotas of files: a run of two workers leaves 27 at most, its card and its evaluation included."""
    kept = len(list((run / "checkpoints").glob("iter_*")))
    assert 3 <= kept <= 4  # those of keep_checkpoints, its default, and the best one
    left = [path for path in run.rglob("*") if path.is_file() and not path.is_symlink()]
    assert (run / "learning_curve.png") in left
    evaluation = 2  # its figures and their picture
    further = (kept + 1) * (workers - 2)  # a worker has one file a checkpoint, and one beside them
    assert len({path.resolve() for path in left}) + evaluation <= 27 + further, sorted(left)
