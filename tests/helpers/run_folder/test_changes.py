"""What a capsule keeps of the files that a run reads, what it refuses, and what it only tells."""

from __future__ import annotations

import json

import pytest

from agents.on_policy.config import PPOConfig
from helpers.errors import ConfigurationError
from helpers.run_folder.changes import (
    Start,
    changed_keys,
    changes_since,
    last_change,
    changes_in_words,
)
from helpers.run_folder.experiment import ExperimentInitializer
from helpers.run_folder.inputs import (
    DEMONSTRATIONS,
    EXPERT,
    INIT,
    MODEL,
    REGISTERED,
    REPLAY,
    TASK,
    Input,
    read_inputs,
)
from tests.helpers.run_folder.test_experiment import StandInWorkers


def of(role: str, **contents: str) -> list[Input]:
    """Files by name, `_` for the dot."""
    return [
        Input(role, name.replace("_", "."), "/x", len(text), f"{text:0<64}", text)
        for name, text in contents.items()
    ]


def open_run(folder, inputs, *, iteration=3, overridden=(), **settings) -> ExperimentInitializer:
    config = PPOConfig(runs_dir=str(folder), uuid="some_name.seed02", **settings)
    start = Start(inputs, iteration, frozenset(overridden))
    return ExperimentInitializer(config, StandInWorkers(), start=start)


def capsule(folder):
    return json.loads((folder / "some_name.seed02" / "capsule.json").read_text())


@pytest.mark.parametrize("role", [TASK, MODEL, DEMONSTRATIONS, EXPERT])
@pytest.mark.parametrize("now", [{"a_py": "two"}, {}, {"a_py": "one", "b_py": "new"}])
def test_a_change_is_refused_and_nothing_is_written(tmp_path, role, now):
    open_run(tmp_path, of(role, a_py="one"), iteration=None)
    before = capsule(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        open_run(tmp_path, of(role, **now))
    assert str(caught.value).count("\n") == 1
    assert ("b.py" if "b_py" in now else "a.py") in caught.value.problem
    assert "--accept_changes" in caught.value.remedy
    assert capsule(tmp_path) == before
    open_run(tmp_path, of(role, a_py="one"))  # not locked, and nothing has changed


def test_an_accepted_change_is_recorded_once(tmp_path):
    open_run(tmp_path, of(TASK, a_py="one"), iteration=None)
    run = open_run(tmp_path, of(TASK, a_py="two"), accept_changes=True)
    assert any("a.py" in line for line in run.warnings)
    for _ in range(2):
        open_run(tmp_path, of(TASK, a_py="two"), iteration=7)
    (change,) = capsule(tmp_path)["changes"]
    assert (change["name"], change["iteration"]) == ("a.py", 3)
    assert "-one" in change["difference"] and "+two" in change["difference"]
    folder = tmp_path / "some_name.seed02"
    assert changes_in_words(folder) == ["changed after iteration 3: a.py"]
    assert last_change(folder) == 3 and not changed_keys(folder)
    assert not changes_since(folder, of(TASK, a_py="two"))
    assert [each.name for each in changes_since(folder, of(TASK, a_py="one"))] == ["a.py"]


@pytest.mark.parametrize("role", [REPLAY, REGISTERED, INIT])
def test_what_is_read_once_is_told_and_refuses_nothing(tmp_path, role):
    open_run(tmp_path, of(role, a_py="one"), iteration=None)
    run = open_run(tmp_path, of(role, a_py="two"))
    assert any("a.py" in line for line in run.warnings)
    assert not open_run(tmp_path, []).warnings  # gone: it is needed no more


def test_a_renamed_file_is_the_same_but_not_where_order_counts(tmp_path):
    open_run(
        tmp_path,
        [*of(TASK, a_py="one"), *of(DEMONSTRATIONS, a_h5="1", b_h5="2")],
        iteration=None,
    )
    open_run(tmp_path, [*of(TASK, c_py="one"), *of(DEMONSTRATIONS, a_h5="1", c_h5="2")])
    with pytest.raises(ConfigurationError, match=r"a\.h5"):
        open_run(tmp_path, [*of(TASK, a_py="one"), *of(DEMONSTRATIONS, a_h5="2", b_h5="1")])


def test_a_run_without_hashes_goes_on_with_one_line(tmp_path):
    open_run(tmp_path, None, iteration=None)
    assert "inputs" not in capsule(tmp_path)
    lines = open_run(tmp_path, of(TASK, a_py="one")).warnings
    assert [line for line in lines if "nothing is known" in line]
    with pytest.raises(ConfigurationError):
        open_run(tmp_path, of(TASK, a_py="two"))


def test_before_its_first_checkpoint_a_run_begins_with_what_is_there(tmp_path):
    open_run(tmp_path, of(TASK, a_py="one"), iteration=None)
    assert not open_run(tmp_path, of(TASK, a_py="two"), iteration=None).warnings
    assert capsule(tmp_path)["inputs"][0]["text"] == "two"


def test_more_steps_where_no_schedule_forbids(tmp_path):
    steps = {"num_timesteps": 2048, "lr_schedule": "constant"}
    open_run(tmp_path, [], iteration=None, **steps)
    run = open_run(tmp_path, [], **{**steps, "num_timesteps": 4096})
    assert run.changed == {"num_timesteps"}
    with pytest.raises(ConfigurationError, match="num_timesteps is 4096 there, 2048 here"):
        open_run(tmp_path, [], **steps)


def test_more_steps_are_refused_by_the_name_of_the_schedule(tmp_path):
    open_run(tmp_path, [], iteration=None, num_timesteps=2048)
    with pytest.raises(ConfigurationError, match="lr_schedule=linear") as caught:
        open_run(tmp_path, [], num_timesteps=4096)
    assert "--override='num_timesteps=4096'" in caught.value.remedy
    run = open_run(tmp_path, [], num_timesteps=4096, overridden=["num_timesteps"])
    assert run.changed == {"num_timesteps"}


def test_overridden_settings_are_recorded(tmp_path):
    open_run(tmp_path, [], iteration=None)
    with pytest.raises(ConfigurationError, match="p_lr"):
        open_run(tmp_path, [], p_lr=1e-4)
    run = open_run(tmp_path, [], p_lr=1e-4, overridden=["p_lr"])
    assert run.changed == {"p_lr"} and any("p_lr" in line for line in run.warnings)
    assert changes_in_words(run.folder) == ["changed after iteration 3: p_lr 0.0003 -> 0.0001"]
    (change,) = capsule(tmp_path)["changes"]
    assert (change["before"], change["after"]) == (3e-4, 1e-4)
    assert not open_run(tmp_path, [], p_lr=1e-4, overridden=["p_lr"]).warnings


def test_nothing_is_overridden_before_there_is_a_run(tmp_path):
    with pytest.raises(ConfigurationError, match="there is none"):
        open_run(tmp_path, [], p_lr=1e-4, overridden=["p_lr"], override="p_lr=1e-4", iteration=None)
    assert not (tmp_path / "some_name.seed02").exists()


def test_a_large_file_is_hashed_whole(tmp_path):
    path = tmp_path / "large.h5"
    path.write_bytes(bytes(1 << 22))
    (before,) = read_inputs(DEMONSTRATIONS, [path], tmp_path)
    stat = path.stat()
    with path.open("r+b") as file:
        file.seek(1 << 21)
        file.write(b"x")
    import os

    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (after,) = read_inputs(DEMONSTRATIONS, [path], tmp_path)
    assert (before.bytes, after.bytes) == (1 << 22, 1 << 22) and before.sha256 != after.sha256
    assert before.text is None
