"""What TensorBoard's own reader finds in the event file."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.trackers.tensorboard import FILE_NAME, GROUP, TensorBoardTracker

REPOSITORY = Path(__file__).parents[3]


SETTINGS = {"algo": "sac", "p_perception_stack": "a|b", "wandb_project": None}


def write(folder, iterations, *, resume_step=None, settings=None):
    tracker = TensorBoardTracker(folder, resume_step=resume_step, settings=settings)
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


def test_settings_are_a_text_and_skrls_metrics_the_last_group(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for resume_step, i in ((None, 1), (100, 2)):  # the second time it is resumed
        tracker = TensorBoardTracker(tmp_path, resume_step=resume_step, settings=SETTINGS)
        tracker.log({"iteration": i, "step": 100 * i, "value/loss": 1.0})
        tracker.scalars({"Reward / Total reward (max)": 2.0}, 100 * i)
        tracker.close(0)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    tags = events.Tags()
    assert sorted(tags["scalars"]) == [
        "iteration",
        "value/loss",
        f"{GROUP}Reward / Total reward (max)",
    ]
    assert len(events.Scalars(f"{GROUP}Reward / Total reward (max)")) == 2
    assert events.PluginTagToContent("text").keys() == {"settings"}
    (text,) = events.Tensors("settings")[-1].tensor_proto.string_val
    assert text.decode().splitlines()[2:] == [
        "| `algo` | sac |",
        "| `p_perception_stack` | a\\|b |",
        "| `wandb_project` |  |",
    ]


def test_a_run_begun_before_there_was_the_group_goes_on_under_its_tags(tmp_path):
    write(tmp_path, [1])  # as it was: no settings
    tracker = TensorBoardTracker(tmp_path, resume_step=100, settings=SETTINGS)
    tracker.scalars({"Loss / Critic loss": 3.0}, 200)
    tracker.close(0)
    assert read(tmp_path, "Loss / Critic loss") == [(200, 3.0)]


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
