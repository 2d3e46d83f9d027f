"""The curve of a run folder, in every state that a run leaves one in."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from helpers.errors import ConfigurationError
from helpers.run_folder import run_lock
from reports.series import read_series, run_folders
from tests.reports.stage import COMMIT, make_run


def test_a_run_that_ended(tmp_path):
    folder = make_run(
        tmp_path,
        "words.ppo.seed03",
        [1.0, 2.0, 3.0],
        settings={"p_lr": 1e-5},
        rows=6,
    )
    run = read_series(folder)
    assert (run.name, run.group, run.seed) == ("words.ppo.seed03", "words.ppo", 3)
    assert (run.task, run.algorithm, run.source) == ("CartPole-v1", "ppo", "evaluation")
    assert run.steps.tolist() == [2048, 4096, 6144] and run.steps.dtype == np.int64
    assert run.returns.tolist() == [1.0, 2.0, 3.0] and run.seconds.tolist() == [1.0, 2.0, 3.0]
    assert (run.state, run.final, run.final_seconds, run.last_step) == ("done", 3.0, 3.0, 6144)
    assert float(str(run.settings["p_lr"])) == 1e-5 and run.facts["code"]["commit"] == COMMIT
    assert run_folders(tmp_path) == [folder]


def test_training_returns_where_there_is_no_evaluation(tmp_path):
    key = "rollout/return_mean"
    folder = make_run(tmp_path, "words.seed00", [None, 5.0, None, 7.0], key=key)
    run = read_series(folder)
    assert run.source == "training" and run.returns.tolist() == [5.0, 7.0]
    assert len(read_series(folder, "evaluation").returns) == 0


def test_a_file_that_was_cut_and_damaged(tmp_path):
    """A last line without its end is of a run that still writes; what is broken in the middle is counted."""
    folder = make_run(tmp_path, "words.seed00", [1.0, 2.0, 3.0])
    path = folder / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:40] + b"\n" + lines[2] + lines[2][:30])
    run = read_series(folder)
    assert run.returns.tolist() == [1.0, 3.0] and run.torn == 1 and run.state == "done"


def test_rows_written_twice_count_once(tmp_path):
    folder = make_run(tmp_path, "words.seed00", [1.0, 2.0])
    path = folder / "metrics.jsonl"
    again = json.loads(path.read_bytes().splitlines()[1]) | {"eval/return_mean": 9.0}
    path.write_text(path.read_text() + json.dumps(again) + "\n")
    assert read_series(folder).returns.tolist() == [1.0, 9.0]


@pytest.mark.parametrize(
    ("returns", "kept", "state"),
    [
        ([1.0, float("nan"), 3.0], [1.0, 3.0], "done"),
        ([1.0, 2.0, float("nan")], [1.0, 2.0], "diverged"),
        ([float("inf")] * 2, [], "diverged"),
    ],
)
def test_returns_that_are_not_finite(tmp_path, returns, kept, state):
    run = read_series(make_run(tmp_path, "words.seed00", returns))
    assert run.returns.tolist() == kept and run.state == state
    assert run.not_finite == len(returns) - len(kept)


@pytest.mark.parametrize(
    ("trace", "state"),
    [
        ("helpers.errors.NumericalError: The loss is not finite.\nLower --p_lr.", "diverged"),
        ("Traceback\nZeroDivisionError: division by zero", "failed"),
    ],
)
def test_a_run_that_failed_says_why(tmp_path, trace, state):
    folder = make_run(tmp_path, "words.seed00", [1.0], ends=False, settings={"num_timesteps": 9999})
    crash = folder / "crash_worker_000.txt"
    crash.write_text(trace)
    later = (folder / "metrics.jsonl").stat().st_mtime + 5
    os.utime(crash, (later, later))
    run = read_series(folder)
    assert run.state == state and run.reason.split(":")[0] in trace
    os.utime(folder / "metrics.jsonl", (later + 5, later + 5))  # it was resumed, and went on
    assert read_series(folder).state == "stopped"


def test_a_run_that_is_trained_now(tmp_path):
    folder = make_run(tmp_path, "words.seed00", [1.0], ends=False)
    run_lock.take(folder)
    assert read_series(folder).state == "running"
    run_lock.release(folder)
    assert read_series(folder).state == "stopped"


def test_a_run_without_metrics_and_a_folder_that_is_none(tmp_path):
    folder = make_run(tmp_path, "words.seed00", [1.0])
    (folder / "metrics.jsonl").unlink()
    run = read_series(folder)
    assert run.state == "missing" and run.final is None and run.final_seconds is None
    with pytest.raises(ConfigurationError, match=r"config\.yaml cannot be read"):
        read_series(tmp_path)
