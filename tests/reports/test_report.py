"""`reporter.py report`: one report of many kinds of runs, looked at from all sides; and what is refused."""

from __future__ import annotations

import csv
import hashlib
import html.parser
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import reporter
from helpers.errors import ConfigurationError
from helpers.run_folder import run_lock
from reports.collect import collect
from reports.figures.scores import draw_scores
from reports.figures.style import looks
from reports.page.tables import Table, to_csv, to_latex, to_markdown
from reports.results.curves import curve_of
from reports.results.groups import group_runs
from reports.results.scores import all_scores, task_scores
from reports.series import read_series
from reports.statistics.estimates import iqm
from reports.write import report_folder
from tests.reports.stage import make_group, make_run, returns_of

LONG = 10 * 1024


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two algorithms on two tasks, with all that goes wrong: a seed that stopped, one that diverged, one unbegun."""
    root = tmp_path_factory.mktemp("root")
    runs = root / "runs"
    make_group(runs, "a.ppo.CartPole-v1", 400, p_lr=1e-3)
    make_group(runs, "a.ppo.Pendulum-v1", -200, env_id="Pendulum-v1")
    sac = {"algo": "sac", "env_id": "Pendulum-v1", "num_timesteps": LONG}
    for seed in range(3):
        make_run(
            runs,
            f"b.sac.Pendulum-v1.seed{seed:02d}",
            returns_of(-300, seed, 10),
            settings=sac,
        )
    make_run(runs, "b.sac.Pendulum-v1.seed03", returns_of(-300, 3, 4), settings=sac, ends=False)
    make_run(runs, "b.sac.Pendulum-v1.seed04", [-900.0, *[float("nan")] * 9], settings=sac)
    make_run(runs, "b.sac.Pendulum-v1.seed05", [], settings=sac, ends=False, rows=1)
    assert reporter.main(["--data_root", str(root), "report", str(runs), "--name=first"]) == 0
    return root


def rows_of(report: Path, name: str) -> list[dict[str, str]]:
    with (report / "reports" / "first" / "tables" / name).open(newline="") as file:
        return list(csv.DictReader(file))


class Reader(html.parser.HTMLParser):
    """The text of a page, what it loads, and its tags that are not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.loads, self.open = "", [], []

    def handle_starttag(self, tag, attrs):
        self.loads += [value for key, value in attrs if key in ("src", "href") and value[0] != "#"]
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_table_says_who_counts(report):
    found = {(row["task"], row["group"]): row for row in rows_of(report, "results.csv")}
    assert set(found) == {("CartPole-v1", "ppo"), ("Pendulum-v1", "ppo"), ("Pendulum-v1", "sac")}
    assert found["CartPole-v1", "ppo"]["n"] == "5" and found["Pendulum-v1", "sac"]["n"] == "4 of 6"
    finals = np.array([returns_of(400, seed, 10)[-1] for seed in range(5)])
    value, low, high = map(
        float,
        re.findall(r"-?[\d.]+", found["CartPole-v1", "ppo"]["IQM [95 %]"]),
    )
    assert (
        value == pytest.approx(float(iqm([finals])), abs=0.05)
        and finals.min() - 0.1 <= low < value < high
    )
    assert (
        found["CartPole-v1", "ppo"]["mean ± sd"]
        == f"{finals.mean():.1f} ± {finals.std(ddof=1):.1f}"
    )
    runs = {row["run"]: row for row in rows_of(report, "runs.csv")}
    assert len(runs) == 16 and runs["b.sac.Pendulum-v1.seed03"]["state"] == "stopped"
    assert float(runs["a.ppo.CartPole-v1.seed02"]["score"]) == finals[2]


def test_the_page_is_whole_and_says_what_is_not_in_it(report):
    page = (report / "reports" / "first" / "report.html").read_text()
    reader = Reader()
    reader.feed(page)
    assert not reader.open and all(
        each.startswith("data:image/png;base64,") for each in reader.loads
    )
    assert len(reader.loads) == 3 and "<script" not in page
    for told in (
        "4 of 6 runs count; not seed 3 stopped: after 4,096 of 10,240 steps and seed 5 stopped",
        "seed 4 diverged: its last return is nan; they count with the last return that they had",
        "sac has no score on CartPole-v1",
        "b.sac.Pendulum-v1.seed04: 9 returns are not finite",
        "mean of 10 episodes",
        "commit 0123456789",
        "gymnasium 1.4.0",
        "a processor, AVX-512; 1 worker(s) a run",
        "n = 5 seeds of each group, but n = 4 of sac on Pendulum-v1",
    ):
        assert told in reader.text, told


