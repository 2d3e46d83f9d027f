"""Where skrl's metrics go, by the names that skrl gives."""

import json
from pathlib import Path

import pytest

from agents.algorithms import ALGORITHMS
from helpers.errors import ConfigurationError
from helpers.trackers.experiment_folder import experiment_folder


def config(algo="ddpg", **settings):
    return ALGORITHMS[algo](algo=algo, **settings)


@pytest.fixture
def run_folder(tmp_path):
    starts = [{"time": f"2022-01-0{day}T22:48:49.816281+00:00"} for day in (9, 8)]
    (tmp_path / "capsule.json").write_text(json.dumps({"starts": starts}))
    return tmp_path


def test_where_neither_is_given_it_is_the_run_folder(run_folder):
    assert experiment_folder(config(), run_folder) is None


@pytest.mark.parametrize(("algo", "name"), [("ddpg", "DDPG"), ("crossq", "CrossQ"), ("ppo", "PPO")])
def test_the_default_name_is_the_first_start_and_the_algorithm(run_folder, algo, name):
    found = experiment_folder(config(algo, experiment_directory="/tmp/a"), run_folder)
    assert found == Path(f"/tmp/a/22-01-09_22-48-49-816281_{name}")


def test_the_default_directory_is_runs(run_folder):
    assert experiment_folder(config(experiment_name="b"), run_folder) == Path("runs/b")
    both = config(experiment_name="b", experiment_directory="a/c")
    assert experiment_folder(both, run_folder) == Path("a/c/b")


@pytest.mark.parametrize("name", ["a/b", "../a", ".a", "-a", "a b", "a" * 201])
def test_a_name_that_is_no_plain_file_name_is_refused(name):
    with pytest.raises(ValueError, match="experiment_name"):
        config(experiment_name=name)


@pytest.mark.parametrize("interval", ["often", "2.5", "auto100", ""])
def test_an_interval_that_is_none_is_refused(interval):
    with pytest.raises((ValueError, ConfigurationError)):
        config(write_interval=interval)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 0),  # nobody looks
        ({"tensorboard": True}, 250),
        ({"experiment_directory": "a"}, 250),
        ({"experiment_name": "a"}, 250),
        ({"tensorboard": True, "write_interval": 40}, 40),
        ({"tensorboard": True, "write_interval": "auto"}, 70),
        ({"tensorboard": True, "write_interval": "auto", "num_timesteps": 5}, 1),
        ({"tensorboard": True, "write_interval": 0}, 0),
        ({"tensorboard": True, "write_interval": "-1"}, 0),
        ({"tensorboard": True, "task": "eval"}, 0),
    ],
)
def test_the_interval_in_steps(settings, expected):
    assert config(**({"num_timesteps": 7_099} | settings)).tracking_interval == expected
