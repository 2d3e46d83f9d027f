"""A run in spaces that are no vectors, from its start to its package: demonstrations, formats, export, a clone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.weights.load import load_agent
from environments.processes.spaces import describe_space, space_of
from helpers.demos.hdf5 import read_demo
from policy import load_policy
from tests import launch
from tests.probes.spaces import SpaceProbe

ENV_ID = f"{Path(__file__).parent / 'probes/spaces.py'}:SpaceProbe"
OPTIONS = {"observations": "dict", "actions": "several"}
COMMON = [f"--env_id={ENV_ID}", f"--env_options={json.dumps(OPTIONS)}", "--no-compile"]


def done(flags: list[str]) -> str:
    found = launch.run(flags)
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    size = ["--num_envs=4", "--rollout_len=256", "--batch_size=64", "--num_timesteps=3072"]
    learns = ["--algo=ppo", "--p_lr=0.01", "--eval_frequency=0", "--env_processes=2"]
    done([*COMMON, *size, *learns, f"--runs_dir={folder}", "--uuid=probe.seed00"])
    return folder / "probe.seed00"


def latest(task: str, run: Path, *further: str) -> str:
    return done([f"--task={task}", f"--model_path={run}", "--iter_num=latest", *further])


def test_it_resumes_bit_for_bit(run: Path) -> None:
    assert "bitwise identical" in done(["--task=verify_resume", f"--model_path={run}"])


def acts_well(policy: Any) -> None:
    """On observations as the environment itself gives them, by its own actions."""
    probe = SpaceProbe(**OPTIONS)
    for seed in range(6):
        observation, _ = probe.reset(seed=seed)
        assert probe.step(policy(observation))[1] == 0.0


def test_a_package_takes_parts_and_gives_choices_as_the_environment_does(
    run: Path,
    tmp_path: Path,
) -> None:
    package = tmp_path / "package"
    latest("export", run, f"--export_dir={package}")
    told = json.loads((package / "contract.json").read_text())
    assert told["action"]["choices"] == [3, 2, 4] and told["action"]["starts"] == [0, 1, -1]
    names = [part["name"] for part in told["observation"]["parts"]]
    assert names == ["alone", "inner.0", "inner.1", "inner.2", "zeros"]
    assert told["observation"]["components"][:3] == ["alone[0]=1", "alone[0]=2", "alone[1]=-1"]
    for source in (package, run):
        acts_well(load_policy(source, iter_num="latest"))
    acts_well(load_policy(package, backend="torch"))
    with pytest.raises(ValueError, match="has no part inner.0"):
        load_policy(package)({"alone": np.array([1, 0]), "zeros": np.zeros((2, 2))})
    agent = load_agent(run, iter_num="latest")  # from the checkpoint alone
    assert agent.predict(np.zeros((2, 14)), explore=False)[0].shape == (2, 3)


def test_demonstrations_go_to_minari_and_back_and_are_cloned(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "demos"
    latest("eval", run, "--save_traj", "--num_trajs=6", f"--save_traj_dir={folder}")
    files = sorted(folder.rglob("*.h5"))
    first = read_demo(files[0])
    assert first.actions is not None and first.actions.dtype == np.int64
    assert first.actions.shape == (1, 3) and first.origin["action_counts"].tolist() == [3, 2, 4]
    clone = [*COMMON, "--algo=bc", "--p_lr=0.01", "--num_timesteps=400", "--eval_frequency=0"]
    clone += [f"--expert_path={folder}", "--no-expert_demo_subsample", "--batch_size=16"]
    done([*clone, f"--runs_dir={tmp_path}", "--uuid=clone.seed00"])
    acts_well(load_policy(tmp_path / "clone.seed00", iter_num="latest"))


def test_a_process_is_told_the_spaces() -> None:
    space = SpaceProbe(**OPTIONS).action_space
    assert space_of(describe_space(space)) == space
