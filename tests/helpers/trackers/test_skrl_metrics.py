"""What is tracked between two writes: reductions in closed form, over workers and over a save."""

import json
import math

import numpy as np
import pytest
import torch

from helpers.parallel.workers import Workers
from helpers.trackers.skrl_metrics import Tracking, merge_values


def tracking(interval=250):
    """With a list of what it writes: (step, values)."""
    made, written = Tracking(interval=interval, workers=Workers.solo()), []
    made.writer.connect(lambda values, step: written.append((step, dict(values))))
    return made, written


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("A / b (max)", 5.0),
        ("A / b (min)", -3.0),
        ("A / b (mean)", 1.0),
        ("A / b", 1.0),
        ("A / (max) b", 1.0),
    ],
)
def test_the_ending_of_a_tag_says_what_is_shown(tag, expected):
    made, written = tracking()
    for value in (2, np.float32(-3.0), torch.tensor([5.0]), 0.0):
        made.track_data(tag, value)
    made.write(10)
    assert written == [(10, {tag: expected})]


@pytest.mark.parametrize("value", [[1.0, 2.0], "fast", None, np.zeros(2), torch.zeros(2)])
def test_what_is_no_single_number_is_refused(value):
    with pytest.raises((TypeError, ValueError, RuntimeError)):
        tracking()[0].track_data("A / b", value)


def test_a_write_begins_anew_and_only_what_was_tracked_is_written():
    made, written = tracking()
    made.track_data("A / b (max)", 7.0)
    made.write(1)
    made.track_data("A / b (max)", 3.0)
    made.track_data("A / c", 1.0)
    made.write(2)
    made.write(3)
    assert written == [(1, {"A / b (max)": 7.0}), (2, {"A / b (max)": 3.0, "A / c": 1.0})]


@pytest.mark.parametrize("order", [(math.nan, 1.0), (1.0, math.nan), (1.0, math.nan, 2.0)])
@pytest.mark.parametrize("tag", ["A / b (max)", "A / b (min)", "A / b"])
def test_what_is_not_a_number_is_not_hidden(tag, order):
    made, written = tracking()
    for value in order:
        made.track_data(tag, value)
    made.write(1)
    assert math.isnan(written[0][1][tag])


def test_every_sample_weighs_the_same_over_calls_and_workers():
    shares, everything = [], []
    for part in ([[1.0, 2.0], [9.0]], [[-4.0, 0.5, 0.25]], [[]]):
        made, _ = tracking()
        for values in part:
            made.spread("A / b", np.array(values, dtype=np.float32))
            everything += values
        shares.append(json.loads(json.dumps(made.state_dict()["kept"])))
    assert merge_values(shares) == {
        "A / b (max)": 9.0,
        "A / b (min)": -4.0,
        "A / b (mean)": pytest.approx(sum(everything) / len(everything), rel=1e-12),
    }


def test_tags_that_only_one_worker_tracks_are_written_too():
    assert merge_values([{"A / b": [4.0, 2.0]}, {}, {"A / c (min)": [1.0, 0.0]}]) == {
        "A / b": 2.0,
        "A / c (min)": 1.0,
    }


@pytest.mark.parametrize(
    ("interval", "rollout", "expected"),
    [
        (250, 2, [250, 500, 750, 1000]),
        (250, 100, [300, 500, 800, 1000]),
        (250, 400, [400, 800]),
        (7, 2, [8, 14, 22, 28]),
        (1, 300, [300, 600, 900]),
        (0, 2, []),
    ],
)
def test_a_write_is_at_the_first_end_of_a_rollout_beyond_a_multiple(interval, rollout, expected):
    made, written = tracking(interval)
    end = 1000 if interval != 7 else 28
    for before in range(0, end - rollout + 1, rollout):
        made.track_data("A / b", 1.0)
        made.advance(before, before + rollout)
    assert [step for step, _ in written] == expected


def test_gathered_arrays_are_looked_at_when_it_is_time_to_write():
    made, written = tracking()
    gathering = made.gather("A / b", scale=0.5)
    gathering.add(np.array([[1.0, 2.0]], dtype=np.float32))
    gathering.add(np.array([[6.0, -1.0]], dtype=np.float32))
    assert made.state_dict() == {"kept": {}}
    made.write(4)
    assert written == [(4, {"A / b (max)": 3.0, "A / b (min)": -0.5, "A / b (mean)": 1.0})]


def test_where_nothing_is_tracked_nothing_is_kept_or_asked_for():
    made, written = tracking(interval=0)
    made.sources.append(lambda: pytest.fail("asked for"))
    made.track_data("A / b", 1.0)
    made.gather("A / c").add(np.zeros(3))
    made.collect()
    made.advance(0, 10**6)
    assert made.state_dict() == {} and written == []
    made.load_state_dict({"kept": {"A / b": [1.0, 1.0]}})
    assert made.state_dict() == {}


def test_what_was_tracked_survives_a_save():
    first, expected = tracking()
    second, found = tracking()
    for value in (0.1, 0.7):
        first.track_data("A / b", value)
        first.track_data("A / b (max)", value)
    second.load_state_dict(first.state_dict())
    for made in (first, second):
        made.track_data("A / b", 1 / 3)
        made.track_data("A / b (max)", 0.2)
        made.write(9)
    assert found == expected == [(9, {"A / b": (0.1 + 0.7 + 1 / 3) / 3, "A / b (max)": 0.7})]
    second.load_state_dict({})  # of a run that did not track
    assert second.state_dict() == {"kept": {}}


def test_the_writer_writes_at_once_and_nowhere_before_it_is_connected():
    made = Tracking(interval=250, workers=Workers.solo())
    made.writer.add_scalar("A / b", 1.0, global_step=3)
    written = []
    made.writer.connect(lambda values, step: written.append((step, dict(values))))
    made.writer.add_scalar("A / b", np.float32(0.5), global_step=1000)
    assert written == [(1000, {"A / b": 0.5})]
