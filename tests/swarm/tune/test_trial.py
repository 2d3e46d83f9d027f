"""A trial is a run: its process trains as main.py does, and takes over another trial's checkpoint exactly."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from agents.algorithms import SCHEMA
from helpers.checkpoints.manifests import list_checkpoints
from helpers.checkpoints.state_files import unpack
from helpers.config.schema import flag_of
from helpers.errors import CheckpointError
from helpers.trackers.jsonl import read_metrics
from swarm.tune.trial import run_folder
from swarm.tune.trial.channel import Listener
from swarm.tune.trial.run_folder import (
    Reference,
    generation_of,
    go_back,
    lineage_of,
    take_over,
    tidy,
)
from tests import launch

SETTINGS = {
    "algo": "ppo", "env_id": "CartPole-v1", "num_timesteps": 4096, "num_envs": 4, "rollout_len": 256,
    "batch_size": 64, "p_perception_stack": "mlp_8", "v_perception_stack": "mlp_8", "lr_schedule": "linear",
    "eval_frequency": 0, "save_frequency": 100, "keep_checkpoints": 0, "progress": "plain",
}  # fmt: skip


def flags(folder, name, **settings):
    values = SETTINGS | {"runs_dir": str(folder), "uuid": name} | settings
    return [flag_of(key, value) for key, value in values.items()]


class Process:
    """The process of a trial, asked as its actor asks it."""

    def __init__(self):
        self.listener = Listener()
        words = [sys.executable, "tuner.py", "trial", self.listener.address]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            words,
            cwd=launch.ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        while not self.listener.accept():
            assert self.process.poll() is None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        assert self.process.wait(20) == 0

    def ask(self, **command):
        answer = self.listener.ask(command)
        assert answer is not None and "problem" not in answer, answer
        return answer


def learned(folder):
    """What a run has logged, without what its machine did."""
    rows = read_metrics(folder / "metrics.jsonl")
    return [
        {name: each for name, each in row.items() if not name.startswith("time/")} for row in rows
    ]


def weights(checkpoint):
    return unpack(bytearray((checkpoint / "shared.safetensors").read_bytes()))["agent"][
        "parameters"
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Of one process: `donor`, trained to its end; `trial`, which took over iteration 6 of it with other settings."""
    folder = tmp_path_factory.mktemp("trials")
    with Process() as process:
        for name, seed in (("donor.seed00", 0), ("trial.seed01", 1)):
            assert process.ask(open=flags(folder, name, seed=seed))["iteration"] == 0
            for _ in range(3):
                rows = process.ask(train=2)["rows"]
                assert len(rows) == 2
            process.ask(save=True)
        process.ask(open=flags(folder, "donor.seed00", seed=0))
        while not process.ask(train=4)["done"]:
            pass
        process.ask(close=True)
        others = {"seed": 1, "clip_ratio": 0.1, "rollout_len": 512}
        config = SCHEMA.parse_command_line(flags(folder, "trial.seed01", **others)).config
        donor = Reference("t0", str(folder / "donor.seed00"), 0, 6)
        before, after = {"clip_ratio": 0.2}, {"clip_ratio": 0.1}
        take_over(folder / "trial.seed01", donor, config, before=before, after=after, trial="t1")
        shutil.copytree(folder / "trial.seed01", folder / "taken", symlinks=True)
        opened = process.ask(open=flags(folder, "trial.seed01", **others))
        assert opened["iteration"] == 6
        rows = process.ask(train=2)["rows"]
        assert [row["step"] for row in rows] == [6 * 256 + 512, 6 * 256 + 1024]
        process.ask(save=True)
    return folder


def test_a_trial_learns_what_main_learns(runs, tmp_path):
    done = launch.run(flags(tmp_path, "donor.seed00", seed=0))
    assert done.returncode == 0, done.stderr
    assert learned(runs / "donor.seed00") == learned(tmp_path / "donor.seed00")


