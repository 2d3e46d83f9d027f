"""What is made of a suite's runs: intervals, the picture of learning curves, the tables of the README."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.learning import __main__ as learning
from benchmarks.learning import handover
from benchmarks.learning.cases import NORMALISED, SUITES
from tests.reports.stage import make_run, returns_of

PPO = SUITES["ppo"]


@pytest.fixture
def runs(tmp_path) -> Path:
    """Three seeds of two cases, one of which did not end."""
    folder = tmp_path / "runs" / "benchmarks"
    for case in PPO[1:3]:
        for seed in range(3):
            name = f"{case.name}.seed{seed:02d}"
            settings = {"env_id": case.env_id}
            ends = (case.name, seed) != ("hopper_1m", 2)
            returns = returns_of(3000, seed, 8)
            run = make_run(folder, name, returns, settings=settings, ends=ends)
            if not ends:
                config = run / "config.yaml"
                config.write_text(config.read_text().replace("8192", "99999"))
    return tmp_path


def drawn(runs: Path, stem: Path) -> str | None:
    options, _ = learning.parse(["--suite=ppo", f"--data={runs}"])
    return handover.draw(
        PPO,
        lambda case, seed: learning.folder_of(case, seed, options, []),
        3,
        stem,
    )


def test_the_picture_is_of_the_runs_that_ended_and_says_how_many(runs, tmp_path):
    caption = drawn(runs, tmp_path / "a")
    assert caption is not None and "IQM of 2 and 3 seeds" in caption
    assert "1 worker a run, commit 0123456" in caption and "published means" in caption
    assert drawn(runs, tmp_path / "b") == caption
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert not (tmp_path / "a.svg").exists()
    assert drawn(tmp_path / "none", tmp_path / "c") is None and not (tmp_path / "c.png").exists()


def test_published_results_are_read_off_the_reference():
    found = {case.name: handover._PUBLISHED.findall(case.reference) for case in PPO}
    assert found["hopper_1m"] == [("CleanRL v4", "2383", "272"), ("Tianshou v3", "2483", "852")]
    other = "none at 100k; SAC: pooled 5333 +- 577 (23 seeds)"
    assert handover._PUBLISHED.findall(other) == [("pooled", "5333", "577")]


def test_saved_figures_are_tabulated_without_their_runs(tmp_path, capsys):
    finals = {"hopper_1m": (3390.4, 2738.8, 3128.1)}
    saved = json.loads((learning.RESULTS / "ppo.json").read_text())
    for name, rows in saved.items():
        saved[name] = rows[:3]
        for row, final in zip(saved[name], finals.get(name, ()), strict=False):
            row["final"] = final
    (tmp_path / "ppo.json").write_text(json.dumps(saved))
    command = ["--suite=ppo", "--saved", f"--results={tmp_path}", f"--data={tmp_path}"]
    assert learning.main(command) == 0
    page = (tmp_path / "ppo.md").read_text()
    assert "| hopper_1m | 1,001,472 | 3 | 3086 [2739, 3390] | 3086 +- 328 |" in page
    assert "`python -m benchmarks.learning --suite ppo`" in page and "![" not in page
    assert f"written: {tmp_path / 'ppo.md'}" in capsys.readouterr().out
    kept = json.loads((tmp_path / "ppo.json").read_text())
    kept["hopper_1m"][0]["final"] = 0.0  # the mean falls below the bar
    kept["hopper_1m"][1]["final"] = 0.0
    (tmp_path / "ppo.json").write_text(json.dumps(kept))
    assert learning.main(command) == 1


def test_a_page_without_runs_keeps_its_picture(tmp_path):
    page = tmp_path / "ppo.md"
    assert handover.picture_of("ppo", page, None) == ""
    page.write_text(f"words\n{handover.picture_of('ppo', page, 'A caption')}\n")
    assert (
        handover.picture_of("ppo", page, None) == "![Learning curves](ppo_curves.png)\n\nA caption"
    )


def test_only_what_stands_between_the_marks_is_written(tmp_path):
    index = tmp_path / "results.md"
    index.write_text(
        "before\n<!-- learning, ppo: a command -->\nold\n<!-- end of learning, ppo -->\nafter\n",
    )
    assert handover.write_index("ppo", "| table |", "![x](ppo_curves.png)", index=index)
    assert index.read_text() == (
        "before\n<!-- learning, ppo: a command -->\n\n| table |\n\n![x](results/ppo_curves.png)\n\n"
        "<!-- end of learning, ppo -->\nafter\n"
    )
    assert not handover.write_index("sac", "| table |", "", index=index)


@pytest.mark.parametrize("suite", ["ppo", "off_policy", "imitation"])
def test_the_index_shows_what_the_results_hold(suite):
    results = learning.saved_of(learning.RESULTS / f"{suite}.md")
    table = handover.index_table(SUITES[suite], results, is_normalised=suite in NORMALISED)
    assert table in handover.INDEX.read_text(encoding="utf-8")
    page = (learning.RESULTS / f"{suite}.md").read_text(encoding="utf-8")
    picture = handover.picture_of(suite, learning.RESULTS / f"{suite}.md", None)
    assert all(f"| {case.name} |" in page for case in SUITES[suite])
    assert not picture or (learning.RESULTS / f"{suite}_curves.png").is_file()


def test_a_center_of_one_seed_has_no_interval():
    assert handover.centre([3.4]) == "3" and handover.centre([3.0]) == "3"
    value, low, high = map(float, re.findall(r"[\d.]+", handover.centre([1.0, 2.0, 3.0], digits=1)))
    assert low < value == 2.0 < high
