"""From training to evaluation through wandb: the real client, two workers, a stand-in server on loopback."""

import json
import os
import shutil

import pytest

from tests import launch
from tests.standins.wandb_server import WandbServer

ENTITY = f"stand_in_{os.getpid()}"  # tests run side by side, and all fetch into data/wandb
PATH = f"{ENTITY}/project/wandb_end.seed01"


@pytest.fixture()
def server(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with WandbServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server
    shutil.rmtree(launch.ROOT / "data" / "wandb" / ENTITY, ignore_errors=True)


def train(folder, *others, workers=2):
    flags = [
        "--task=train",
        "--env_id=CartPole-v1",
        "--seed=1",
        "--uuid=wandb_end.seed01",
        f"--runs_dir={folder}",
        f"--wandb_entity={ENTITY}",
        "--wandb_project=project",
        "--num_envs=4",
        "--rollout_len=64",
        "--batch_size=32",
        "--num_timesteps=640",
        "--eval_frequency=2",
        "--save_frequency=5",
    ]
    done = launch.run([*flags, *others], workers=workers)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_is_tracked_and_evaluated_from_its_wandb_path(server, tmp_path):
    train(tmp_path)
    local = tmp_path / "wandb_end.seed01"
    stored = server.runs[PATH]
    assert [row["iteration"] for row in stored.history] == list(range(1, 11))
    command = ["--task=eval", f"--wandb_run_path={PATH}", "--wandb_project=SOME_NAME"]
    command += ["--wandb_download_replace", "--iter_num=best", "--num_trajs=4"]
    done = launch.run(command, workers=2)
    assert done.returncode == 0, done.stderr
    fetched = launch.ROOT / "data" / "wandb" / PATH
    best = (local / "checkpoints" / "best").resolve()
    for path in best.iterdir():
        assert (fetched / "checkpoints" / "best" / path.name).read_bytes() == path.read_bytes()
    there = json.loads((fetched / "evaluation_best.json").read_text())
    assert launch.run(["--task=eval", f"--model_path={local}", "--num_trajs=4"]).returncode == 0
    here = json.loads((local / "evaluation_best.json").read_text())
    assert there["policy"] == here["policy"]
    assert there["returns"] == here["returns"]
    key = os.environ["WANDB_API_KEY"].encode()
    assert len(key) == 40
    assert not any(key in path.read_bytes() for path in local.rglob("*") if path.is_file())


def test_an_unknown_run_is_refused_in_two_lines(server):
    done = launch.run(["--task=eval", f"--wandb_run_path={ENTITY}/project/nobody"])
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 2, done.stderr
    assert "nobody" in done.stderr
