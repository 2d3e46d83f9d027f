"""Files for sharing: when they are written, what they hold, and that an interrupted run leaves the same ones."""

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch

from agents.weights.load import load_agent
from helpers.checkpoints.policy_files import PolicyFiles, interval_of
from helpers.checkpoints.resolve import read_shared
from helpers.errors import ConfigurationError, StorageError
from helpers.parallel.workers import Workers
from main import build_agent
from tests import launch
from tests.agents.builders import small_config

PPO = [
    "--env_id=Pendulum",
    "--num_envs=4",
    "--rollout_len=64",
    "--batch_size=32",
    "--eval_frequency=0",
]
SAC = [
    *(
        "--algo=sac",
        "--env_id=Pendulum",
        "--num_envs=2",
        "--rollout_len=4",
        "--steps_per_iteration=40",
    ),
    *(
        "--batch_size=8",
        "--learning_starts=60",
        "--mem_size=200",
        "--no-compile",
        "--eval_frequency=0",
    ),
    *("--p_perception_stack=mlp_8", "--q_perception_stack=mlp_8", "--updates_per_step=0.5"),
]


def train(folder, name, flags, *, workers=1):
    flags = [*flags, f"--runs_dir={folder}", f"--uuid={name}.seed0", "--progress=none"]
    done = launch.run(flags, workers=workers)
    assert done.returncode in (0, 75), done.stderr
    return folder / f"{name}.seed0", done


def files(run):
    """Name and content of each."""
    return {path.name: path.read_bytes() for path in (run / "checkpoints").glob("*.pt")}


def steps(run):
    return sorted(int(name.split("_")[0]) for name in files(run))


class Recorder:
    """What would be written, and when."""

    def __init__(self, folder, config, *, is_root=True):
        workers = Workers.solo()
        workers.rank = 0 if is_root else 1
        self.files = PolicyFiles(folder, config=config, workers=workers)
        self.folder = folder

    def run(self, count, end):
        """Steps at which files are written, in calls of `count` steps."""
        models = {
            name: SimpleNamespace(state_dict=lambda: {"x": torch.zeros(1)})
            for name in ("policy", "critic")
        }
        agent = SimpleNamespace(models=lambda: models)
        for step in range(count, end + 1, count):
            self.files.write_if_due(step, agent, since=count, is_last=step == end)
        return sorted(int(path.name.split("_")[0]) for path in self.folder.glob("*_policy.pt"))


