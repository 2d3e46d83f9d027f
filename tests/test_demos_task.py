"""From --task=eval --save_traj to --task=demos and back, and what is refused there."""

from __future__ import annotations

import json
import shlex
from importlib.metadata import version

import h5py
import numpy as np
import pytest

from agents.algorithms import SCHEMA
from agents.demonstrations.config import DemosConfig
from environments.factory import make_vector_env
from helpers import errors
from helpers.config.help import page
from helpers.demos.hdf5 import read_demo, same_bits
from helpers.demos.load import read_demos
from tests import launch
from tests.helpers.demos.cases import write_demos


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Demonstrations of a policy that has hardly learned, written by two workers."""
    folder = tmp_path_factory.mktemp("demos")
    small = ["--num_envs=2", "--rollout_len=64", "--batch_size=32", "--num_timesteps=128"]
    named = ["--env_id=Hopper", "--uuid=demos.seed00", f"--runs_dir={folder}"]
    done = launch.run([*named, *small, "--save_frequency=1", "--eval_frequency=0"])
    assert done.returncode == 0, done.stderr
    run = folder / "demos.seed00"
    evaluate = ["--task=eval", f"--model_path={run}", "--iter_num=latest", "--num_trajs=5"]
    flags = ["--save_traj", f"--save_traj_dir={folder}/saved"]
    done = launch.run([*evaluate, *flags], workers=2)
    assert done.returncode == 0, done.stderr
    place = folder / "saved" / "Hopper-v5" / "demos.seed00"
    assert f"--task=demos --expert_path={place}" in done.stdout
    return place, json.loads((run / "evaluation_latest.json").read_text())


def test_saved_trajectories_are_those_that_were_run(saved):
    """The environment, reset with the seed and given the actions, goes the same way bit for bit."""
    place, figures = saved
    demos = read_demos(DemosConfig(task="demos", expert_path=str(place)), None).episodes
    assert [demo.return_ for demo in demos] == pytest.approx(figures["returns"], rel=1e-12)
    assert [demo.length for demo in demos] == figures["lengths"]
    for demo in demos:
        assert demo.actions is not None
        seed = demo.origin["seed"]
        environment = make_vector_env("Hopper-v5", seeds=[seed])
        observations, _ = environment.reset(seed=[seed])
        for t in range(demo.length):
            assert same_bits(observations[0], demo.observations[t])
            step = environment.step(demo.actions[t : t + 1])
            observations = step[0]
            successors = environment.successors(step[0], step[4])
            assert same_bits(successors[0], demo.next_observations[t])
            assert step[1][0] == demo.rewards[t]
            assert step[2][0] == demo.terminated[t] and step[3][0] == demo.truncated[t]
        assert demo.origin["policy_sha256"] == figures["policy"]
        assert demo.origin["action_high"].tolist() == [1, 1, 1]
        environment.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_card_is_printed_once_and_its_next_command_works(saved, tmp_path, monkeypatch, workers):
    place, figures = saved
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    done = launch.run(["--task=demos", f"--expert_path={place.parent}"], workers=workers)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum(line.startswith("5 episodes, ") for line in lines) == 1
    assert f"{np.mean(figures['returns']):11.2f}" in done.stdout
    assert (
        f"mujoco version    {version('mujoco')}" in lines
        and f"returns: {place}/returns.png" in lines
    )
    card = json.loads((place / "card.json").read_text())
    assert [each["return"] for each in card["files"]] == pytest.approx(figures["returns"])
    demo = read_demo(place / "Hopper-v5_demo004.h5")
    assert card["files"][4]["sha256"] == demo.sha256
    assert lines[-1].startswith("next: python main.py ")
    command = shlex.split(lines[-1])[3:]
    assert SCHEMA.parse_command_line(command).warnings == ()
    exported = launch.run(command)
    assert exported.returncode == 0, exported.stderr
    back = launch.run(shlex.split(exported.stdout.splitlines()[-1])[3:])
    assert back.returncode == 0, back.stderr
    assert f"sha256            {card['sha256']}" in back.stdout


def test_the_card_tells_which_steps_a_run_would_use(saved):
    place, _ = saved
    flags = [
        f"--expert_path={place}",
        "--seed=4",
        "--num_demos=2",
        "--expert_demo_subsample_rate=7",
    ]
    done = launch.run(["--task=demos", "--expert_demo_choice=seed", *flags])
    assert done.returncode == 0, done.stderr
    card = json.loads((place / "card.json").read_text())
    assert card["episodes"] == 2
    for each in card["files"]:
        offset = each["steps_kept"][0]
        assert 0 <= offset < 7 and each["steps_kept"] == list(range(offset, each["length"], 7))


def refused(*flags, words, workers=1, code=errors.BAD_CONFIGURATION):
    done = launch.run(["--task=demos", *flags], workers=workers)
    assert done.returncode == code, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 2, done.stderr
    assert lines[0].startswith("milozero: ") and lines[1].startswith("  remedy: ")
    for word in words:
        assert word in done.stderr, done.stderr
    return done.stdout


def cut(path):
    path.write_bytes(path.read_bytes()[:-500])


def with_nan(path):
    with h5py.File(path, "a") as file:
        file["env_rews"][3] = np.nan
        del file["ep_env_rets"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (cut, ["demo002.h5", "not a complete HDF5 file"]),
        (with_nan, ["rewards is not finite in 1 steps, first in step 3"]),
    ],
    ids=["cut off", "not finite"],
)
def test_those_that_can_be_used_are_shown_before_the_others_are_refused(tmp_path, spoil, words):
    paths = write_demos(tmp_path, 3, mujoco_version=version("mujoco"))
    spoil(paths[2])
    shown = refused(f"--expert_path={tmp_path}", words=words)
    assert "2 episodes, 81 steps of Hopper-v5" in shown and f"refused: {paths[2]}" in shown
    assert (tmp_path / "returns.png").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--env_id=Walker2d-v5"], ["shows Hopper-v5, not Walker2d-v5", "--env_id=Hopper-v5"]),
        (["--num_demos=4"], ["--num_demos=4", "holds 3", "--num_demos=3"]),
        (["--num_demos=0"], ["no demonstration is selected"]),
        ([], ["MuJoCo 2.3.0", "mujoco==2.3.0", "--expert_mismatch=warn"]),
        (["--expert_mismatch=warn", "--env_id=Walker2d"], ["11 numbers", "17 numbers"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_training_would_refuse_is_refused_once(tmp_path, flags, words, workers):
    write_demos(tmp_path, 3, mujoco_version="2.3.0")
    refused(f"--expert_path={tmp_path}", *flags, words=words, workers=workers)


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    write_demos(tmp_path, 1, mujoco_version=version("mujoco"))
    (tmp_path / "returns.png").mkdir()
    refused(
        f"--expert_path={tmp_path}",
        words=["returns.png cannot be written"],
        code=errors.STORAGE,
    )


def test_another_task_has_no_export():
    parsed = SCHEMA.parse_command_line(["--task=train", "--convert_to=minari:a/b-v0"])
    assert "--convert_to belongs to --task=demos" in parsed.warnings[0]
    config = SCHEMA.parse_command_line(["--task=demos", "--algo=sac", "--p_lr=1e-4"]).config
    assert isinstance(config, DemosConfig)
    for name in ("expert_state_only", "convert_to", "expert_mismatch"):
        assert f"--{name}" in page(SCHEMA, ["--help_all"]).replace("[no-]", "")
