"""CSV files: long ones, wandb's with a column a run, and all that goes wrong in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.errors import ConfigurationError
from reports.collect import collect
from reports.foreign.others import Others

LONG = """step,seed,group,task,return
20,0,ppo,Hopper-v5,2
10,0,ppo,Hopper-v5,1
10,1,ppo,Hopper-v5,3
10,0,sac,Hopper-v5,4
"""


def read(tmp_path: Path, text: str, *, name: str = "peers.csv", word: str = "{}", **others):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return collect([word.format(path)], others=Others(**others))


def test_a_row_a_point(tmp_path):
    found = read(tmp_path, LONG)
    assert [(run.algorithm, run.seed, run.steps.tolist()) for run in found.series] == [
        ("peers: ppo", 0, [10, 20]),
        ("peers: ppo", 1, [10]),
        ("peers: sac", 0, [10]),
    ]
    first = found.series[0]
    assert (
        first.returns.tolist() == [1, 2]
        and first.task == "Hopper-v5"
        and first.source == "training"
    )
    assert first.final_seconds is None and first.name == "peers.csv Hopper-v5 ppo seed 0"
    assert any("--csv_kind" in note for note in found.notes)
    assert read(tmp_path, LONG, kind="evaluation").series[0].source == "evaluation"


def test_other_names_of_columns_and_what_is_not_in_them(tmp_path):
    text = (
        "\ufeffglobal_step; value ;wall\r\n1000.0;5.5;x\r\n2000.0;;x\r\n3000.0;nan;x\r\n4e3;7;x\r\n"
    )
    told = {"step": "global_step", "returns": "value", "task": "Hopper-v5", "seed": 3}
    [run] = read(tmp_path, text, word="their SAC={}", **told).series
    assert (run.algorithm, run.task, run.seed) == ("their SAC", "Hopper-v5", 3)
    assert run.steps.tolist() == [1000, 4000] and run.returns.tolist() == [5.5, 7.0]
    assert run.not_finite == 1 and run.state == "done"
    ends = text.replace(";7;", ";inf;")
    [lost] = read(tmp_path, ends, **told).series
    assert (lost.state, lost.reason) == ("diverged", "its last return is inf")


def test_a_file_without_seeds_is_one_run_whose_seed_is_not_known(tmp_path):
    found = read(tmp_path, "step,return\n1,2\n", task="Hopper-v5")
    assert not found.series[0].seed_is_known and "numbered" in found.notes[0]


def test_an_export_of_wandb_with_a_column_a_run(tmp_path):
    metric = "charts/episodic_return"
    names = [
        "Hopper-v4__td3__1__1700000000",
        "Hopper-v4__td3__2__1700000001",
        "ppo_Hopper-v4_seed7",
    ]
    head = ",".join(["Step", *(f'"{n} - {metric}","{n} - {metric}__MIN"' for n in names)])
    rows = "100,1,1,,,5,5\n200,2,2,20,20,,\n"
    found = read(tmp_path, f"{head}\n{rows}", returns=metric)
    told = [
        (r.algorithm, r.task, r.seed, r.steps.tolist(), r.returns.tolist()) for r in found.series
    ]
    assert told == [
        ("peers: td3", "Hopper-v4", 1, [100, 200], [1, 2]),
        ("peers: td3", "Hopper-v4", 2, [200], [20]),
        ("peers: ppo", "Hopper-v4", 7, [100], [5]),
    ]


@pytest.mark.parametrize(
    ("text", "others", "problem", "remedy"),
    [
        ("a,return\n1,2\n", {}, "has no column step", "--csv_step COLUMN; it has: a, return"),
        ("step,a\n1,2\n", {}, "has no column return", "--csv_return COLUMN; it has: step, a"),
        (LONG, {"seed_column": "rank"}, "has no column rank", "--csv_seed"),
        (
            "step,return\n1,2\n1,3\n",
            {},
            "line 3: step 1 is there twice, first in line 2",
            "--csv_seed",
        ),
        (
            LONG + "10,1,ppo,Hopper-v5,3\n",
            {},
            "step 10 of Hopper-v5 ppo seed 1 is there twice",
            "one row a step",
        ),
        ("step,return\n1,two\n", {}, "line 2: return is 'two', no number", "--csv_return"),
        ("step,return\n1.5,2\n", {}, "line 2: step is 1.5, which is no count", "--csv_step"),
        ("step,return\nnan,2\n", {}, "step is nan, which is no count", "whole numbers"),
        ("step,return\n-1,2\n", {}, "step is -1, which is no count", "whole numbers"),
        ("step,return\n", {}, "has no row with a step and a return", "it has: step, return"),
        ("", {}, "has no column step", "--csv_step"),
        ("step,return\n1,2\n", {}, "The task of", "--other_task Hopper-v5"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_remedy(tmp_path, text, others, problem, remedy):
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, text, **others)
    assert problem in caught.value.problem and remedy in caught.value.remedy
    assert "\n" not in caught.value.problem + caught.value.remedy


def test_a_file_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "peers.csv"
    path.write_bytes("step,return\n1,2\n".encode("utf-16"))
    with pytest.raises(ConfigurationError, match="Export it as CSV in UTF-8"):
        collect([str(path)])
