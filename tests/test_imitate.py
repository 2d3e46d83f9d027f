"""`make imitate`: its commands parse, and what they leave shows the imitator beside the expert."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from agents.algorithms import SCHEMA
from environments.factory import make_vector_env
from evaluator import Evaluation
from helpers.demos.hdf5 import demo_path, write_demo
from helpers.episodes import RandomPolicy, run_episodes
from helpers.errors import ConfigurationError
from helpers.parallel.workers import Workers
from tests import launch

SEEDS = [5, 6, 7]


def made(*variables: str) -> list[list[str]]:
    """What `make imitate` gives to main.py, one list a start."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        ["make", "--dry-run", "imitate", *variables],
        cwd=launch.ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    starts = [line for line in done.stdout.splitlines() if "main.py --task=" in line]
    words = [shlex.split(line) for line in starts if not line.startswith("echo")]
    return [each[each.index("main.py") + 1 :] for each in words]


@pytest.mark.parametrize("algo", ["gail", "sam", "bc"])
def test_its_flags_parse_and_name_one_run(algo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(launch.ROOT)
    chosen = [] if algo == "gail" else [f"CONFIG=tasks/train_mujoco_{algo}.yaml"]
    train, evaluate = made("SEED=3", "ENV_ID=HalfCheetah-v5", "NUM_DEMOS=2", *chosen)
    parsed = SCHEMA.parse_command_line(train)
    assert parsed.warnings == ()
    given = {"algo": algo, "env_id": "HalfCheetah-v5", "seed": 3, "num_demos": 2}
    given["expert_path"] = "data/demos/HalfCheetah-v5"
    assert parsed.config.model_dump().items() >= given.items()
    looked_at = SCHEMA.parse_command_line(evaluate)
    assert looked_at.config.model_path == f"data/runs/{parsed.config.uuid}"
    assert {"record", "beside_expert"} <= looked_at.given


def test_another_choice_is_another_run() -> None:
    names = [
        next(word for word in made(variable)[0] if word.startswith("--uuid="))
        for variable in ("SEED=0", "NUM_DEMOS=1", "NUM_TIMESTEPS=7")
    ]
    assert len(set(names)) == len(names)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short behaviour cloning of random episodes on CartPole-v1."""
    folder = tmp_path_factory.mktemp("imitate")
    environment = make_vector_env("CartPole-v1", seeds=SEEDS)
    policy = RandomPolicy(environment.action_space, seed=1)
    for index, episode in enumerate(
        run_episodes(environment, policy, seeds=SEEDS, keep_steps=True),
    ):
        origin = {"env_id": "CartPole-v1", "seed": episode.seed, "action_count": 2}
        write_demo(demo_path(folder / "demos", "CartPole-v1", index), episode.steps, origin)
    flags = ["--algo=bc", "--env_id=CartPole-v1", f"--expert_path={folder}/demos", "--num_demos=2"]
    small = ["--num_timesteps=10", "--steps_per_iteration=10", "--batch_size=8", "--no-compile"]
    named = [f"--runs_dir={folder}", "--uuid=bc.seed00", "--progress=plain", "--eval_frequency=1"]
    done = launch.run([*flags, *small, *named, "--eval_episodes=2"])
    assert done.returncode == 0, done.stderr
    lines = re.findall(
        r"^(?:expert|random policy): return [\d.]+ \(\d .*\)$",
        done.stdout,
        re.MULTILINE,
    )
    assert len(lines) == 2, done.stdout
    return folder / "bc.seed00"


def test_the_run_folder_tells_of_the_expert(run: Path) -> None:
    told = json.loads((run / "references.json").read_text())
    assert [each["episode"] for each in told["expert"]["demonstrations"]] == [0, 1]
    assert 8 < told["random policy"]["return_mean"] < 150
    assert (run / "learning_curve.png").exists()


def test_the_expert_is_filmed_beside_the_policy(run: Path) -> None:
    import imageio.v3

    evaluate = [
        "--task=eval",
        f"--model_path={run}",
        "--num_trajs=1",
        "--record",
        "--beside_expert",
    ]
    done = launch.run(evaluate)
    assert done.returncode == 0, done.stderr
    video = run / "videos" / "iter_000001_beside_expert.mp4"
    assert f"video: {video}" in done.stdout and "replayed bit for bit" in done.stdout
    assert re.search(
        r"^of the expert: -?[\d.]+, where 0 is a random policy",
        done.stdout,
        re.MULTILINE,
    )
    frames = imageio.v3.imread(video)
    assert frames.shape[1:] == (454, 1210, 3)
    assert np.abs(frames[0][60:, :600].astype(int) - frames[0][60:, 610:]).mean() < 2  # one state
    assert frames[0].std() > 10


def test_what_cannot_be_shown_is_refused_before_anything_is_run(tmp_path: Path) -> None:
    wanted = {"record": True, "beside_expert": True, "num_demos": 0, "num_trajs": 1, "seed": 0}
    own = {"env_id": "CartPole-v1", "environment_options": {}}
    config = SimpleNamespace(**wanted, **own, save_traj=False)
    with pytest.raises(ConfigurationError, match="num_demos=0"):
        Evaluation(config, Workers.solo(), folder=tmp_path, iteration=1)
