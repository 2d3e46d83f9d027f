"""What the live panel shows in terminals of every size."""

import re

import pytest

from helpers.display import panel
from helpers.display.progress import ESCAPE
from helpers.display.run_progress import RunProgress
from tests.helpers.display.rows import row


def drawn(run, *, width, height=30, signs=True, colours=False, title="ppo on Ant-v5"):
    return panel.render(run, title=title, width=width, height=height, signs=signs, colours=colours)


def trained(iterations=11, *, each=100.0, **more):
    """A run of 30 million steps, of which each iteration of a million takes 100 s."""
    run = RunProgress(30_000_000)
    for i in range(1, iterations + 1):
        metrics = {
            "eval/return_mean": -1234.5 * i,
            "rollout/return_mean": 10.0 * i,
            "time/rollout": 20.0,
            "time/update": 70.0,
            "time/evaluation": 5.0,
            "time/share_physics": 0.15,
            "time/elapsed": each * i,
        }
        run.take({"iteration": i, "step": 1_000_000 * i, **metrics, **more}, each * i)
    return run


@pytest.mark.parametrize("width", [200, 120, 80, 60, 40, 24, 20, 12, 10, 3, 0])
@pytest.mark.parametrize("height", [40, 7, 3])
def test_the_panel_fits_in_every_terminal(width, height):
    for signs in (True, False):
        for colours in (True, False):
            lines = drawn(trained(), width=width, height=height, signs=signs, colours=colours)
            texts = [ESCAPE.sub("", line) for line in lines]
            assert max(map(len, texts)) <= width and len(texts) <= height
            assert signs or "".join(texts).isascii()
            assert colours or texts == lines
            assert "37%" in texts[0] + texts[-1] + "".join(texts) or width < 3


def test_the_panel_says_how_far_how_fast_how_good_and_what_is_slow():
    text = "\n".join(drawn(trained(), width=100))
    for words in (
        "ppo on Ant-v5",
        "37%",
        "31m40s left",
        "11M of 30M",
        "10k steps/s",
        "18m20s so far",
    ):
        assert words in text
    assert re.search(r"return +110 +▁.*█", text)
    assert re.search(r"evaluation +-13580 +█.*▁ ↘ best -1234", text)
    assert re.search(
        r"time +update 70%  rollout 20% \(physics 15%\)  (other|evaluation) 5%",
        text,
    )


def test_a_narrow_panel_keeps_what_matters():
    text = "\n".join(drawn(trained(), width=39))
    for words in ("37%", "31m40s left", "110", "-13580", "10k steps/s", "update 70%", "11M of 30M"):
        assert words in text


def test_what_a_run_has_not_is_no_row_of_the_panel():
    run = RunProgress(1000)
    run.take({"iteration": 1, "step": 10}, 0.0)
    text = "\n".join(drawn(run, width=80))
    assert (
        "return" not in text and "evaluation" not in text and "time " not in text and "1%" in text
    )


def test_a_return_that_is_not_finite_is_shown():
    run = RunProgress(1000)
    for value in (1.0, float("nan"), 2.0):
        run.take(row(1, **{"eval/return_mean": value}), 0.0)
    assert re.search(r"evaluation +2 +▁█", "\n".join(drawn(run, width=120)))
    run.take(row(1, **{"eval/return_mean": float("nan")}), 0.0)
    assert re.search(r"evaluation +nan ", "\n".join(drawn(run, width=120)))
