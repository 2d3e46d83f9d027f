"""The learning curve: a picture whatever the metrics look like, drawn from the right numbers."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.display import learning_curve as curve
from helpers.display.learning_curve import average_groups, draw_curve, series
from helpers.errors import StorageError
from helpers.run_folder.references import save_references

REPOSITORY = Path(__file__).parents[3]


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


def saved_references(folder):
    found = {
        "expert": {"return_mean": 3412.4, "source": "4 demonstrations"},
        "random policy": {"return_mean": 18.26, "source": "4 episodes"},
    }
    save_references(folder, found)


@pytest.mark.parametrize("name", ["many", "one", "evaluation only", "no rows"])
def test_the_expert_and_chance_are_lines_across(name, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []
    save = Figure.savefig

    def saved(figure, *given, **named):
        drawn.append(figure)
        save(figure, *given, **named)

    monkeypatch.setattr(Figure, "savefig", saved)
    text = "".join(json.dumps(row) + "\n" for row in ROWS[name])
    (tmp_path / "metrics.jsonl").write_text(text)
    saved_references(tmp_path)
    draw_curve(tmp_path, unit="gradient steps")
    (axes,) = drawn[0].axes
    expert, chance = axes.get_lines()[-2:]
    assert set(expert.get_ydata()) == {3412.4} and set(chance.get_ydata()) == {18.26}
    low, high = axes.get_ylim()
    assert low < 18.26 and high > 3412.4
    assert axes.get_xlabel() == "gradient steps"
    legend = (drawn[0].legends or [axes.get_legend()])[0]
    words = [text.get_text() for text in legend.get_texts()]
    assert words[-2:] == ["expert: 3,412 (4 demonstrations)", "random policy: 18.3 (4 episodes)"]
    if len(words) > 2:  # below the curves, and on the picture
        box, canvas = legend.get_window_extent(), drawn[0].bbox
        assert box.y1 < axes.get_window_extent().y0
        assert canvas.x0 <= box.x0 and box.x1 <= canvas.x1 and box.y0 >= canvas.y0


def test_many_rows_are_averaged_few_are_not():
    steps = [float(step) for step in range(1, 7)]
    assert average_groups(steps, steps) == (steps, steps)
    steps = [float(step) for step in range(200)]
    means, values = average_groups(steps, steps)
    assert means == values and len(means) == 50 and means[0] == 1.5


def test_series_leaves_out_what_is_no_finite_number():
    rows = [{"step": i, "m": value} for i, value in enumerate([1, None, math.nan, "x", 2.5])]
    assert series([*rows, {"step": 9}], "m") == ([0.0, 4.0], [1.0, 2.5])


def test_a_folder_without_metrics_is_refused_in_two_lines(tmp_path):
    with pytest.raises(StorageError, match="metrics.jsonl cannot be read"):
        draw_curve(tmp_path)


def test_matplotlib_is_imported_on_use_only():
    code = "import sys, helpers.display.learning_curve; print('matplotlib' in sys.modules, 'numpy' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == ["False", "False"]
