"""What TensorBoard's own reader finds in the event file."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.trackers.tensorboard import FILE_NAME, TensorBoardTracker

REPOSITORY = Path(__file__).parents[3]


def write(folder, iterations, *, resume_step=None):
    tracker = TensorBoardTracker(folder, resume_step=resume_step)
    for i in iterations:
        tracker.log({"iteration": i, "step": 100 * i, "eval/return": 0.5 * i, "note": "text"})
    tracker.close(0)


def read(folder, tag="eval/return"):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_rows_are_scalars_over_environment_steps(tmp_path):
    write(tmp_path, range(1, 4))
    assert read(tmp_path) == [(100, 0.5), (200, 1.0), (300, 1.5)]
    assert read(tmp_path, "iteration") == [(100, 1), (200, 2), (300, 3)]


def test_what_is_no_finite_number_is_left_out(tmp_path):
    tracker = TensorBoardTracker(tmp_path, resume_step=None)
    tracker.log({"iteration": 1, "step": 5, "a": 1.0, "b": None, "c": math.nan, "d": "x"})
    assert read(tmp_path, "a") == [(5, 1.0)]
    for tag in "bcd":
        with pytest.raises(KeyError):
            read(tmp_path, tag)


def test_a_resumed_curve_is_one_line_in_one_file(tmp_path):
    write(tmp_path, range(1, 7))
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.truncate((tmp_path / FILE_NAME).stat().st_size - 5)  # killed in the middle of a record
    write(tmp_path, range(4, 9), resume_step=300)
    assert read(tmp_path) == [(100 * i, 0.5 * i) for i in range(1, 9)]
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_fresh_run_replaces_the_file(tmp_path):
    write(tmp_path, range(1, 7))
    write(tmp_path, [1])
    assert read(tmp_path) == [(100, 0.5)]


def test_neither_torch_nor_tensorflow_is_imported(tmp_path):
    code = (
        "import sys, pathlib\n"
        "from helpers.trackers.tensorboard import TensorBoardTracker\n"
        "assert 'tensorboard' not in sys.modules\n"
        f"TensorBoardTracker(pathlib.Path({str(tmp_path)!r}), resume_step=None)\n"
        "print({'torch', 'tensorflow'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "set()"