@pytest.mark.parametrize(
    ("interval", "count", "end", "wanted"),
    [
        ("10", 5, 30, [10, 20, 30]),
        ("10", 4, 34 // 4 * 4, [12, 20, 32]),  # the first moment at or after each multiple, once
        ("3", 8, 24, [8, 16, 24]),
        ("10", 5, 25, [10, 20, 25]),  # and the last
        ("1000", 8, 16, [16]),
        ("0", 5, 30, []),
        ("-4", 5, 30, []),
        ("auto", 10, 10_000, list(range(1000, 10_001, 1000))),
    ],
)
def test_when_files_are_due(interval, count, end, wanted, tmp_path):
    config = small_config("ppo", checkpoint_interval=interval)
    assert Recorder(tmp_path, config).run(count, end) == wanted


def test_a_short_run_of_auto_and_other_workers(tmp_path):
    assert interval_of(small_config("ppo", checkpoint_interval="auto", num_timesteps=3)) == 1
    assert interval_of(small_config("ppo")) == 0
    assert interval_of(small_config("ppo", experiment_name="a", num_timesteps=500)) == 50
    assert interval_of(small_config("ppo", experiment_directory="a", num_timesteps=500)) == 50
    assert interval_of(small_config("ppo", experiment_name="a", checkpoint_interval="-1")) == 0
    config = small_config("ppo", checkpoint_interval="1")
    assert Recorder(tmp_path, config, is_root=False).run(1, 5) == []


def test_the_policy_only_or_every_model(tmp_path):
    Recorder(tmp_path, small_config("ppo", checkpoint_interval="5")).run(5, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["5_policy.pt"]
    Recorder(
        tmp_path,
        small_config("ppo", checkpoint_interval="5", checkpoint_policy_only=False),
    ).run(5, 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["5_critic.pt", "5_policy.pt"]


def test_what_a_dead_process_left_is_removed_and_a_full_disk_is_said(tmp_path, monkeypatch):
    (tmp_path / ".5_policy.pt.x1y2").write_bytes(b"half")
    recorder = Recorder(tmp_path, small_config("ppo", checkpoint_interval="5"))
    assert not list(tmp_path.iterdir())

    def full(path, content, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("helpers.checkpoints.policy_files.write_atomically", full)
    with pytest.raises(StorageError, match="No space left") as caught:
        recorder.run(5, 5)
    assert len(str(caught.value).splitlines()) == 2


def test_files_are_on_the_disk_before_the_checkpoint_that_a_run_goes_on_from(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("helpers.checkpoints.policy_files.sync_file", synced.append)
    monkeypatch.setattr("helpers.checkpoints.policy_files.sync_folder", synced.append)
    recorder = Recorder(tmp_path, small_config("ppo", checkpoint_interval="5"))
    recorder.run(5, 10)
    assert synced == []
    recorder.files.sync()
    assert synced == [tmp_path / "5_policy.pt", tmp_path / "10_policy.pt", tmp_path]
    recorder.files.sync()
    assert len(synced) == 3


@pytest.mark.parametrize("value", ["often", "1.5", "autos"])
def test_an_interval_that_is_none_is_refused(value):
    from agents.algorithms import SCHEMA

    with pytest.raises(ConfigurationError, match="checkpoint_interval"):
        SCHEMA.parse_command_line([f"--checkpoint_interval={value}"])


def test_ppos_files_and_its_resumable_checkpoints_leave_each_other_alone(tmp_path):
    flags = [*PPO, "--num_timesteps=320", "--checkpoint_interval=128", "--save_frequency=1"]
    run, _ = train(tmp_path, "ppo", [*flags, "--no-checkpoint_policy_only", "--keep_checkpoints=2"])
    assert sorted(files(run)) == sorted(
        f"{step}_{name}.pt" for step in (128, 256, 320) for name in ("policy", "value")
    )
    assert sorted(path.name for path in (run / "checkpoints").glob("iter_*")) == [
        "iter_000004",
        "iter_000005",
    ]
    observations = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    for name, model in load_agent(run, iter_num="latest").models().items():
        last = model(observations)
        model.load(run / "checkpoints" / f"128_{name}.pt")
        assert not torch.equal(model(observations), last)
        model.load(run / "checkpoints" / f"320_{name}.pt")
        assert torch.equal(model(observations), last)
    verified = launch.run(["--task=verify_resume", f"--model_path={run}"])
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_was_killed_again_and_again_leaves_the_files_of_one_that_was_not(
    workers,
    tmp_path,
):
    flags = [*SAC, "--num_timesteps=400", "--checkpoint_interval=30", "--save_frequency=2"]
    flags += ["--no-checkpoint_policy_only"]
    whole, _ = train(tmp_path, "whole", flags, workers=workers)
    assert steps(whole)[::5] == [32, 60, 92, 120, 152, 180, 212, 240, 272, 300, 332, 360, 392, 400]
    killed = [*flags, f"--runs_dir={tmp_path}", "--uuid=killed.seed0", "--progress=none"]
    for rows, how in ((3, "kill all"), (6, "kill one" if workers > 1 else "USR1")):
        process = launch.start(killed, workers=workers)
        launch.wait_for_rows(tmp_path / "killed.seed0", rows, process)
        if process.poll() is None:
            launch.interrupt(process, how)
    resumed, done = train(tmp_path, "killed", flags, workers=workers)
    assert "resumed after iteration" in done.stdout
    assert files(resumed) == files(whole)
    model = load_agent(resumed, iter_num="latest").models()["policy"]
    assert torch.equal(model.action_half, torch.tensor([2.0]))


@pytest.mark.parametrize("algo", ["ppo", "sac", "td3", "ddpg", "dqn", "crossq"])
def test_a_run_folder_gives_the_policy_of_its_agent(algo, tmp_path):
    """From the folder alone, equal to what --task=eval acts by."""
    from environments.factory import make_vector_env
    from helpers.checkpoints.resolve import read_shared, resolve_checkpoint
    from helpers.seeding import Streams

    flags = PPO if algo == "ppo" else [*SAC[1:], f"--algo={algo}"]
    if algo == "dqn":
        flags = [flag.replace("Pendulum", "CartPole") for flag in flags]
    run, _ = train(
        tmp_path,
        algo,
        [*flags, "--batch_norm_all", "--num_timesteps=160", "--checkpoint_interval=auto"],
    )
    loaded = load_agent(run, iter_num="latest")
    from agents.algorithms import SCHEMA

    config = SCHEMA.load_config(run / "config.yaml")
    environment = make_vector_env(config.env_id, seeds=[0, 1])
    agent = build_agent(
        config,
        environment,
        Workers.solo(),
        streams=Streams(0),
        environments=slice(0, config.num_envs),
    )
    agent.load_state_dict(read_shared(resolve_checkpoint(run, "latest"))[1]["agent"])
    space = environment.single_observation_space
    assert isinstance(space, gymnasium.spaces.Box)
    observations = np.random.default_rng(0).normal(0.0, 2.0, (40, *space.shape)).astype(np.float32)
    theirs, _ = agent.predict(observations, explore=False)
    np.testing.assert_array_equal(loaded.predict(observations, explore=False)[0], theirs)
    last = max((run / "checkpoints").glob("*.pt"), key=lambda path: int(path.name.split("_")[0]))
    model = next(iter(loaded.models().values())).load(last)
    with torch.no_grad():
        ours = model(torch.from_numpy(observations)).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_bounds_lie_in_a_checkpoint_and_those_that_are_nowhere_are_asked_for(tmp_path, monkeypatch):
    run, _ = train(tmp_path, "sac", [*SAC, "--num_timesteps=40"])
    assert not files(run)
    found = load_agent(run, iter_num="latest").models()["policy"]
    assert (found.action_center.tolist(), found.action_half.tolist()) == ([0.0], [2.0])

    def as_an_older_version_wrote_it(path):
        number, shared, manifest = read_shared(path)
        del shared["agent"]["actions"]
        return number, shared, manifest

    monkeypatch.setattr("agents.weights.load.read_shared", as_an_older_version_wrote_it)
    with pytest.raises(ConfigurationError, match="does not contain the action bounds"):
        load_agent(run, iter_num="latest")
    model = load_agent(run, iter_num="latest", bounds=([-2.0], [2.0])).models()["policy"]
    assert model(torch.zeros(1, 3)).shape == (1, 1)
