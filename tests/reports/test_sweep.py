"""A sweep ends with an answer: a ranking, what each setting does, and the best as a task file that main.py reads."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import reporter
from agents.algorithms import SCHEMA
from reports.collect import collect
from reports.results.groups import group_runs
from reports.results.sweep import find_sweep
from swarm.control import find_swarm
from swarm.plan import Caliber, Launch, Plan, Run, save
from swarm.watch import lines_of, to_json
from tests.reports.stage import make_run, returns_of

LEVELS = {(1e-3, 0.1): 100, (1e-3, 0.3): 150, (1e-2, 0.1): 300, (1e-2, 0.3): 400}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A swarm of 2 x 2 settings with 3 seeds, of which one run has not begun."""
    root = tmp_path_factory.mktemp("root")
    runs = []
    for trial, ((rate, clip), level) in enumerate(LEVELS.items()):
        for seed in range(3):
            name = f"t{trial}.ppo.seed{seed:02d}"
            given = {"p_lr": rate, "clip_ratio": clip}
            if (trial, seed) != (1, 2):
                make_run(root / "runs", name, returns_of(level, seed, 5), settings=given)
            whole = {"algo": "ppo", "env_id": "CartPole-v1", "num_timesteps": 5120, "seed": seed}
            whole |= {"uuid": name, "runs_dir": str(root / "runs"), **given}
            config = SCHEMA.resolve(SCHEMA.layer_of(whole)).config
            runs.append(Run(name, config, root / "runs" / name, trial))
    launch = Launch("local", root, Path("/usr/bin/python3"), caliber=Caliber("none"))
    save(Plan("grid-1234", root / "swarms" / "grid-1234", tuple(runs), launch))
    return root


def test_the_report_of_a_sweep(root, capsys):
    assert (
        reporter.main(["--data_root", str(root), "report", str(root / "swarms" / "grid-1234")]) == 0
    )
    out = capsys.readouterr().out
    folder = root / "reports" / "grid-1234"
    with (folder / "tables" / "ranking.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(float(row["p_lr"]), float(row["clip_ratio"])) for row in rows] == list(LEVELS)[::-1]
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4"] and rows[2]["runs"] == "2"
    best = SCHEMA.resolve(SCHEMA.read_file(folder / "best.yaml")).config
    values = best.model_dump()
    assert (values["p_lr"], values["clip_ratio"], best.num_timesteps) == (1e-2, 0.3, 5120)
    assert f"next: python main.py --config={folder / 'best.yaml'}" in out
    assert "seed 2 missing: it has not begun" in out
    assert {each.stem for each in (folder / "figures").glob("*.png")} >= {
        "effects",
        "parallel",
        "curves",
    }
    page = (folder / "report.html").read_text()
    assert "flattered by chance" in page and "clip_ratio: 0.3" in page


def test_the_effects_are_means_over_the_other_settings(root):
    collected = collect([str(root / "swarms" / "grid-1234")])
    grouping = group_runs(collected.series)
    assert len(grouping.groups) == 4
    sweep = find_sweep(
        collected.series,
        collected.trials,
        grouping,
        {},
        center="mean",
        score="final",
    )
    assert sweep is not None and sweep.lead is not None
    assert sweep.keys == ("p_lr", "clip_ratio") and sweep.lead.value > 0
    overall = {
        tuple(map(float, each.values.values())): each.overall.value for each in sweep.settings
    }
    effect = sweep.effects["p_lr"]["0.01"].value
    assert effect == pytest.approx((overall[0.01, 0.1] + overall[0.01, 0.3]) / 2)
    settings = {key: dict(values) for key, values in grouping.differing.items()}
    assert set(settings) == {"p_lr", "clip_ratio"}


def test_a_swarm_of_one_setting_is_no_sweep(root):
    collected = collect([str(root / "runs")])
    assert collected.trials == {}


def test_watching_shows_swept_settings_and_means_of_seeds(root, capsys):
    plan = find_swarm(str(root / "swarms" / "grid-1234"))
    content = json.loads(to_json(plan, lines_of(plan)))
    found = {tuple(each["settings"].values()): each for each in content["settings"]}
    assert set(found) == {("0.001", "0.1"), ("0.001", "0.3"), ("0.01", "0.1"), ("0.01", "0.3")}
    mean = sum(returns_of(400, seed, 5)[-1] for seed in range(3)) / 3
    assert found["0.01", "0.3"]["return_mean"] == pytest.approx(mean)
    assert found["0.001", "0.3"]["seeds"] == 2 and found["0.001", "0.3"]["runs"] == 3
    assert content["runs"][0]["settings"] == {"p_lr": "0.001", "clip_ratio": "0.1"}
    assert reporter.main(["watch", str(plan.folder), "--once"]) == 0
    out = capsys.readouterr().out
    assert "p_lr" in out and "mean of seeds" in out
