"""A run whose task changed does not go on unnoticed, and nothing that looks back at it calls it the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests import launch
from tests.experts import hardly_trained

EXAMPLES = launch.ROOT / "docs" / "examples"
SETTINGS = {
    "num_envs": 2,
    "rollout_len": 32,
    "batch_size": 16,
    "num_timesteps": 96,
    "p_perception_stack": "mlp_8",
    "v_perception_stack": "mlp_8",
    "save_frequency": 1,
    "eval_frequency": 0,
    "lr_schedule": "constant",
    "progress": "none",
    "compile": "false",
}


@pytest.fixture
def task(tmp_path):
    """A task of a user's own in a folder of its own."""
    for name in ("cart.py", "cart.xml"):
        shutil.copyfile(EXAMPLES / name, tmp_path / name)
    return tmp_path / "cart.py"


def train(task: Path, *flags: str, workers: int = 1):
    settings = {
        **SETTINGS,
        "env_id": f"{task}:Cart",
        "runs_dir": task.parent / "runs",
        "uuid": "cart.seed00",
    }
    return launch.run(
        [*(f"--{key}={value}" for key, value in settings.items()), *flags],
        workers=workers,
    )


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_changed_task_is_refused_with_the_difference_or_accepted_and_recorded(task):
    folder = task.parent / "runs" / "cart.seed00"
    verify = ["--task=verify_resume", f"--model_path={folder}"]
    assert train(task).returncode == 0
    edit(task, "ctrl_cost_weight: float = 0.01", "ctrl_cost_weight: float = 0.5")
    before = launch.fingerprint(folder)
    refused = train(task)
    assert refused.returncode == 2, refused.stdout
    assert "cart.py" in refused.stderr
    assert "-    ctrl_cost_weight: float = 0.01" in refused.stderr
    assert "+    ctrl_cost_weight: float = 0.5" in refused.stderr
    assert "--accept_changes" in refused.stderr
    assert launch.fingerprint(folder) == before
    verified = launch.run(verify)
    assert verified.returncode == 2
    assert "identical" not in verified.stdout
    assert "cart.py" in verified.stderr
    evaluation = ["--task=eval", f"--model_path={folder}", "--iter_num=latest", "--num_trajs=1"]
    evaluated = launch.run(evaluation)
    assert evaluated.returncode == 0, evaluated.stderr
    assert "cart.py" in evaluated.stdout and "changed" in evaluated.stdout
    exported = launch.run(["--task=export", *evaluation[1:]])
    assert exported.returncode == 0, exported.stderr
    assert "warning: the task has changed" in exported.stdout

    accepted = train(task, "--accept_changes", "--override=num_timesteps=160")
    assert accepted.returncode == 0, accepted.stderr
    (change,) = [
        each
        for each in json.loads((folder / "capsule.json").read_text())["changes"]
        if each["kind"] == "file"
    ]
    assert change["name"] == "cart.py" and change["iteration"] == 3
    assert len(change["before"]) == len(change["after"]) == 64 and change["time"]
    again = launch.run(verify)  # of iterations that the new task alone has made
    assert again.returncode == 0, again.stderr
    assert "bitwise identical" in again.stdout and "changed" in again.stdout


def test_changed_demonstrations_are_refused_on_every_worker_or_accepted(tmp_path):
    _, demos = hardly_trained("CartPole-v1", tmp_path, demos=3)
    settings = {
        "algo": "bc",
        "env_id": "CartPole-v1",
        "expert_path": demos,
        "num_timesteps": 40,
        "steps_per_iteration": 20,
        "batch_size": 24,
        "num_envs": 2,
        "lr_schedule": "constant",
        "compile": "false",
        "eval_frequency": 0,
        "progress": "none",
        "runs_dir": tmp_path / "runs",
        "uuid": "bc.seed00",
    }
    flags = [f"--{key}={value}" for key, value in settings.items()]
    assert launch.run(flags, workers=2).returncode == 0
    first, second = sorted(demos.glob("*.h5"))[:2]
    first.unlink()
    shutil.copyfile(second, first)
    refused = launch.run(flags, workers=2)
    assert refused.returncode == 2, refused.stderr
    assert refused.stderr.count("milozero: ") == 1 and first.name in refused.stderr
    more = [each.replace("num_timesteps=40", "num_timesteps=80") for each in flags]
    accepted = launch.run([*more, "--accept_changes"], workers=2)
    assert accepted.returncode == 0, accepted.stderr
    assert launch.fingerprint(tmp_path / "runs" / "bc.seed00")["iteration"] == "4"
    verified = launch.run(
        ["--task=verify_resume", f"--model_path={tmp_path}/runs/bc.seed00"],
        workers=2,
    )
    assert verified.returncode == 0, verified.stderr
    assert launch.run(more, workers=2).returncode == 0
