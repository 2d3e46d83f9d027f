"""`reporter.py curve`: a quick look as a picture and as text, also while runs write."""

from __future__ import annotations

import io
import itertools
import json
import re
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import reporter
from helpers.run_folder import run_lock
from reports.collect import is_under_way
from reports.figures.terminal import Line, Screen, draw
from tests.reports.stage import make_group, make_run, returns_of

PLAIN = Screen(width=60, height=10)


def line(label: str, *values: float) -> Line:
    return Line(label, np.arange(1.0, len(values) + 1), np.array(values))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two groups on a task, and all that goes wrong in runs of another."""
    root = tmp_path_factory.mktemp("root")
    runs = root / "runs"
    make_group(runs, "a.ppo.CartPole-v1", 400, seeds=4)
    make_group(runs, "b.ppo.CartPole-v1", 300, seeds=3, p_lr=1e-3)
    pendulum = {"env_id": "Pendulum-v1", "num_timesteps": 20 * 1024}
    make_run(runs, "c.one.seed00", returns_of(-300, 0, 8), settings=pendulum, ends=False)
    holes = make_run(
        runs,
        "c.two.seed00",
        [-900.0, float("nan"), -500.0, -400.0],
        settings=pendulum,
    )
    path = holes / "metrics.jsonl"
    rows = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(rows[:3]) + b'{"broken\n' + rows[3] + b'{"iteration": 5, "eval/ret')
    training = {"key": "rollout/return_mean", "settings": pendulum}
    make_run(runs, "c.three.seed00", [-800.0, -200.0], **training)
    make_run(runs, "c.four.seed00", [], settings=pendulum, rows=1, ends=False)
    return root


@pytest.fixture
def curve(root, capsys, monkeypatch):
    """Draw, below the data root of the test; what was said."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*words: str, status: int = 0) -> str:
        assert reporter.main(["--data_root", str(root), "curve", *words]) == status
        told = capsys.readouterr()
        return told.out + told.err

    return call


# Characters


def test_a_curve_of_dots_is_where_its_values_are():
    """A straight line from corner to corner fills the diagonal, dot by dot."""
    text = draw([line("x", *range(101))], Screen(width=60, height=10), title="t", below="steps")
    cells = [row.partition("│")[2] or row.partition("┤")[2] for row in text[1:11]]
    dots = {
        (2 * x + dx, 4 * y + dy)
        for y, row in enumerate(cells)
        for x, cell in enumerate(row)
        if cell != " "
        for dx, dy, bit in [
            (0, 0, 1), (0, 1, 2), (0, 2, 4), (1, 0, 8), (1, 1, 16), (1, 2, 32), (0, 3, 64), (1, 3, 128),
        ]
        if (ord(cell) - 0x2800) & bit
    }  # fmt: skip
    width, height = max(x for x, _ in dots), max(y for _, y in dots)
    assert (width, height) == (2 * (60 - len("100") - 1) - 1, 39) and min(y for _, y in dots) == 0
    for x, y in dots:  # from step 1 of 101 on
        value = 100 * (39 - y) / 39
        step = 101 * x / width
        assert abs(value - (step - 1)) < 3.5
    assert text[1].startswith("100┤") and text[10].startswith("  0┤")


@pytest.mark.parametrize("signs", [True, False])
@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width, signs):
    rng = np.random.default_rng(0)
    lines = [
        Line(
            f"a_long_name_of_a_run_with_many_words.{i}",
            np.arange(1, 400) * 1e5,
            rng.normal(size=399) * 10.0**i,
        )
        for i in range(8)
    ]
    screen = Screen(width=width, signs=signs)
    text = draw(
        lines,
        screen,
        title="a title that is longer than forty columns, surely",
        below="environment steps",
    )
    assert max(map(len, text)) <= width and "\x1b" not in "".join(text)
    assert signs or all(row.isascii() for row in text)
    letters = {row.split()[0] for row in text if re.match(r"  [a-h] a_long", row)}
    assert letters == set("abcdefgh")


@pytest.mark.parametrize(
    "values",
    [
        (5.0,),
        (5.0, 5.0, 5.0),
        (0.0, 0.0),
        (1e308, -1e308),
        (1e-300, 2e-300),
        (-1e9, 1e9),
        (1e12, 1e12 + 1),
    ],
)
def test_ends_of_the_axis(values):
    text = draw([line("x", *values)], PLAIN, title="t", below="steps")
    assert sum(cell != " " for row in text[1:11] for cell in re.split("[│┤]", row)[-1]) >= 1
    assert max(map(len, text)) <= 60


def test_colours_are_given_back():
    text = draw([line("x", 1, 2), line("y", 2, 1)], Screen(colours=True), title="t", below="steps")
    coloured = [row for row in text if "\x1b" in row]
    assert len(coloured) > 5 and all(
        row.endswith("\x1b[0m") or "\x1b[0m " in row for row in coloured
    )
    assert "\x1b[34m" in "".join(text) and "\x1b[33m" in "".join(text)


def test_nothing_to_draw():
    assert "nothing to draw" in "\n".join(draw([line("x")], PLAIN, title="t", below="steps"))


# Runs


def test_few_runs_have_a_line_each_and_many_a_line_a_group(curve):
    told = curve("--term", "a.ppo.CartPole-v1.seed0[01]")
    last = f"{returns_of(400, 1, 10)[-1]:.4g}"
    assert f"  b seed01: {last}" in told and "CartPole-v1: return of evaluations" in told
    told = curve("--term", "[ab].*")
    assert "  a a.ppo.CartPole-v1: " in told and "  b b.ppo.CartPole-v1: " in told
    assert "7 runs in groups" in told and "a.ppo.CartPole-v1 4" in told
    assert "  g b.ppo.CartPole-v1.seed02: " in curve("--term", "--each", "[ab].*")
    assert "a group of one seed has no interval" in curve("--term", "--groups", "a.*seed00")


