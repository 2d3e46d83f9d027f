"""Other libraries' runs beside our own, in one figure, one table and one comparison; what differs is said."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

import reporter
from reports.results.compare import compare, two_groups
from reports.results.scores import all_scores
from tests.reports.foreign.test_readers import CLEANRL, SB3, ZOO
from tests.reports.stage import make_group


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    for rate in (1e-3, 1e-4):
        make_group(root / "ours", f"rate{rate}.ppo", 100, seeds=2, p_lr=rate)
    rows = [f"{step},{seed},{seed + step}" for seed in range(2) for step in range(1, 5)]
    (root / "peers.csv").write_text("step,seed,return\n" + "\n".join(rows) + "\n")
    return root


def test_one_report_of_ours_and_theirs(root, capsys):
    words = [
        str(root / "ours"),
        str(SB3),
        str(ZOO),
        str(CLEANRL),
        f"Tianshou: A2C={root / 'peers.csv'}",
    ]
    asked = ["--other_task=CartPole-v1", "--csv_kind=evaluation", "--name=both"]
    assert reporter.main(["--data_root", str(root), "report", *words, *asked]) == 0
    out = capsys.readouterr().out
    with (root / "reports" / "both" / "tables" / "results.csv").open(newline="") as file:
        groups = [row["group"] for row in csv.DictReader(file)]
    assert groups == [
        "ppo p_lr=0.0001",
        "ppo p_lr=0.001",
        "SB3: PPO",
        "RL Zoo: ppo",
        "CleanRL: ppo",
        "Tianshou: A2C",
    ]
    for told in (
        "CartPole-v1: groups are measured in different ways, ",
        "SB3: PPO and CleanRL: ppo by returns of training, with exploration",
        "note: RL Zoo: ppo: RL Zoo, evaluations.npz: each point is a mean of 3 episodes",
        "--csv_kind=evaluation",  # in the next command
        "from peers.csv, read as returns of evaluations without exploration",
    ):
        assert told in out, told
    settings = (root / "reports" / "both" / "tables" / "settings.md").read_text()
    [row] = [line for line in settings.splitlines() if line.startswith("| p_lr")]
    assert row == "| p_lr | 0.0001 | 0.001 | not recorded | not used | not used | not recorded |"
    page = (root / "reports" / "both" / "report.html").read_text()
    assert "Trained with other libraries, and read from their files: SB3: PPO, RL Zoo: ppo" in page
    assert page.count("on seeds that training never sees") == 1 and "mean of 10 episodes" in page


def test_ours_are_compared_with_theirs_and_seeds_are_no_pairs(root, capsys, tmp_path):
    content = next((CLEANRL / "CartPole-v1__ppo__1__1795863001").iterdir()).read_bytes()
    content = content.replace(b"hyperparameters", b"hyperparametres")  # the seeds are the folders'
    for seed in range(1, 7):
        folder = tmp_path / "a" / f"CartPole-v1__ppo__{seed}__1700000000"
        folder.mkdir(parents=True)
        (folder / "events.out.tfevents.1.host.1.0").write_bytes(content)
    ours = make_group(tmp_path / "b", "mine.ppo", 100, seeds=7)[1:]
    collected, grouping = two_groups(
        [str(tmp_path / "a"), *map(str, ours)],
        by=["algo"],
        of=[],
        source=None,
        allow_mixed=False,
    )
    scores = all_scores(grouping, "final")
    assert [each.seeds for each in scores] == [tuple(range(1, 7))] * 2
    labels = tuple(group.label for group in grouping.groups)
    assert not compare(scores, labels, {}, center="iqm").main.permutation.pairs
    verb = ["compare", str(root / "ours"), str(root / "peers.csv"), "--csv_step=updates"]
    assert reporter.main(["--data_root", str(root), *verb]) == 2  # its flags are those of report
    assert "peers.csv has no column updates" in capsys.readouterr().err


def test_a_group_that_is_called_as_one_of_ours_is_refused(root, capsys):
    words = [str(root / "ours"), f"ppo={CLEANRL}"]
    assert reporter.main(["--data_root", str(root), "report", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "ppo is a group of" in lines[0] and "CleanRL: ppo=" in lines[1]


def test_theirs_beside_ours_in_one_folder_are_not_dropped(tmp_path, capsys):
    make_group(tmp_path / "mixed", "mine.ppo", 100, seeds=1)
    shutil.copytree(CLEANRL, tmp_path / "mixed" / "theirs")
    (tmp_path / "mixed" / "mine.ppo.seed00" / "events.out.tfevents.milozero").write_bytes(b"")
    collected, grouping = two_groups(
        [str(tmp_path / "mixed")],
        by=[],
        of=[],
        source=None,
        allow_mixed=False,
    )
    assert [group.label for group in grouping.groups] == ["ppo", "CleanRL: ppo"]
    assert np.all([run.library for run in grouping.groups[1].runs])