def test_figures_and_all_else_have_the_same_bytes_again(report):
    def digests(name: str) -> dict[str, str]:
        folder = report / "reports" / name
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*")
            if path.is_file()
        }

    first = digests("first")
    assert {f"figures/curves.{kind}" for kind in ("png", "svg", "pdf")} < set(first)
    assert {"report.pdf", "methods.md", "tables/results.tex", "figures/scores.svg"} < set(first)
    runs = str(report / "runs")
    assert reporter.main(["--data_root", str(report), "report", runs, "--name=first"]) == 0
    assert digests("first") == first


def test_a_curve_loses_seeds_at_their_ends_and_keeps_what_diverged(tmp_path):
    long = make_run(tmp_path, "a.seed00", [10.0] * 10)
    short = make_run(tmp_path, "a.seed01", [20.0] * 5, ends=False, settings={"num_timesteps": LONG})
    lost = make_run(tmp_path, "a.seed02", [0.0, *[float("nan")] * 9])
    runs = [read_series(each) for each in (long, short, lost)]
    curve = curve_of("a", runs, axis="steps", center="mean")
    assert curve is not None
    assert curve.seeds.tolist() == [3] * 5 + [2] * 5
    assert curve.value.tolist() == pytest.approx([10.0] * 5 + [5.0] * 5)
    scores = task_scores("a", "CartPole-v1", runs, "final")
    assert (
        scores.values.tolist() == [10.0, 0.0] and len(scores.left_out) == len(scores.carried) == 1
    )


def test_one_seed_is_a_curve_without_an_interval_and_a_task_no_html(tmp_path, capsys):
    path = make_run(tmp_path / "runs", "a.ppo.seed00", returns_of(100, 0, 5)) / "config.yaml"
    path.write_text(path.read_text().replace("CartPole-v1", "my_task.py:<b>Task"))
    assert reporter.main(["--data_root", str(tmp_path), "report", "a.ppo.seed00"]) == 0
    out = capsys.readouterr().out
    assert "ppo on my_task.py:<b>Task: one seed, so there is no interval" in out
    assert re.search(r"\| 1 \| [\d.]+ \|", out)
    page = (tmp_path / "reports" / "a.ppo.seed00" / "report.html").read_text()
    assert "<b>Task" not in page and "&lt;b&gt;Task" in page


def test_groups_are_named_by_what_differs(tmp_path):
    make_group(tmp_path, "x.one", 10, seeds=2, p_lr=1e-3)
    make_group(tmp_path, "x.two", 10, seeds=2, p_lr=1e-5)
    series = collect([str(tmp_path)]).series
    assert [group.label for group in group_runs(series).groups] == ["p_lr=0.001", "p_lr=1e-05"]
    assert [group.label for group in group_runs(series, by=["algo"]).groups] == ["ppo"]
    assert group_runs(series, by=["algo"]).within == ("Runs of ppo on CartPole-v1 differ in p_lr.",)
    make_group(tmp_path, "y.one", 10, seeds=2, p_lr=1e-3)
    labels = [group.label for group in group_runs(collect([str(tmp_path)]).series).groups]
    assert labels == ["p_lr=0.001 (x)", "p_lr=1e-05", "p_lr=0.001 (y)"]


def make_mixed(runs: Path, what: str) -> None:
    """A group whose second run differs."""
    make_run(runs, "a.seed00", [1.0] * 10)
    if what == "num_timesteps":
        make_run(runs, "a.seed01", [1.0] * 5)
    elif what == "gymnasium":
        make_run(runs, "a.seed01", [1.0] * 10, versions={"gymnasium": "1.3.0"})
    elif what == "eval_episodes":
        make_run(runs, "a.seed01", [1.0] * 10, settings={"eval_episodes": 3})
    else:
        make_run(runs, "a.seed01", [1.0] * 10, key="rollout/return_mean")


@pytest.mark.parametrize("what", ["num_timesteps", "gymnasium", "eval_episodes", "return"])
def test_a_mixed_group_is_refused_with_the_difference(tmp_path, capsys, what):
    make_mixed(tmp_path / "runs", what)
    command = ["--data_root", str(tmp_path), "report", str(tmp_path / "runs"), "--by=algo"]
    assert reporter.main(command) == 2
    problem, remedy = capsys.readouterr().err.splitlines()
    assert what in problem and "a.seed00" in problem and "a.seed01" in problem
    assert "--allow_mixed" in remedy and not (tmp_path / "reports").exists()
    mixed = group_runs(collect([str(tmp_path / "runs")]).series, allow_mixed=True)
    assert len(mixed.groups) == 1 and what in mixed.within[0]


