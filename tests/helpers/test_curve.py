"""The learning curve: a picture whatever the metrics look like, drawn from the right numbers."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers import curve
from helpers.curve import averaged, draw_curve, series
from helpers.errors import StorageError

REPOSITORY = Path(__file__).parents[2]


def evaluated(iteration, mean=10.0):
    spread = {"eval/return_sd": 2.0, "eval/return_min": mean - 1.0, "eval/return_max": mean + 5.0}
    return {"iteration": iteration, "step": 100 * iteration, "eval/return_mean": mean, **spread}


def trained(iteration, mean=5.0):
    return {"iteration": iteration, "step": 100 * iteration, "rollout/return_mean": mean}


ROWS = {
    "many": [evaluated(i) | trained(i, float(i)) for i in range(1, 200)],
    "one": [evaluated(1) | trained(1)],
    "training only": [trained(1), trained(2)],
    "evaluation only": [evaluated(1), evaluated(2)],
    "nothing finished": [trained(1, None)],
    "not finite": [
        trained(1, math.nan),
        evaluated(2, math.inf),
        evaluated(3),
        evaluated(4, math.nan),
    ],
    "no rows": [],
}


@pytest.mark.parametrize("name", ROWS)
def test_there_is_always_a_picture(name, tmp_path):
    text = "".join(json.dumps(row) + "\n" for row in ROWS[name])
    (tmp_path / "metrics.jsonl").write_text(text)
    path = draw_curve(tmp_path)
    content = path.read_bytes()
    assert path == tmp_path / "learning_curve.png" and content.startswith(b"\x89PNG")
    assert int.from_bytes(content[16:20], "big") == 1200
    assert sorted(p.name for p in tmp_path.iterdir()) == ["learning_curve.png", "metrics.jsonl"]


def test_the_lines_are_the_metrics_over_environment_steps():
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    rows = [
        trained(1, 1.0),
        evaluated(2, 10.0) | trained(2, None),
        trained(3, 3.0),
        evaluated(4, 20.0),
    ]
    curve._draw_training(axes, rows)
    curve._draw_evaluations(axes, rows)
    training, evaluation = axes.get_lines()
    assert np.asarray(training.get_xydata()).tolist() == [[100, 1], [300, 3]]
    assert np.asarray(evaluation.get_xydata()).tolist() == [[200, 10], [400, 20]]
    band = np.asarray(axes.collections[0].get_paths()[0].vertices)
    assert band[:, 1].min() == 9.0 and band[:, 1].max() == 22.0  # cut at the minimum, not below it


def test_many_rows_are_averaged_few_are_not():
    steps = [float(step) for step in range(1, 7)]
    assert averaged(steps, steps) == (steps, steps)
    steps = [float(step) for step in range(200)]
    means, values = averaged(steps, steps)
    assert means == values and len(means) == 50 and means[0] == 1.5


def test_series_leaves_out_what_is_no_finite_number():
    rows = [{"step": i, "m": value} for i, value in enumerate([1, None, math.nan, "x", 2.5])]
    assert series([*rows, {"step": 9}], "m") == ([0.0, 4.0], [1.0, 2.5])


def test_a_folder_without_metrics_is_refused_in_two_lines(tmp_path):
    with pytest.raises(StorageError, match="metrics.jsonl cannot be read"):
        draw_curve(tmp_path)


def test_matplotlib_is_imported_on_use_only():
    code = "import sys, helpers.curve; print('matplotlib' in sys.modules, 'numpy' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == ["False", "False"]
