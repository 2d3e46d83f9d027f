"""Environments of other packages: trained for some thousand steps, resumed, evaluated; or refused in true words.

`make test-extras` runs it in each of the environments that the files beside it describe; `make test` does not.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests import launch

INSTALLED = Path(sys.prefix).name  # the environment in .extras/ that this runs in
PPO = ["--algo=ppo", "--num_envs=4", "--rollout_len=512", "--batch_size=64", "--num_timesteps=2048"]
OFF_POLICY = ["--num_envs=2", "--num_timesteps=2000", "--eval_frequency=0", "--compile=false"]
OFF_POLICY += ["--learning_starts=500", "--updates_per_step=0.2"]
SHORT = [*PPO[:1], "--num_envs=2", "--rollout_len=64", "--batch_size=64", "--num_timesteps=256"]
SAC, DQN = ["--algo=sac", *OFF_POLICY], ["--algo=dqn", *OFF_POLICY]


@dataclass(frozen=True)
class Case:
    """One environment.

    Attributes:
        env_id: as a user types it.
        flags: of the training.
        is_exact: whether a resumed run goes on within its episodes.
        draws: whether a video can be recorded.
    """

    env_id: str
    flags: list[str]
    is_exact: bool = False
    draws: bool = True


CASES = {
    "packages": [
        Case("PointMaze_UMaze-v3", SAC, is_exact=True),
        Case("AntMaze_UMaze-v5", SAC, is_exact=True),
        Case("docs/examples/mini_grid.py:Empty", PPO, is_exact=True),
        Case("docs/examples/two_rewards.py:Treasure", DQN, is_exact=True),
        Case("ALE/Pong-v5", [*PPO, '--env_options={"obs_type": "ram"}']),
        Case("LunarLander-v3", PPO),
        Case("LunarLander-v3", [*SAC, '--env_options={"continuous": true}']),
        Case("BipedalWalker-v3", SAC),
        Case("highway_env:highway-fast-v0", [*SHORT, "--env_processes=2"]),
        Case("flappy_bird_gymnasium:FlappyBird-v0", DQN),
        Case("gym_pusht:gym_pusht/PushT-v0", SAC),
    ],
    "metaworld": [
        Case(
            "Meta-World/MT1",
            [*SAC, '--env_options={"env_name": "reach-v3", "seed": 1}'],
        ),
        Case("FetchReach-v4", SAC, is_exact=True),
    ],
    "myosuite": [Case("myoElbowPose1D6MRandom-v0", PPO)],
}
REFUSED = {
    "packages": {
        "MiniGrid-Empty-5x5-v0": "its observation 'mission' is in MissionSpace",
        "mo_gymnasium:deep-sea-treasure-v0": "gives 2 rewards a step",
        "pettingzoo.classic:tictactoe_v3": "have several agents",
        "FetchReach-v4": "cannot be made: AssertionError",
    },
    "metaworld": {"Meta-World/MT1": "without the option env_name"},
    "myosuite": {"myoElbowPose1D6MRandm-v0": "The nearest is myoElbowPose1D6MRandom-v0"},
}


@pytest.mark.parametrize(
    "case",
    CASES[INSTALLED],
    ids=lambda case: f"{case.env_id}-{case.flags[0]}",
)
def test_it_is_trained_resumed_and_looked_at(tmp_path: Path, case: Case) -> None:
    run = tmp_path / "extra.seed00"
    flags = [f"--env_id={case.env_id}", *case.flags, "--save_frequency=1", "--eval_episodes=1"]
    done = launch.run([*flags, f"--runs_dir={tmp_path}", f"--uuid={run.name}"])
    assert done.returncode == 0, done.stderr
    rows = launch.rows(run)
    steps = next(int(flag.partition("=")[2]) for flag in flags if "num_timesteps" in flag)
    assert rows[-1]["step"] >= steps
    assert ("begins new episodes" in done.stdout) is not case.is_exact
    capsule = json.loads((run / "capsule.json").read_text())
    assert ("with new episodes" in json.dumps(capsule)) is not case.is_exact
    assert yaml.safe_load((run / "config.yaml").read_text())["env_id"] == case.env_id
    speed = [line for line in done.stdout.splitlines() if "steps/s" in line][-1]
    print(f"{case.env_id}: {speed}")
    done = launch.run(["--task=verify_resume", f"--model_path={run}"])
    assert done.returncode == 0 and "identical" in done.stdout, done.stdout + done.stderr
    look = ["--task=eval", f"--model_path={run}", "--iter_num=latest", "--num_trajs=1"]
    done = launch.run([*look, "--max_episode_steps=30", "--record"])
    assert done.returncode == 0, done.stderr
    assert len(list((run / "videos").glob("*.mp4"))) == int(case.draws), done.stdout


@pytest.mark.parametrize("env_id", REFUSED[INSTALLED])
def test_it_is_refused_in_two_lines(tmp_path: Path, env_id: str) -> None:
    flags = [f"--env_id={env_id}", *PPO, f"--runs_dir={tmp_path}", "--uuid=extra.seed00"]
    done = launch.run(flags)
    assert done.returncode == 2, done.stderr
    assert REFUSED[INSTALLED][env_id] in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "extra.seed00").exists()
