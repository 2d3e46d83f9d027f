"""A user's own environment, in a file outside the repository: all that a researcher does with it, as he types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from helpers.errors import STOPPED_EARLY
from policy import load_policy
from swarm.plan import TMUX_SOCKET
from tests import launch
from tests.swarm.conftest import tmux  # noqa: F401
from tests.swarm.swarms import wait_for

REWARDS = """import numpy as np


def nearness(place, goal):
    return float(-np.abs(place - goal).sum())
"""
ENVIRONMENT = '''"""A point is pushed to a goal."""

import gymnasium
import my_rewards
import numpy as np
from gymnasium.spaces import Box, Dict


class Reach(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    action_space = Box(-1.0, 1.0, (2,), np.float32)
    observation_space = Dict(place=Box(-5.0, 5.0, (2,)), goal=Box(-1.0, 1.0, (2,)))

    def __init__(self, render_mode=None, speed=0.1):
        self.render_mode, self.speed = render_mode, speed

    def _observe(self):
        return {"place": self.place.astype(np.float32), "goal": self.goal.astype(np.float32)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.goal = self.np_random.uniform(-1, 1, 2)
        self.place = np.zeros(2)
        return self._observe(), {}

    def step(self, action):
        self.place = np.clip(self.place + self.speed * action, -5, 5)
        reward = my_rewards.nearness(self.place, self.goal)
        return self._observe(), reward, reward > -0.05, False, {}

    def render(self):
        picture = np.zeros((64, 64, 3), np.uint8)
        for channel, where in enumerate((self.place, self.goal)):
            column, row = np.clip(32 + 16 * where, 0, 60).astype(int)
            picture[row : row + 4, column : column + 4, channel] = 255
        return picture
'''
OPTIONS = {"speed": 0.2}
LIMIT = 20
SMALL = {
    "num_envs": 4,
    "rollout_len": 80,
    "batch_size": 40,
    "optim_epochs_per_iter": 1,
    "num_timesteps": 1600,
    "eval_frequency": 10,
    "eval_episodes": 2,
    "save_frequency": 1,
    "compile": False,
    "max_episode_steps": LIMIT,
}


def flags_of(settings: dict[str, object]) -> list[str]:
    return [f"--{name}={str(value).lower()}" for name, value in settings.items()]


def done(flags: list[str]) -> str:
    ended = launch.run(flags)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mine")
    (folder / "my_rewards.py").write_text(REWARDS)
    (folder / "reach.py").write_text(ENVIRONMENT)
    return folder


@pytest.fixture(scope="module")
def environment(folder) -> list[str]:
    return [f"--env_id={folder}/reach.py:Reach", f"--env_options={json.dumps(OPTIONS)}"]


def test_all_that_is_done_with_an_environment_of_ones_own(
    folder,
    environment,
    tmux,  # noqa: F811
) -> None:
    run = folder / "runs" / "reach.seed00"
    train = ["--algo=ppo", *environment, *flags_of(SMALL), f"--runs_dir={run.parent}"]
    train += [f"--uuid={run.name}", "--seed=0"]

    # it is stopped and goes on
    first = launch.start(train)
    launch.wait_for_rows(run, 1, first)
    assert launch.interrupt(first, "USR1") == STOPPED_EARLY
    told = done(train)
    assert "by Gymnasium" in told and "resumed after iteration" in told
    assert "begins new episodes" not in told
    rows = launch.rows(run)
    assert [row["step"] for row in rows] == list(range(80, SMALL["num_timesteps"] + 1, 80))
    assert max(row["rollout/length_mean"] for row in rows) == LIMIT  # truncated
    assert "bitwise identical" in done(["--task=verify_resume", f"--model_path={run}"])

    # it is looked at
    demos = folder / "demos"
    look = ["--task=eval", f"--model_path={run}", "--iter_num=latest", "--num_trajs=3"]
    told = done([*look, "--record", "--save_traj", f"--save_traj_dir={demos}"])
    (video,) = (run / "videos").glob("*.mp4")
    assert video.stat().st_size > 1000 and str(video) in told
    figures = json.loads((run / "evaluation_latest.json").read_text())
    assert figures["max_episode_steps"] == LIMIT and max(figures["lengths"]) <= LIMIT

    assert "env options" in done(["--task=demos", f"--expert_path={demos}"])

    # it is imitated
    files = sorted(demos.rglob("*.h5"))
    assert len(files) == 3
    with h5py.File(files[0]) as file:
        assert json.loads(file.attrs["env_options"]) == OPTIONS
        assert "mujoco_version" not in file.attrs
    clone = ["--algo=bc", *environment, f"--expert_path={files[0].parent}", "--num_demos=3"]
    clone += ["--num_timesteps=200", "--batch_size=20", "--eval_episodes=2", "--compile=false"]
    told = done([*clone, f"--runs_dir={run.parent}", "--uuid=clone.seed00"])
    assert "expert: return" in told and "random" in told

    # it is handed on
    package = folder / "package"
    done(
        [
            "--task=export",
            f"--model_path={run}",
            "--iter_num=latest",
            "--num_trajs=2",
            f"--export_dir={package}",
        ],
    )
    policy = load_policy(package)
    contract = (policy.contract or {})["environment"]
    assert (contract["max_episode_steps"], contract["options"]) == (LIMIT, OPTIONS)
    observation = np.array([0.5, -0.5, 0.0, 0.0])  # the goal, then the place: Gymnasium's order
    action = policy(observation)
    assert action.shape == (2,)
    np.testing.assert_allclose(
        load_policy(run, iter_num="latest")(observation),
        action,
        rtol=1e-4,
        atol=1e-5,
    )

    # it is spawned
    task = folder / "reach.yaml"
    task.write_text(
        yaml.safe_dump(
            SMALL
            | {"env_id": environment[0].partition("=")[2], "env_options": OPTIONS}
            | {"algo": "ppo", "runs_dir": str(folder / "swarm"), "num_timesteps": 240},
        ),
    )
    command = [sys.executable, "spawner.py", "--config", str(task), "--deployment", "tmux"]
    command += ["--num_seeds", "2", "--num_workers", "1", "--deploy_now"]
    spawned = subprocess.run(
        [*command, "--swarms_dir", str(folder / "swarms")],
        cwd=launch.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert spawned.returncode == 0, spawned.stderr
    wait_for(lambda: len(list((folder / "swarm").glob("*/learning_curve.png"))) == 2, seconds=120)
    subprocess.run(["tmux", "-L", TMUX_SOCKET, "kill-server"], check=True)
    for each in (folder / "swarm").iterdir():
        config = yaml.safe_load((each / "config.yaml").read_text())
        assert json.loads(config["env_options"]) == OPTIONS
        assert config["max_episode_steps"] == LIMIT