def test_runs_that_still_train_are_reported_before_their_first_evaluation(tmp_path):
    """A swarm that has just begun: one run has ended, one trains and was not evaluated yet, one task has no score."""
    make_run(tmp_path, "a.ppo.seed00", [1.0] * 4)
    begun = make_run(tmp_path, "a.ppo.seed01", [5.0], key="rollout/return_mean", ends=False)
    config = begun / "config.yaml"
    config.write_text(config.read_text().replace("num_timesteps: 1024", "num_timesteps: 4096"))
    run_lock.take(begun)
    grouping = group_runs(collect([str(tmp_path)]).series)
    [score] = all_scores(grouping, "final")
    assert score.values.tolist() == [1.0] and score.left_out == ("seed 1 running",)
    run_lock.release(begun)
    waiting = [
        replace(read_series(begun), state="missing", seed=seed, name=f"{seed}")
        for seed in (2, 3, 4)
    ]
    [told] = task_scores(
        "ppo",
        "CartPole-v1",
        [*grouping.groups[0].runs[:1], *waiting],
        "final",
    ).left_out
    assert told.startswith("seeds 2, 3 and 4 missing")
    none = replace(score, task="Pendulum-v1", seeds=(), values=score.values[:0])
    by_task = {"CartPole-v1": [score], "Pendulum-v1": [none, replace(score, label="sac")]}
    figure = draw_scores(by_task, looks(["ppo", "sac"]), center="iqm", xlabel="return")
    assert len(figure.axes) == 2
    make_run(
        tmp_path,
        "a.ppo.seed02",
        [5.0] * 4,
        key="rollout/return_mean",
    )  # it ended, without evaluations
    with pytest.raises(ConfigurationError, match="return is of evaluation"):
        group_runs(collect([str(tmp_path)]).series)


def refusal(capsys: pytest.CaptureFixture[str], root: Path, *words: str) -> tuple[str, str]:
    assert reporter.main(["--data_root", str(root), *words]) == 2
    problem, remedy = capsys.readouterr().err.splitlines()
    assert problem.startswith("milozero: ") and remedy.startswith("  remedy: ")
    return problem, remedy


def test_what_cannot_be_reported_is_refused_in_two_lines(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    empty, runs = tmp_path / "empty", tmp_path / "runs"
    empty.mkdir()
    make_run(runs, "a.ppo.seed00", [1.0])
    assert "There are no runs in" in refusal(capsys, tmp_path, "report", str(empty))[0]
    problem, remedy = refusal(capsys, tmp_path, "report", "a.ppo.seed1")
    assert "is no swarm, no run" in problem and "a.ppo.seed00" in remedy
    make_run(tmp_path / "other", "a.ppo.seed00", [1.0])
    problem, remedy = refusal(capsys, tmp_path, "report", str(runs), str(tmp_path / "other"))
    assert "Two runs are called a.ppo.seed00" in problem and "--name" in remedy
    problem, remedy = refusal(capsys, tmp_path, "report", "a.ppo.seed00", "--by=p_ler")
    assert "--by p_ler" in problem
    assert "no name of a folder" in refusal(capsys, tmp_path, "report", str(runs), "--name=../x")[0]
    other = tmp_path / "reports" / "mine"
    other.mkdir(parents=True)
    (other / "notes.txt").write_text("mine")
    assert "no report" in refusal(capsys, tmp_path, "report", str(runs), "--name=mine")[0]
    (other / "notes.txt").unlink()
    (
        other / "figures"
    ).mkdir()  # what a report leaves that was interrupted: the same command goes on
    assert report_folder("mine") == other
    (runs / "a.ppo.seed00" / "config.yaml").write_text("env_id: [")
    assert "not valid YAML" in refusal(capsys, tmp_path, "report", str(runs))[0]


def test_tables_hold_what_their_formats_would_take_for_code():
    table = Table(
        "t",
        "A & B",
        ("g_1", "50%"),
        (("a|b_c#$", "-1.5"), ("=SUM(A1)", "1 ± 2")),
        note="x < y",
    )
    tex = to_latex(table)
    assert (
        r"a|b\_c\#\$ & $-$1.5 \\" in tex
        and r"50\%" in tex
        and r"1 $\pm$ 2" in tex
        and r"x $<$ y" in tex
    )
    assert r"a\|b_c#$" in to_markdown(table)
    assert to_csv(table.head, table.rows).splitlines()[1:] == ["a|b_c#$,-1.5", "'=SUM(A1),1 ± 2"]
