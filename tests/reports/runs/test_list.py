"""`reporter.py list`: all runs below a folder, chosen, sorted and laid out for a width."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

import reporter
from helpers.run_folder import run_lock
from reports.runs.entry import read_entry
from reports.runs.find import find_runs
from reports.runs.table import rows_of
from tests.reports.stage import make_run

DAY = 86400.0


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each kind, some of them deeper; a file that is no run, a loop of links, what an interruption left."""
    runs = tmp_path_factory.mktemp("root") / "runs"
    sac = {"algo": "sac", "env_id": "Pendulum-v1", "tau": 0.01}
    make_run(runs, "a.ppo.CartPole-v1.seed00", [1.0, 400.0], settings={"p_lr": 1e-3})
    make_run(runs, "a.ppo.CartPole-v1.seed01", [1.0, 350.0], settings={"p_lr": 1e-3})
    swarm = runs / "swarm" / "inside"
    make_run(
        swarm,
        "b.sac.Pendulum-v1.seed02",
        [-900.0],
        settings=sac | {"num_timesteps": 10**6},
        ends=False,
    )
    training = make_run(swarm, "c.seed03", [5.0, None], key="rollout/return_mean", rows=2)
    make_run(runs, "d.seed04", [1.0, float("nan")])
    failed = make_run(runs, "e.seed05", [2.0], ends=False, settings={"num_timesteps": 9999})
    crash = failed / "crash_worker_000.txt"
    crash.write_text("Traceback\nZeroDivisionError: division by zero")
    os.utime(crash, (time.time() + 5,) * 2)
    (make_run(runs, "f.seed06", [3.0]) / "config.yaml").write_text("algo: [ppo\n")
    elsewhere = make_run(runs, "g.seed07", [4.0], ends=False, settings={"num_timesteps": 9999})
    (elsewhere / run_lock.LOCK_FILE).write_text(
        json.dumps({"host": "node17", "pid": 5, "started": 9}),
    )
    for path in [*training.rglob("*"), training]:
        os.utime(path, (time.time() - 40 * DAY,) * 2, follow_symlinks=False)
    (runs / "notes.txt").write_text("of nobody")
    (runs / "loop").symlink_to(runs)
    make_run(runs / ".tmp-0123456789abcdef", "h.seed08", [1.0])
    return runs


def listed(runs: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> list[dict]:
    assert reporter.main(["list", str(runs), "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_run_is_there_once_with_its_state(runs, capsys):
    found = {each["name"]: each for each in listed(runs, capsys=capsys)}
    states = {name[0]: each["state"] for name, each in found.items() if name[-1] != "1"}
    assert states == {
        "a": "done",
        "b": "stopped",
        "c": "done",
        "d": "diverged",
        "e": "failed",
        "f": "damaged",
        "g": "unknown",
    }
    assert len(found) == 8
    one = found["b.sac.Pendulum-v1.seed02"]
    assert (one["algorithm"], one["task"], one["seed"]) == ("sac", "Pendulum-v1", 2)
    assert (one["steps"], one["num_timesteps"], one["return"]) == (1024, 10**6, -900.0)
    assert one["return_of"] == "evaluation" and one["settings"]["tau"] == "0.01"
    assert found["c.seed03"]["return"] == 5.0 and found["c.seed03"]["return_of"] == "training"
    assert found["d.seed04"]["return"] is None and "nan" in found["d.seed04"]["reason"]
    assert "ZeroDivisionError" in found["e.seed05"]["reason"]
    assert "node17" in found["g.seed07"]["reason"]
    assert 40 * DAY <= found["c.seed03"]["age"] < 41 * DAY and one["age"] < DAY
    real = sum(p.lstat().st_blocks for p in Path(one["folder"]).rglob("*") if not p.is_dir())
    assert one["size"] == 512 * real > 0


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["state=done"], "aac"),
        (["state!=done"], "bdefg"),
        (["state=failed,stopped"], "be"),
        (["p_lr=0.001"], "aa"),
        (["p_lr>=1e-3", "seed=1"], "a"),
        (["tau=1e-2"], "b"),
        (["tau!=1e-2"], ""),  # a run without the setting meets no condition on it
        (["task=Pend*"], "b"),
        (["name=a.*"], "aa"),
        (["env_id=cartpole-v1", "return>360"], "a"),
        (["age>30d"], "c"),
        (["age<=4w", "size<1k"], ""),
        (["size>1k", "state=damaged"], "f"),
        (["wandb_project=none", "algo=sac"], "b"),
        (["seed<2", "--where", "seed>0"], "a"),
    ],
)
def test_conditions(runs, capsys, words, names):
    found = listed(runs, "--where", *words, capsys=capsys)
    assert "".join(sorted(each["name"][0] for each in found)) == names


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--sort", "return"], "aaecb"),
        (["--sort", "return", "--reverse"], "bcgea"),
        (["--sort", "name", "--reverse"], "gfedcb"),
        (["--sort", "tau"], "b"),
        (["--sort", "seed", "--where", "algo=ppo"], "aacdeg"),
    ],
)
def test_orders(runs, capsys, words, names):
    found = [each["name"][0] for each in listed(runs, *words, capsys=capsys)]
    if "return" in words:
        found = [name for name in found if name in names]
        returns = {"a": 400, "e": 2, "c": 5, "b": -900, "g": 4}
        assert found[0] == names[0] and found == sorted(
            found,
            key=returns.__getitem__,
            reverse="--reverse" not in words,
        )
    else:
        assert "".join(found).startswith(names)