def test_what_is_wrong_is_said(curve):
    told = " ".join(curve("--term", "c.*").split())
    for words in (
        "c.one.seed00: stopped, after 8,192 of 20,480 steps",
        "1 values are not finite and left out; 1 damaged lines are left out; its last line is cut",
        "c.three.seed00: stopped, after 2,048 of 20,480 steps; no evaluation: its return of training episodes",
        "c.four.seed00: stopped, after 1,024 of 20,480 steps; no value yet",
        "Pendulum-v1: return ",
    ):
        assert words in told, words


def test_a_picture_is_written_and_named(root, curve):
    told = curve("[ab].*", "--against=time")
    path = root / "reports" / "curves" / "ab.time.png"
    assert f"picture: {path}" in told and path.read_bytes().startswith(b"\x89PNG")
    assert f"next: python reporter.py --data_root {root} report '[ab].*'" in told
    again = path.read_bytes()
    curve("[ab].*", "--against=time")
    assert path.read_bytes() == again
    svg = root / "made" / "my.first.svg"
    assert (
        f"picture: {svg}" in curve("a.*", "--output", str(svg))
        and b"<svg" in svg.read_bytes()[:400]
    )
    assert [each.name for each in svg.parent.iterdir()] == ["my.first.svg"]


def test_another_metric_and_time(root, curve):
    told = curve("--term", "--key", "policy/loss", "--against", "time", "a.*seed00")
    assert "CartPole-v1: policy/loss" in told and "seconds of training" in told
    curve("--key", "policy/loss", "a.*seed00")
    assert (root / "reports" / "curves" / "a.seed00.policy_loss.png").exists()


@pytest.mark.parametrize(
    ("words", "problem", "remedy"),
    [
        (["a.*", "--key", "policy/lss"], "--key policy/lss is no metric", "policy/loss"),
        (["c.four.seed00"], "There is nothing to draw yet", "--live"),
        (["nobody"], "nobody is no swarm, no run", "Give one of these"),
        (["a.*", "--output", "x.jpg"], "--output x.jpg", ".svg"),
        (["a.*", "--term", "--output", "x.png"], "--term draws in the terminal", "one of the two"),
        (["a.*", "--every", "0"], "--every=0.0 is no number of seconds", "--every=5"),
        (["a.*", "--every", "nan"], "--every=nan is no number of seconds", "--every=5"),
        (["a.*", "--against", "sunrise"], "invalid choice: 'sunrise'", "-h"),
        (["a.*", "--each", "--groups"], "not allowed with", "-h"),
    ],
)
def test_what_is_refused(curve, words, problem, remedy):
    lines = curve(*words, status=2).splitlines()
    assert len(lines) == 2 and problem in lines[0] and remedy in lines[1]


def test_a_terminal_without_unicode_gets_ascii(curve, monkeypatch):
    latin = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", latin)
        curve("--term", "a.*seed00")
    latin.flush()
    text = latin.buffer.getvalue().decode("latin-1")
    assert text.isascii() and text.count("*") > 20 and "+---" in text


# Live


def growing(runs: Path, name: str, seconds: float) -> threading.Thread:
    """A run that is trained now, by this process: a row now and then, and then it ends."""
    folder = make_run(runs, name, [1.0], settings={"num_timesteps": 10**6}, ends=False)
    run_lock.take(folder)

    def write() -> None:
        end = time.monotonic() + seconds
        for i in itertools.count(2):
            time.sleep(0.1)
            row = {"iteration": i, "step": 1024 * i, "eval/return_mean": float(i)}
            with (folder / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")
            if time.monotonic() > end:
                break
        run_lock.release(folder)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def test_a_picture_follows_a_run_until_it_ends(tmp_path, capsys):
    thread = growing(tmp_path / "runs", "grows.seed00", 3.0)
    assert is_under_way([str(tmp_path / "runs")])
    command = ["--data_root", str(tmp_path), "curve", "grows.seed00", "--live", "--every=0.2"]
    assert reporter.main(command) == 0
    thread.join()
    told = capsys.readouterr().out
    path = tmp_path / "reports" / "curves" / "grows.seed00.png"
    assert f"picture: {path}, drawn again every 0.2 s" in told and f"picture: {path}\n" in told
    assert "stopped, after" in told and path.exists()
    assert reporter.main(command) == 0
    assert "nothing to follow" in capsys.readouterr().out


@pytest.mark.parametrize("term", [[], ["--term"]])
def test_interrupted_it_leaves_the_runs_alone(tmp_path, capsys, monkeypatch, term):
    thread = growing(tmp_path / "runs", "grows.seed00", 5.0)
    naps = iter(range(2))

    def nap(seconds: float) -> None:
        if next(naps, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr("reports.verbs.curve.time", type("", (), {"sleep": staticmethod(nap)}))
    command = ["--data_root", str(tmp_path), "curve", "grows.seed00", "--live", *term]
    assert reporter.main(command) == 0
    told = capsys.readouterr().out
    assert thread.is_alive() and "running, " in told and ("picture: " in told) == (not term)
    assert run_lock.is_trained_here(tmp_path / "runs" / "grows.seed00")
    thread.join()
