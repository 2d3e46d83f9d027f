"""`reporter.py compare`: the verdict never claims more than the interval shows."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import reporter
from reports.results.compare import compare, two_groups, verdict
from reports.results.references import Scale
from reports.results.scores import TaskScores
from tests.reports.stage import make_group, make_run


def scores(
    label: str,
    values: list[float],
    task: str = "T",
    seeds: range | None = None,
) -> TaskScores:
    seeds = seeds or range(len(values))
    return TaskScores(label, task, tuple(seeds), np.array(values), planned=len(values))


def told(ours: list[float], others: list[float], **options: object) -> str:
    pair = [scores("a", ours), scores("b", others)]
    return verdict(compare(pair, ("a", "b"), {}, center="mean"))


WIDE = [float(value) for value in (1, 9, 4, 6, 5, 7, 3, 2)]


@pytest.mark.parametrize(
    ("ours", "others", "words"),
    [
        (
            WIDE,
            [w + 20 for w in WIDE],
            "b scores higher than a on T: the difference of a and b is -20.0",
        ),
        (
            [w + 20 for w in WIDE],
            WIDE,
            "a scores higher than b on T: the difference of a and b is 20.0",
        ),
        (WIDE, WIDE[::-1], "These runs do not show that a and b differ on T: the difference is 0"),
        ([5.0], [1.0], "Nothing can be said of a and b on T: the scores differ by 4"),
    ],
)
def test_the_verdict_of_clear_cases(ours, others, words):
    assert told(ours, others).startswith(words)


def test_no_verdict_says_more_than_its_interval():
    """Over 100 pairs of groups: a claim where the interval excludes 0, with its sign; none elsewhere."""
    generator = np.random.default_rng(0)
    claims = 0
    for _ in range(100):
        ours = generator.normal(size=5)
        others = generator.normal(size=5) + generator.choice([0.0, 1.0, 3.0])
        found = compare(
            [scores("a", list(ours)), scores("b", list(others))],
            ("a", "b"),
            {},
            center="iqm",
        )
        sentence, gap = verdict(found), found.main.gap
        if gap.low <= 0 <= gap.high:
            assert "do not show" in sentence and "higher" not in sentence
        else:
            claims += 1
            assert sentence.startswith("a scores" if gap.value > 0 else "b scores")
            assert ("take it as a hint" in sentence) == (found.main.permutation.p > 0.05)
    assert 20 < claims < 80


def test_pairs_are_seeds_that_both_have_and_only_where_they_can_tell():
    def pairs(seeds: int, shift: int) -> bool:
        ours = scores("a", list(range(seeds)))
        others = scores("b", list(range(seeds)), seeds=range(shift, seeds + shift))
        return compare([ours, others], ("a", "b"), {}, center="mean").main.permutation.pairs

    assert pairs(6, 0) and pairs(10, 0)
    assert not pairs(5, 0), "2 of 32 ways are 0.06: no pairs of 5 seeds could be below 0.05"
    assert not pairs(6, 1)


def test_over_tasks_scores_are_normalised_where_all_have_references():
    pairs = [
        scores("a", [100.0] * 2, "small"), scores("b", [0.0] * 2, "small"),
        scores("a", [0.0] * 2, "large"), scores("b", [10_000.0] * 2, "large"),
        scores("a", [1.0, 2.0], "alone"),
    ]  # fmt: skip
    scales = {"small": Scale(0, 100, ""), "large": Scale(0, 10_000, ""), "alone": Scale(0, 1, "")}
    found = compare(pairs, ("a", "b"), scales, center="mean")
    assert [each.place for each in found.tasks] == ["small", "large"]
    assert found.overall is not None and found.overall.gap.value == pytest.approx(0.0)
    assert found.overall.improvement.value == 0.5 and "normalised" in found.scaled_by
    assert "alone: only a has a score" in found.apart[0]
    without = compare(pairs, ("a", "b"), {"small": scales["small"]}, center="mean")
    assert "standard deviations" in without.scaled_by
    half = [replace(each, values=each.values[:0]) if each.label == "b" else each for each in pairs]
    with pytest.raises(Exception, match="no task on which both have a score"):
        compare(half, ("a", "b"), {}, center="mean")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    for label, level, rate in (("one", 100, 1e-3), ("two", 400, 1e-4)):
        make_group(root / "runs" / label, f"{label}.ppo", level, seeds=6, p_lr=rate)
        make_group(root / "all", f"{label}.ppo", level, seeds=6, p_lr=rate)
    make_run(root / "all", "x.ppo.seed00", [1.0] * 10, settings={"p_lr": 0.5})
    return root


def test_two_groups_of_one_folder_are_those_that_are_named(runs):
    options = {"source": None, "allow_mixed": False}
    collected, grouping = two_groups(
        [str(runs / "all")], by=["p_lr"], of=["0.001", "0.0001"], **options,
    )
    assert [group.label for group in grouping.groups] == ["p_lr=0.001", "p_lr=0.0001"]
    assert len(collected.series) == 12
    _, named = two_groups(
        [str(runs / "runs" / each) for each in ("one", "two")], by=[], of=[], **options,
    )
    assert [len(group.runs) for group in named.groups] == [6, 6]


def test_the_report_of_two_folders(runs, capsys):
    labels = ("p_lr=0.001", "p_lr=0.0001")
    named = [str(runs / "runs" / each) for each in ("one", "two")]
    assert reporter.main(["--data_root", str(runs), "compare", *named, "--name=c"]) == 0
    out = capsys.readouterr().out
    [sentence] = re.findall("verdict: (.*)", out)
    assert sentence.startswith(f"{labels[1]} scores higher than {labels[0]} on CartPole-v1")
    assert "6 runs each" in sentence and "p = 0.031" in sentence
    folder = runs / "reports" / "c"
    page = (folder / "report.html").read_text()
    assert sentence.split(":")[0] in page and (folder / "figures" / "better.png").exists()
    assert "| p_lr | 0.001 | 0.0001 |" in (folder / "tables" / "settings.md").read_text()
    assert "0123456789" in (folder / "tables" / "code.csv").read_text()


@pytest.mark.parametrize(
    ("words", "problem", "remedy"),
    [
        (["all"], "There are 3 groups to compare", "--of 'p_lr="),
        (["runs/one"], "There is 1 group to compare: ppo", "--by"),
        (["all", "--of=0.001", "--of=7"], "--of 7", "p_lr=0.001"),
        (["runs/one", "runs/one"], "one.ppo.seed00", "--by algo"),
    ],
)
def test_what_are_not_two_groups_is_refused(runs, capsys, words, problem, remedy):
    named = [str(runs / each) if not each.startswith("-") else each for each in words]
    assert reporter.main(["--data_root", str(runs), "compare", *named]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and problem in lines[0] and remedy in lines[1]
