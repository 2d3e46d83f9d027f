"""The card of demonstrations: figures by hand, and a picture of any returns."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.demos.episode import Demo
from helpers.demos.summary import figures_of, page
from helpers.display.histogram import draw_returns, edges


def demo_of(returns: list[float], actions: np.ndarray, **origin) -> Demo:
    length = len(returns)
    ends = np.arange(length) == length - 1
    return Demo(
        observations=np.full((length, 2), -3.0),
        actions=actions,
        rewards=np.array(returns),
        next_observations=np.full((length, 2), -3.0),
        terminated=ends,
        truncated=~ends & False,
        origin=origin,
    )


def test_figures_by_hand():
    bounds = {"action_low": np.array([-1.0, -2.0]), "action_high": np.array([1.0, 2.0])}
    actions = np.array([[-1, 0], [1, 2], [0.985, -3], [0, 0]], np.float32)
    one = demo_of([1, 2, 3, 4], actions, **bounds)
    two = demo_of([10, 10], actions[:2], **bounds)
    figures = figures_of([one, two, one], [range(1, 4, 2), range(1), range(0)])
    assert figures["episodes"] == 3 and figures["steps"] == 10 and figures["steps_kept"] == 3
    assert figures["return"] == {
        "mean": pytest.approx(40 / 3),
        "sd": pytest.approx(np.std([10, 20, 10], ddof=1)),
        "min": 10.0,
        "max": 20.0,
    }
    assert figures["terminated"] == 3 and figures["duplicates"] == 1
    assert figures["observations"]["largest"] == 3.0
    assert figures["actions"]["saturation"] == pytest.approx(11 / 20)
    assert figures["actions"]["beyond"] == pytest.approx(2 / 20)
    assert figures["files"][0]["steps_kept"] == [1, 3]
    text = page(figures, kind="files", title="here")
    assert (
        "55.0% at their bounds, 65.0% within 1.0% of the range, 10.0% beyond" in text
        and "3 of 10 steps" in text
    )
    other = figures_of([two, one, one], [range(0)] * 3)
    assert other["sha256"] != figures["sha256"]


def test_bounds_that_are_not_named_are_those_seen():
    actions = np.array([[-0.5], [0.2], [0.5], [0.5]], np.float32)
    figures = figures_of([demo_of([1, 1, 1, 1], actions)], [range(4)])
    assert figures["actions"]["saturation"] == 0.75 and figures["actions"]["bounds"] == "seen"


@pytest.mark.parametrize(
    ("expert", "words", "lines"),
    [(14.0, "expert 14.0", 2), (3581.2, "expert 3,581.2 →", 1), (-900.0, "← expert -900.0", 1)],
)
def test_returns_are_shown_beside_what_they_are_compared_with(
    tmp_path,
    monkeypatch,
    expert,
    words,
    lines,
):
    from matplotlib.figure import Figure

    drawn = []

    def save(figure, path, **_):
        drawn.append(figure)
        path.touch()

    monkeypatch.setattr(Figure, "savefig", save)
    references = {"expert": {"return_mean": expert, "source": "4 demonstrations"}}
    draw_returns([9.0, 10.0, 13.0], tmp_path / "a.png", title="mine", references=references)
    (axes,) = drawn[0].axes
    mean = "mean 10.7 ± 2.1 (sd), 3 episodes"
    assert [text.get_text() for text in axes.texts] == [mean, words]
    assert len(axes.get_lines()) == 1 + lines  # the ticks, the mean, the expert where he is near
    low, high = axes.get_xlim()
    assert low < 9.0 and 13.0 < high < 20.0  # returns that an expert far off would make one bar


@pytest.mark.parametrize(
    "returns",
    [[5.0], [5.0] * 16, [0.0, 0.0], [1e9, 1e9 + 1e-3], [*range(2000)]],
)
def test_a_histogram_of_any_returns(tmp_path, returns):
    import imageio.v3

    found = edges(returns)
    assert (np.diff(found) > 0).all() and found[0] <= min(returns) and found[-1] >= max(returns)
    assert np.histogram(returns, found)[0].sum() == len(returns)
    path = draw_returns(returns, tmp_path / "returns.png", title="demonstrations")
    picture = imageio.v3.imread(path)
    assert picture.shape[:2] == (540, 960) and picture.std() > 10