def test_what_is_taken_over_is_the_donor_s_weights_and_history(runs):
    donor, taken, trial = runs / "donor.seed00", runs / "taken", runs / "trial.seed01"
    theirs, mine = (weights(each / "checkpoints" / "iter_000006") for each in (donor, taken))
    assert (
        all(np.array_equal(mine[name], theirs[name]) for name in theirs)
        and mine.keys() == theirs.keys()
    )
    (row,) = lineage_of(trial)
    manifest = json.loads((donor / "checkpoints" / "iter_000006" / "manifest.json").read_text())
    assert row["shared_sha256"] == manifest["files"]["shared.safetensors"]["sha256"]
    assert (row["donor"], row["iteration"], row["before"], row["after"]) == (
        "t0", 6, {"clip_ratio": 0.2}, {"clip_ratio": 0.1},
    )  # fmt: skip
    assert learned(trial)[:6] == learned(donor)[:6] and [
        row["iteration"] for row in learned(trial)
    ] == list(range(1, 9))
    assert SCHEMA.load_config(trial / "config.yaml").model_dump()["clip_ratio"] == 0.1


def test_the_linear_schedule_goes_on_by_steps_not_by_iterations(runs):
    for row in read_metrics(runs / "trial.seed01" / "metrics.jsonl")[6:]:
        begun = row["step"] - 512
        assert row["update/policy_step_size"] == pytest.approx(3e-4 * (1 - begun / 4096))


def test_what_a_trial_was_before_stays_whole_and_can_be_referred_to(runs):
    trial = runs / "trial.seed01"
    assert generation_of(trial) == 1
    before = Reference("t1", str(trial), 0, 6)
    assert (
        before.home == trial / "lineage" / "000" and (before.checkpoint / "manifest.json").exists()
    )
    assert SCHEMA.load_config(before.home / "config.yaml").model_dump()["clip_ratio"] == 0.2
    now = Reference("t1", str(trial), 1, 8)
    assert now.checkpoint == trial / "checkpoints" / "iter_000008" and now.checkpoint.exists()


def copied(runs, tmp_path):
    for name in ("donor.seed00", "trial.seed01"):
        shutil.copytree(runs / name, tmp_path / name, symlinks=True)
    return tmp_path / "trial.seed01", Reference("t0", str(tmp_path / "donor.seed00"), 0, 6)


def content(folder):
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_death_at_any_moment_of_a_take_over_leaves_one_or_the_other(runs, tmp_path, monkeypatch):
    config = SCHEMA.load_config(runs / "trial.seed01" / "config.yaml")
    trial, donor = copied(runs, tmp_path / "whole")
    before = content(trial)
    own = {"before": {"clip_ratio": 0.1}, "after": {"clip_ratio": 0.1}, "trial": "t1"}
    take_over(trial, donor, config, **own)
    whole = {name: each for name, each in content(trial).items() if "lineage.jsonl" not in name}
    for moment in range(40):
        place = tmp_path / f"death{moment}"
        trial, donor = copied(runs, place)
        calls = iter(range(1000))

        def dies(name, place=place, moment=moment, calls=calls):
            real = getattr(os, name)

            def call(*arguments, **named):
                if next(calls) >= moment:
                    raise KeyboardInterrupt
                return real(*arguments, **named)

            return call

        with monkeypatch.context() as patched:
            for name in ("rename", "replace", "link", "symlink"):
                patched.setattr(os, name, dies(name))
            try:
                take_over(trial, donor, config, **own)
                ended = True
            except KeyboardInterrupt:
                ended = False
        tidy(trial)
        found = content(trial)
        is_old = found == before
        is_new = {
            name: each for name, each in found.items() if "lineage.jsonl" not in name
        } == whole
        assert is_old or (is_new and generation_of(trial) == 2), moment
        shutil.rmtree(place)
        if ended:
            break
    assert ended and moment > 5


def test_going_back_drops_what_is_done_again(runs, tmp_path):
    trial, _ = copied(runs, tmp_path)
    assert [number for number, _ in list_checkpoints(trial / "checkpoints")] == [8, 6]
    go_back(trial, 6)
    assert [number for number, _ in list_checkpoints(trial / "checkpoints")] == [6]
    assert (trial / "checkpoints" / "latest").resolve().name == "iter_000006"
    with pytest.raises(CheckpointError, match="has no checkpoint of iteration 7"):
        go_back(trial, 7)


def test_a_donor_whose_checkpoint_was_altered_is_refused(runs, tmp_path):
    trial, donor = copied(runs, tmp_path)
    (donor.checkpoint / "manifest.json").write_text("{}")
    config = SCHEMA.load_config(trial / "config.yaml")
    with pytest.raises(CheckpointError, match="cannot be taken over"):
        take_over(trial, donor, config, before={}, after={}, trial="t1")
    assert generation_of(trial) == 1 and (trial / run_folder.METRICS).exists()