def test_the_newest_come_first(runs, capsys):
    assert listed(runs, capsys=capsys)[-1]["name"] == "c.seed03"


@pytest.mark.parametrize("columns", [80, 200])
def test_the_table_keeps_to_its_width_and_has_no_colours_in_a_pipe(
    runs,
    capsys,
    monkeypatch,
    columns,
):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert reporter.main(["list", str(runs)]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    table = lines[: next(i for i, line in enumerate(lines) if line.startswith("8 runs"))]
    assert max(map(len, table)) <= columns and "\x1b" not in out
    at = next(i for i, line in enumerate(table) if "b.sac.Pendulum-v1.seed02" in line)
    row = table[at] if columns == 200 else table[at + 1]
    for cell in ("stopped", "1.02k/1M", "-900", "sac", "Pendulum-v1"):
        assert cell in row.split()
    assert any(" 5*" in line for line in table) and "* return of the training's episodes" in out
    assert "ZeroDivisionError" in out and "3 done, 1 stopped" in out and "next: python" in out


def test_a_long_reason_is_wrapped_and_says_nothing_to_the_terminal(runs):
    entry = read_entry(runs / "e.seed05", time.time())
    texts = [row.text for row in rows_of([replace(entry, reason="\x1b[2J" + "word " * 60)], 72)]
    assert max(map(len, texts)) <= 72 and not any("\x1b" in text for text in texts)
    assert sum(text.count("word") for text in texts) == 60


def test_a_long_task_is_shortened_where_it_is_narrow(runs):
    entry = read_entry(runs / "swarm" / "inside" / "b.sac.Pendulum-v1.seed02", time.time())
    entry = replace(
        entry,
        state="diverged",
        task="/home/a/my_task.py:MyVeryOwnTask",
        steps=10**7 + 234,
    )
    for width in (80, 100, 200):
        texts = [row.text for row in rows_of([entry], width)]
        row = next(text for text in texts if "diverged" in text)
        assert max(map(len, texts)) <= width and row.endswith("OwnTask")
    assert row.endswith(entry.task)


def test_an_evaluation_far_from_the_end_is_found(tmp_path):
    folder = make_run(tmp_path, "a.seed00", [7.0], rows=1)
    filler = {f"policy/metric_{i}": 0.123456789 for i in range(40)}
    with (folder / "metrics.jsonl").open("a") as file:
        for i in range(2, 200):
            row = {"iteration": i, "step": 1024 * i, "rollout/return_mean": 1.0} | filler
            file.write(json.dumps(row) + "\n")
        file.write('{"iteration": 200, "eval/return_mean": 9')  # cut
    assert (folder / "metrics.jsonl").stat().st_size > 1 << 17
    entry = read_entry(folder, time.time())
    assert (entry.return_, entry.return_of, entry.steps) == (7.0, "evaluation", 1024 * 199)


def test_a_run_behind_a_link_counts_where_it_lies(tmp_path):
    real = make_run(tmp_path / "store", "a.seed00", [1.0])
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "again").symlink_to(real)
    found = find_runs([tmp_path])
    assert found.runs == [real] and not found.linked
    found = find_runs([runs])
    assert found.runs == [runs / "again"] and found.linked == {runs / "again"}


@pytest.mark.parametrize(
    ("words", "problem", "remedy"),
    [
        (["--where", "p_lrr=1"], "p_lrr is no column and no setting", "p_lr"),
        (["--sort", "retrun"], "--sort: retrun", "return"),
        (["--where", "p_lr"], "'p_lr' is no condition", "KEY=VALUE"),
        (["--where", "p_lr<fast"], "'fast' is no number", "p_lr=fast"),
        (["--where", "age>30"], "'30' is no age", "30d"),
        (["--where", "size>many"], "'many' is no size", "500MiB"),
        (["nowhere"], "nowhere is no swarm", "remedy: "),
        (["--runs_dir", "nowhere"], "--runs_dir nowhere is no folder", "the usual one is"),
    ],
)
def test_what_is_refused(runs, capsys, tmp_path, words, problem, remedy):
    folders = [] if words[0] in ("nowhere", "--runs_dir") else [str(runs)]
    status = reporter.main(["--data_root", str(tmp_path), "list", *folders, *words])
    told = capsys.readouterr()
    lines = told.err.splitlines()
    assert status == 2 and len(lines) == 2 and not told.out
    assert problem in lines[0] and remedy in lines[1]


def test_a_folder_without_runs(tmp_path, capsys):
    (tmp_path / "runs").mkdir()
    for words in (["list"], ["list", str(tmp_path / "runs")]):
        assert reporter.main(["--data_root", str(tmp_path), *words]) == 2
        assert "There are no runs in" in capsys.readouterr().err
