"""Experts for tests of whole programs: a run that has hardly learned, and demonstrations of its policy."""

from __future__ import annotations

from pathlib import Path

from tests import launch


def hardly_trained(env_id: str, folder: Path, *, demos: int) -> tuple[Path, Path]:
    """(run folder of PPO, folder of so many of its demonstrations)."""
    small = ["--num_envs=2", "--rollout_len=64", "--batch_size=32", "--num_timesteps=128"]
    named = [f"--env_id={env_id}", "--uuid=expert.seed00", f"--runs_dir={folder}"]
    often = ["--save_frequency=1", "--eval_frequency=0", "--progress=none"]
    done = launch.run([*named, *small, *often])
    assert done.returncode == 0, done.stderr
    run = folder / "expert.seed00"
    wanted = ["--task=eval", f"--model_path={run}", "--iter_num=latest", f"--num_trajs={demos}"]
    done = launch.run([*wanted, "--save_traj", f"--save_traj_dir={folder}/demos"])
    assert done.returncode == 0, done.stderr
    (made,) = (folder / "demos").glob("*/expert.seed00")
    return run, made
