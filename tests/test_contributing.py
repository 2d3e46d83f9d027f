"""CONTRIBUTING.md's recipes, followed to the letter in a copy of the repository."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ("agents", "environments", "helpers", "swarm", "tasks", "main.py", "orchestrator.py")
SMALL = ["--env_id=Pendulum-v1", "--num_timesteps=128", "--progress=none", "--eval_frequency=0"]
REPLAY = ["--steps_per_iteration=64", "--learning_starts=32", "--batch_size=8", "--no-compile"]
PPO = ["--num_envs=1", "--rollout_len=64", "--batch_size=32", "--optim_epochs_per_iter=1"]


def recipe(heading: str) -> list[tuple[str, str, str]]:
    """(path, where, code) of the Python blocks under a heading."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n# (\S+?)(?:, in (\w+))?\n(.*?)```", section, re.DOTALL)
    assert blocks
    return [(path, where, code) for path, where, code in blocks]


def follow(repository: Path, heading: str) -> set[str]:
    """Write new files, append to those that are there, or insert into the table that a block names."""
    for path, where, code in recipe(heading):
        file = repository / path
        if where:
            text = file.read_text(encoding="utf-8")
            start = re.search(rf"^{where}\b.*\{{\n", text, re.MULTILINE)
            assert start is not None, f"{path} has no table {where}"
            file.write_text(text[: start.end()] + code + text[start.end() :], encoding="utf-8")
        else:
            before = file.read_text(encoding="utf-8") + "\n\n" if file.exists() else ""
            file.write_text(before + code, encoding="utf-8")
    return {path for path, _, _ in recipe(heading)}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in PROGRAM:
        source = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=ignored)
        else:
            shutil.copy(source, tmp_path / name)
    return tmp_path


def train(repository: Path, *flags: str) -> tuple[list[dict[str, object]], str]:
    """The rows of a small run, and what it printed."""
    command = [sys.executable, "main.py", *SMALL, f"--runs_dir={repository}/runs", *flags]
    done = subprocess.run(
        [*command, "--uuid=toy.seed00"],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = (repository / "runs" / "toy.seed00" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines], done.stdout


def test_an_algorithm_is_added_by_three_files(repository: Path) -> None:
    files = follow(repository, "Add an off-policy algorithm")
    assert files == {
        "agents/off_policy/config.py",
        "agents/off_policy/toy.py",
        "agents/algorithms.py",
    }
    flags = ["--algo=toy", "--largest_value=3.0", "--checkpoint_interval=auto", *REPLAY]
    rows, _ = train(repository, *flags)
    assert {"critic/loss", "critic/value_1", "critic/target", "policy/loss"} <= set(rows[-1])
    assert float(str(rows[-1]["critic/target"])) <= 3.0
    assert list((repository / "runs" / "toy.seed00" / "checkpoints").glob("128_policy.pt"))


def test_a_tracker_is_added_by_two_files(repository: Path) -> None:
    files = follow(repository, "Add a tracker")
    assert files == {"helpers/trackers/base.py", "helpers/trackers/printed.py"}
    _, printed = train(repository, *PPO)
    assert "printed: step 64, return" in printed
