"""The seed's flow on OpenSim as a user types it: train, evaluate, record, imitate, and a bundle on tmux."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from policy import load_policy
from swarm.plan import TMUX_SOCKET
from tests import launch
from tests.swarm.conftest import tmux  # noqa: F401
from tests.swarm.swarms import wait_for

ID = "Opensim-Arm-Reach-v0"
OPTIONS = {"frame_skip": 4, "target": "near"}
SMALL = [
    "--num_envs=4",
    "--rollout_len=100",
    "--batch_size=100",
    "--num_timesteps=800",
    "--eval_episodes=2",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("opensim")


@pytest.fixture(scope="module")
def trained(folder) -> Path:
    """A short PPO run of two workers, each of which steps its environments in two processes."""
    task = folder / "arm.yaml"
    base = yaml.safe_load((launch.ROOT / "tasks" / "train_opensim_ppo.yaml").read_text())
    task.write_text(yaml.safe_dump(base | {"env_options": OPTIONS}))
    flags = [f"--config={task}", *SMALL, "--save_frequency=1", "--eval_frequency=2"]
    named = [f"--runs_dir={folder}", "--uuid=arm.seed00", "--env_processes=2"]
    done = launch.run([*flags, *named], workers=2)
    assert done.returncode == 0, done.stderr
    assert f"environment: {ID} by OpenSim" in done.stdout
    return folder / "arm.seed00"


def test_a_run_resumes_in_every_bit_with_and_without_processes(trained) -> None:
    """The checkpoint was made with processes, the verification steps in the workers."""
    assert "env_processes: 2" in (trained / "config.yaml").read_text()
    config = (trained / "config.yaml").read_text().replace("env_processes: 2", "env_processes: 0")
    (trained / "config.yaml").write_text(config)
    done = launch.run(["--task=verify_resume", f"--model_path={trained}"], workers=2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bitwise identical" in done.stdout


def test_evaluation_video_demonstrations_and_imitation(trained, folder) -> None:
    demos = folder / "demos"
    run = ["--task=eval", f"--model_path={trained}", "--iter_num=latest", "--num_trajs=3"]
    done = launch.run([*run, "--record", "--save_traj", f"--save_traj_dir={demos}"])
    assert done.returncode == 0, done.stderr
    (video,) = (trained / "videos").glob("*.mp4")
    assert video.stat().st_size > 2000
    files = sorted(demos.rglob("*.h5"))
    assert len(files) == 3
    with h5py.File(files[0]) as file:
        told = dict(file.attrs)
    assert told["opensim_version"] == "4.6" and json.loads(told["env_options"]) == OPTIONS
    assert "mujoco_version" not in told
    imitate = [
        "--algo=gail",
        f"--env_id={ID}",
        f"--expert_path={files[0].parent}",
        "--num_demos=2",
        *SMALL,
    ]
    imitate += [
        f"--env_options={json.dumps(OPTIONS)}",
        f"--runs_dir={folder}",
        "--d_without=muscles",
        "--compile=false",
    ]
    imitate += ["--uuid=gail.seed00", "--eval_frequency=0", "--d_batch_size=20"]
    done = launch.run(imitate)
    assert done.returncode == 0, done.stderr
    beside = [
        "--task=eval",
        f"--model_path={folder / 'gail.seed00'}",
        "--iter_num=latest",
        "--num_trajs=1",
    ]
    done = launch.run([*beside, "--record", "--beside_expert"])
    assert done.returncode == 0, done.stderr
    assert "replayed bit for bit" in done.stdout
    # without the environment, which alone knows the groups
    policy = load_policy(folder / "gail.seed00", iter_num="latest")
    assert policy(np.zeros((1, 28))).shape == (1, 6)
    for wrong, problem in (
        ("--d_without=bones", "have no group bones"),
        ("--d_without=joints,hand,target,muscles", "leaves nothing"),
        ('--env_options={"frame_skip": 4}', "was made with env_options"),
    ):
        name = wrong.partition("=")[0]
        others = [flag for flag in imitate if not flag.startswith((name, "--uuid"))]
        done = launch.run([*others, wrong, "--uuid=wrong.seed00"])
        assert done.returncode == 2 and problem in done.stderr
        assert not (folder / "wrong.seed00").exists()


def test_a_bundle_with_two_seeds_on_tmux(folder, tmux) -> None:  # noqa: F811
    task = folder / "swarm.yaml"
    base = yaml.safe_load((launch.ROOT / "tasks" / "train_opensim_ppo.yaml").read_text())
    small = {flag[2:].partition("=")[0]: int(flag.partition("=")[2]) for flag in SMALL}
    task.write_text(
        yaml.safe_dump(
            base | small | {"runs_dir": str(folder / "swarm"), "env_options": {"frame_skip": 4}},
        ),
    )
    command = [
        sys.executable,
        "spawner.py",
        "--config",
        str(task),
        "--deployment",
        "tmux",
        "--env_bundle",
        "debug",
    ]
    command += [
        "--num_seeds",
        "2",
        "--num_workers",
        "1",
        "--swarms_dir",
        str(folder / "swarms"),
        "--deploy_now",
    ]
    done = subprocess.run(
        command,
        cwd=launch.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    def finished() -> bool:
        return len(list((folder / "swarm").glob("*/learning_curve.png"))) == 2

    wait_for(finished, seconds=120)
    subprocess.run(["tmux", "-L", TMUX_SOCKET, "kill-server"], check=True)
    for run in (folder / "swarm").iterdir():
        config = yaml.safe_load((run / "config.yaml").read_text())
        assert config["env_id"] == ID and json.loads(config["env_options"]) == {"frame_skip": 4}


def test_options_that_are_none_are_refused_before_jobs_are_written(folder) -> None:
    task = folder / "wrong.yaml"
    task.write_text(f"env_id: {ID}\nenv_options: {{traget: near}}\n")
    done = subprocess.run(
        [sys.executable, "spawner.py", "--config", str(task), "--swarms_dir", str(folder / "none")],
        cwd=launch.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "no option traget" in done.stderr
    assert not (folder / "none").exists()
