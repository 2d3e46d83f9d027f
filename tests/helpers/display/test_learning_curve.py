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


@pytest.fixture()
def axes_of(tmp_path, monkeypatch):
    """Draws rows, and gives the axes."""
    from matplotlib.figure import Figure

    drawn = []
    save = Figure.savefig

    def saved(figure, *given, **named):
        drawn.append(figure)
        save(figure, *given, **named)

    def draw(rows, **named):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "metrics.jsonl").write_text(text)
        draw_curve(tmp_path, **named)
        (axes,) = drawn[-1].axes
        return axes

    monkeypatch.setattr(Figure, "savefig", saved)
    return draw


HIGH = [evaluated(i, 20.0 * i) for i in range(1, 200)]


@pytest.mark.parametrize("rows", [HIGH, []], ids=["curves", "none"])
def test_the_expert_and_chance_are_lines_across_with_their_words_beside_them(
    rows,
    tmp_path,
    axes_of,
):
    saved_references(tmp_path)
    axes = axes_of(rows, unit="gradient steps")
    expert, chance = axes.get_lines()[-2:]
    assert set(expert.get_ydata()) == {3412.4} and set(chance.get_ydata()) == {18.26}
    low, high = axes.get_ylim()
    assert low < 18.26 and high > 3412.4
    assert axes.get_xlabel() == "gradient steps"
    words = {text.get_text(): text for text in axes.texts}
    for line, said in (
        (3412.4, "expert: 3,412 (4 demonstrations)"),
        (18.26, "random policy: 18.3 (4 episodes)"),
    ):
        assert words[said].xy[1] == line
        box, frame = words[said].get_window_extent(), axes.get_window_extent()
        assert (
            frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        )
    labels = [text.get_text() for text in axes.get_legend().get_texts()] if rows else []
    assert not any("expert" in label for label in labels)


def test_an_expert_far_above_does_not_flatten_the_curve_of_a_run_that_was_stopped(
    tmp_path,
    axes_of,
):
    saved_references(tmp_path)
    (tmp_path / "config.yaml").write_text("num_timesteps: 1000000\n")
    axes = axes_of([evaluated(i, 3.0 * i) | trained(i, 2.0 * i) for i in range(1, 11)])
    assert axes.get_ylim()[1] < 100.0
    assert "↑ expert: 3,412 (4 demonstrations)" in [text.get_text() for text in axes.texts]
    assert axes.get_xlabel() == "environment steps, all workers (1k of 1M)"


def test_the_last_point_is_whole_and_a_run_without_a_return_has_its_steps(axes_of):
    assert axes_of([trained(1), trained(2)]).get_xlim() == (0.0, 204.0)
    axes = axes_of([trained(1, None), trained(2, None)])
    assert axes.get_xlim() == (0.0, 204.0) and not len(axes.get_yticks())


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
