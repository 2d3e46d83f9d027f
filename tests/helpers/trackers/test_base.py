"""The fan-out: metrics.jsonl is the truth, everything else may fail."""

import os
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.errors import ConfigurationError, StorageError
from helpers.trackers import tensorboard
from helpers.trackers.base import Trackers, make_trackers
from helpers.trackers.jsonl import MetricsLog, read_metrics
from helpers.trackers.wandb.tracker import mode_of

ROW = {"iteration": 1, "step": 100, "loss": 0.5}


def settings(**changes):
    values: dict[str, Any] = {
        "tensorboard": False,
        "mlflow": False,
        "wandb_mode": None,
        "wandb_project": None,
        "wandb_entity": None,
    }
    values |= {"tracking_interval": 0, "experiment_directory": None, "experiment_name": None}
    values |= changes
    return SimpleNamespace(**values, model_dump=lambda: values)


class Sink:
    name = "sink"

    def __init__(self, failing=()):
        self.calls = []
        self.failing = failing

    def _take(self, call):
        self.calls.append(call)
        if call in self.failing:
            raise OSError(28, "No space left on device")

    def log(self, row):
        self._take("log")

    def upload(self, run_folder, files):
        self._take("upload")

    def close(self, exit_code):
        self._take("close")


def make(tmp_path, config, **changes):
    said = []
    arguments = {"is_root": True, "resume_after": None, "run_name": "a.seed01", "group": "a"}
    trackers = make_trackers(config, tmp_path, **arguments | changes, print=said.append)
    return trackers, said


@pytest.mark.parametrize("failing", ["log", "upload", "close"])
def test_a_failing_tracker_is_dropped_with_one_line_and_the_others_go_on(tmp_path, failing):
    said, bad, good = [], Sink([failing]), Sink()
    log = MetricsLog(tmp_path / "metrics.jsonl", resume_after=None)
    trackers = Trackers(log, [bad, good], print=said.append)
    trackers.log(ROW)
    trackers.log(ROW | {"iteration": 2})
    trackers.upload(tmp_path, ["config.yaml"])
    trackers.close(0)
    assert said == ["sink: [Errno 28] No space left on device; the run continues without it"]
    assert good.calls == ["log", "log", "upload", "close"]
    assert bad.calls[-1] == failing
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 2


def test_metrics_that_cannot_be_written_end_the_run(tmp_path):
    log, sink = MetricsLog(tmp_path / "metrics.jsonl", resume_after=None), Sink()
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, log._file)
    os.close(full)
    with pytest.raises(StorageError):
        Trackers(log, [sink]).log(ROW)
    assert sink.calls == []


def test_other_workers_write_nothing(tmp_path):
    config = settings(tensorboard=True, wandb_mode="offline")
    trackers, said = make(tmp_path, config, is_root=False)
    trackers.log(ROW)
    trackers.sync()
    trackers.upload(tmp_path, ["config.yaml"])
    trackers.close(0)
    assert list(tmp_path.iterdir()) == [] and said == []


def test_the_configuration_chooses(tmp_path):
    trackers, _ = make(tmp_path, settings(tensorboard=True))
    trackers.log(ROW)
    trackers.close(0)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"metrics.jsonl", "events.out.tfevents.milozero"}


def test_a_resumed_run_purges_tensorboard_from_the_kept_step_on(tmp_path, monkeypatch):
    trackers, _ = make(tmp_path, settings())
    for iteration in (1, 2, 3):
        trackers.log({"iteration": iteration, "step": iteration * 100})
    trackers.close(0)
    seen = []

    def make_tracker(config, session):
        seen.append(session.resume_step)
        return Sink()

    monkeypatch.setattr(tensorboard, "make_tracker", make_tracker)
    make(tmp_path, settings(tensorboard=True), resume_after=2)
    make(tmp_path, settings(tensorboard=True), resume_after=0)
    make(tmp_path, settings(tensorboard=True))
    assert seen == [200, 0, None]


def scalars_in(folder, tag):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return (
        [(e.step, e.value) for e in events.Scalars(tag)] if tag in events.Tags()["scalars"] else []
    )


def test_scalars_lie_beside_the_rows_or_where_the_experiment_is(tmp_path):
    named = {"experiment_directory": str(tmp_path / "runs"), "experiment_name": "mine"}
    for folder, changes in (("a", {}), ("b", named)):
        (tmp_path / folder).mkdir()
        config = settings(tensorboard=True, tracking_interval=250, **changes)
        trackers, said = make(tmp_path / folder, config)
        trackers.scalars({"Loss / Critic loss": 2.5}, 250)
        trackers.log(ROW)
        trackers.close(0)
        assert not said
    a, b, mine = tmp_path / "a", tmp_path / "b", tmp_path / "runs" / "mine"
    assert scalars_in(mine, "Loss / Critic loss") == [(250, 2.5)]
    assert scalars_in(a, tensorboard.GROUP + "Loss / Critic loss") == [(250, 2.5)]
    assert scalars_in(b, "Loss / Critic loss") == scalars_in(mine, "loss") == []
    assert scalars_in(a, "loss") == scalars_in(b, "loss") == [(100, 0.5)]


def test_where_nothing_is_tracked_no_experiment_is_made(tmp_path):
    config = settings(experiment_directory=str(tmp_path / "runs"), experiment_name="mine")
    trackers, _ = make(tmp_path, config)
    trackers.scalars({"a": 1.0}, 1)
    assert not (tmp_path / "runs").exists()


def test_an_experiment_goes_on_in_its_file_and_is_refused_to_another_run(tmp_path):
    config = settings(
        experiment_directory=str(tmp_path / "runs"),
        experiment_name="mine",
        tracking_interval=250,
    )
    trackers, _ = make(tmp_path, config)
    for step in (250, 500, 750):
        trackers.scalars({"a": float(step)}, step)
    trackers.log({"iteration": 1, "step": 600})
    trackers.close(0)
    trackers, _ = make(tmp_path, config, resume_after=1)
    trackers.scalars({"a": 0.5}, 1000)
    trackers.close(0)
    assert scalars_in(tmp_path / "runs" / "mine", "a") == [(250, 250), (500, 500), (1000, 0.5)]
    with pytest.raises(ConfigurationError, match="another run") as refused:
        make(tmp_path, config, run_name="b.seed01")
    assert "--experiment_name" in refused.value.remedy


def test_an_experiment_that_cannot_be_written_is_left_out(tmp_path):
    (tmp_path / "runs").write_text("a file")
    config = settings(
        experiment_directory=str(tmp_path / "runs"),
        experiment_name="mine",
        tracking_interval=250,
    )
    trackers, said = make(tmp_path, config)
    trackers.scalars({"a": 1.0}, 250)
    trackers.log(ROW)
    assert len(said) == 1 and "--experiment_directory" in said[0]


def test_a_tracker_that_cannot_start_is_left_out(tmp_path):
    (tmp_path / "events.out.tfevents.milozero").mkdir()
    trackers, said = make(tmp_path, settings(tensorboard=True))
    trackers.log(ROW)
    assert len(said) == 1 and said[0].startswith("tensorboard:")


@pytest.mark.parametrize(
    ("changes", "mode"),
    [
        ({}, "disabled"),
        ({"wandb_project": "p"}, "online"),
        ({"wandb_entity": "e"}, "online"),
        ({"wandb_project": "p", "wandb_mode": "disabled"}, "disabled"),
        ({"wandb_mode": "offline"}, "offline"),
    ],
)
def test_naming_a_project_turns_wandb_on(changes, mode):
    assert mode_of(settings(**changes)) == mode
