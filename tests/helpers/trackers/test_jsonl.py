"""metrics.jsonl: exact, append-only, and after a resume what an uninterrupted run would have written."""

import math
import os
from typing import Any

import numpy as np
import pytest

from helpers.errors import StorageError
from helpers.trackers.jsonl import MetricsLog, bits_of, read_metrics


def write(path, iterations, *, resume_after=None):
    log = MetricsLog(path, resume_after=resume_after)
    for iteration in iterations:
        log.log({"iteration": iteration, "step": 100 * iteration, "loss": 1.0 / iteration})
    log.close()


def test_numbers_read_back_exactly(tmp_path):
    values: list[Any] = [
        0.1,
        1e-323,
        1 / 3,
        1.7976931348623157e308,
        -0.0,
        math.inf,
        -math.inf,
        None,
        "text",
    ]
    values += [np.float32(0.1), np.float64(0.1), np.int64(2**62), 3]
    log = MetricsLog(tmp_path / "metrics.jsonl", resume_after=None)
    log.log({"iteration": 1, "step": 2, **{f"v{i}": value for i, value in enumerate(values)}})
    log.log({"iteration": 2, "step": 4, "loss": math.nan})
    first, second = read_metrics(tmp_path / "metrics.jsonl")
    assert [first[f"v{i}"] for i in range(len(values))] == values
    assert math.isnan(second["loss"])


def test_a_row_is_there_once_logged(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl", resume_after=None)
    log.log({"iteration": 1, "step": 1})
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 1  # not closed, not synced
    log.sync()


def test_a_resumed_log_equals_an_uninterrupted_one(tmp_path):
    whole, stopped = tmp_path / "whole.jsonl", tmp_path / "stopped.jsonl"
    write(whole, range(1, 10))
    write(stopped, range(1, 8))
    with stopped.open("ab") as file:
        file.write(b'{"iteration": 8, "st')  # killed in the middle of a row
    write(stopped, range(6, 10), resume_after=5)
    assert stopped.read_bytes() == whole.read_bytes()


def test_a_half_written_row_alone_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write(path, range(1, 4))
    expected = path.read_bytes()
    path.write_bytes(expected + b'{"iteration": 4, "step": 400}')  # whole, but for its end of line
    assert [row["iteration"] for row in read_metrics(path)] == [1, 2, 3]
    log = MetricsLog(path, resume_after=3)
    assert path.read_bytes() == expected
    assert log.last_row == {"iteration": 3, "step": 300, "loss": 1 / 3}


def test_a_fresh_run_begins_an_empty_file(tmp_path):
    write(tmp_path / "metrics.jsonl", range(1, 4))
    write(tmp_path / "metrics.jsonl", [1])
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 1
    assert os.listdir(tmp_path) == ["metrics.jsonl"]


@pytest.mark.parametrize("row", [{"iteration": 4}, {"step": 4}, {"iteration": 3, "step": 4}])
def test_a_row_out_of_place_is_refused(tmp_path, row):
    log = MetricsLog(tmp_path / "metrics.jsonl", resume_after=None)
    log.log({"iteration": 3, "step": 300})
    with pytest.raises(ValueError, match="iteration"):
        log.log(row)


def test_a_full_disk_is_a_storage_error(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path, resume_after=None)
    log.log({"iteration": 1, "step": 1})
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, log._file)
    os.close(full)
    with pytest.raises(StorageError, match="No space left on device") as raised:
        log.log({"iteration": 2, "step": 2})
    assert raised.value.exit_code == 5
    assert len(read_metrics(path)) == 1


def test_a_missing_folder_and_a_missing_file_are_storage_errors(tmp_path):
    with pytest.raises(StorageError, match="absent"):
        MetricsLog(tmp_path / "absent" / "metrics.jsonl", resume_after=None)
    with pytest.raises(StorageError, match="cannot be read"):
        read_metrics(tmp_path / "metrics.jsonl")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": math.nan, "time/lap": 1.0}, {"time/lap": 2.0, "a": math.nan}, True),
        ({"a": 0.1, "b": 1}, {"b": 1, "a": np.float64(0.1)}, True),
        ({"a": 0.0}, {"a": -0.0}, False),
        ({"a": 0.1}, {"a": math.nextafter(0.1, 1)}, False),
        ({"a": None}, {}, False),
    ],
)
def test_rows_are_compared_bit_by_bit_without_their_times(one, other, same):
    assert (bits_of(one) == bits_of(other)) == same
