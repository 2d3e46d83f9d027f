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
PROGRAM = (
    "agents",
    "environments",
    "helpers",
    "registry",
    "reports",
    "swarm",
    "tasks",
    "main.py",
    "orchestrator.py",
    "starting.py",
)
SMALL = ["--env_id=Pendulum-v1", "--num_timesteps=128", "--progress=none", "--eval_frequency=0"]
REPLAY = ["--steps_per_iteration=64", "--learning_starts=32", "--batch_size=8", "--no-compile"]
PPO = ["--num_envs=1", "--rollout_len=64", "--batch_size=32", "--optim_epochs_per_iter=1"]


def recipe(heading: str) -> list[tuple[str, str, str, str]]:
    """(path, in or before, name, code) of the Python blocks under a heading."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(
        r"```python\n# (\S+?)(?:, (in|before) (\w+))?\n(.*?)```",
        section,
        re.DOTALL,
    )
    assert blocks
    return [(path, how, name, code) for path, how, name, code in blocks]


def follow(repository: Path, heading: str) -> set[str]:
    """Write new files, append to those that are there, or insert where a block says."""
    for path, how, name, code in recipe(heading):
        file = repository / path
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        if how:
            pattern = rf"^{name}\b.*\{{\n" if how == "in" else rf"\n(?=    {name}: )"
            place = re.search(pattern, text, re.MULTILINE)
            assert place is not None, f"{path} has no {name}"
            text = text[: place.end()] + code + text[place.end() :]
        else:
            text = f"{text}\n\n{code}" if text else code
        file.write_text(text, encoding="utf-8")
    return {path for path, *_ in recipe(heading)}


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


def test_a_tracker_is_added_by_three_files(repository: Path) -> None:
    files = follow(repository, "Add a tracker")
    trackers = {"helpers/trackers/base.py", "helpers/trackers/printed.py"}
    assert files == {*trackers, "helpers/config/run.py"}
    _, printed = train(repository, *PPO, "--printed")
    assert "printed: step 64, return" in printed
