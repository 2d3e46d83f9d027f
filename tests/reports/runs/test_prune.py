"""`reporter.py prune`: what goes, what stays, and that nothing but a plain yes deletes."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import reporter
from helpers import durable
from helpers.checkpoints.manifests import list_checkpoints
from helpers.checkpoints.proving import prove
from helpers.checkpoints.resolve import read_shared, resolve_checkpoint
from helpers.durable import UnprovenError
from helpers.errors import STORAGE
from helpers.run_folder import run_lock
from reports.runs import prune
from swarm.plan import PLAN_FILE
from tests.reports.stage import make_run
from tests.reports.trained import (
    BEST,
    LAST,
    checkpoints_of,
    content,
    damage,
    latest_of,
    there,
    trained,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path


@pytest.fixture
def pruned(root, capsys):
    """Prune, below the data root of the test; what was said."""

    def call(*words: str, status: int = 0) -> str:
        assert reporter.main(["--data_root", str(root), "prune", *words]) == status
        told = capsys.readouterr()
        return told.out + told.err

    return call


def test_nothing_is_deleted_where_nobody_says_yes(root, pruned):
    folder = trained(root / "runs")
    bare = make_run(root / "runs", "b.seed01", [1.0], ends=False)
    before = content(root)
    told = pruned("--keep", "2")
    assert content(root) == before
    assert "3 of 5 checkpoints: iterations 10, 30" not in told
    assert "2 of 5 checkpoints: iterations 10, 30; stays: 20 (best), 40 (kept), 50 (last)" in told
    assert (
        "nothing was deleted" in told
        and f"next: python reporter.py --data_root {root} prune" in told
    )
    size = sum(
        p.lstat().st_blocks * 512
        for i in (10, 30)
        for p in (folder / f"checkpoints/iter_{i:06d}").glob("*")
    )
    assert f"{size / 1024:.1f}K" in told
    told = pruned("--runs", "--where", "seed<9")
    assert content(root) == before
    assert bare.name in told and "which only --all deletes: a.seed00" in told


@pytest.mark.parametrize(
    ("keep", "left"),
    [(1, [20, 50]), (2, [20, 40, 50]), (9, [10, 20, 30, 40, 50])],
)
def test_a_run_without_its_old_checkpoints_resumes_and_is_evaluated(root, pruned, keep, left):
    folder = trained(root / "runs")
    told = pruned("--keep", str(keep), "--yes")
    assert there(folder) == left
    checkpoint = latest_of(folder)
    assert checkpoint.iteration == LAST and not checkpoint.warnings
    assert (checkpoint.shards["m"] == LAST).all() and checkpoint.shared["i"] == LAST
    assert read_shared(resolve_checkpoint(folder, "best"))[1]["i"] == BEST
    assert resolve_checkpoint(folder, "latest").name == f"iter_{LAST:06d}"
    assert not (folder / run_lock.LOCK_FILE).exists()
    assert ("deleted of a.seed00" in told) == (keep < 9)
    assert "there is nothing to delete" in pruned("--keep", str(keep), "--yes")


def test_what_resumes_a_run_is_what_is_whole(root, pruned):
    """The newest checkpoint is damaged, in a way that sizes do not show: the one before it stays."""
    folder = trained(root / "runs")
    damage(folder, LAST)
    told = pruned("--yes")
    assert there(folder) == [20, 40, 50] and "damaged" in told
    assert latest_of(folder).iteration == 40


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ((BEST,), "its best checkpoint is damaged"),
        (range(10, 60, 10), "no checkpoint that is whole"),
    ],
)
def test_a_run_whose_best_or_every_checkpoint_is_damaged_stays(root, pruned, broken, why):
    folder = trained(root / "runs")
    for iteration in broken:
        damage(folder, iteration)
    assert why in pruned("--yes") and there(folder) == [10, 20, 30, 40, 50]


def test_a_proof_notices_what_sizes_do_not(root):
    folder = trained(root / "runs")
    checkpoint = folder / "checkpoints" / f"iter_{LAST:06d}"
    prove(checkpoint)
    damage(folder, LAST)
    prove(checkpoint, sizes_alone=True)
    with pytest.raises(UnprovenError):
        prove(checkpoint)
    pack = folder / "checkpoints" / "worker_000.shards"
    os.truncate(pack, 100)
    for sizes_alone in (True, False):
        with pytest.raises(UnprovenError):
            prove(folder / "checkpoints" / "iter_000040", sizes_alone=sizes_alone)


def test_all_of_a_run(root, pruned):
    folder = trained(root / "runs")
    (folder / "checkpoints" / "1000_policy.pt").write_text("shared with somebody")
    assert "none stays, and it cannot resume" in pruned("--all", "--yes")
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["1000_policy.pt"]
    assert checkpoints_of(folder).load_latest() is None


# Runs that somebody trains


def busy(folder: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let a run be under way; the word that says so."""
    if how == "here":
        run_lock.take(folder)
        return "running"
    if how == "elsewhere":
        holder = {"host": "node17", "pid": 5, "started": 9}
        (folder / run_lock.LOCK_FILE).write_text(json.dumps(holder))
        return "node17"
    swarm = folder.parents[1] / "swarms" / "mine"
    swarm.mkdir(parents=True)
    (swarm / PLAN_FILE).write_text("{}")
    (folder / "job_swarm.json").write_text(json.dumps({"swarm": "mine", "folder": str(swarm)}))
    if how == "damaged plan":
        return "its swarm does not answer"
    plan = SimpleNamespace(name="mine", by_name={folder.name: SimpleNamespace(name=folder.name)})
    monkeypatch.setattr(prune, "load", lambda place: plan)
    status = {folder.name: SimpleNamespace(state=how)}
    monkeypatch.setattr(prune, "run_statuses", lambda plan, runs: status)
    return f"{how} in the swarm mine"


@pytest.mark.parametrize(
    "how",
    ["here", "elsewhere", "queued", "claimed", "unknown", "stopping", "damaged plan"],
)
@pytest.mark.parametrize(
    "what",
    [["--checkpoints"], ["--runs", "--all", "--where", "seed=0"], ["--all"]],
)
def test_a_run_under_way_stays(root, pruned, monkeypatch, how, what):
    folder = trained(root / "runs")
    word = busy(folder, how, monkeypatch)
    before = content(folder)
    assert word in pruned(*what, "--yes") and content(folder) == before


@pytest.mark.parametrize("what", [["--checkpoints"], ["--runs", "--all", "--where", "seed=0"]])
@pytest.mark.parametrize("how", ["here", "queued", "written"])
def test_a_run_that_begins_after_it_was_shown_stays(root, pruned, monkeypatch, how, what):
    folder = trained(root / "runs")

    def answer(question: str) -> str:
        if how == "written":
            later = time.time() + 5
            os.utime(folder / "metrics.jsonl", (later, later))
        else:
            busy(folder, how, monkeypatch)
        return "delete"

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr("reports.verbs.prune._is_terminal", lambda: True)
    assert "stays, " in pruned(*what) and there(folder) == [10, 20, 30, 40, 50]
    run_lock.release(folder)


@pytest.mark.parametrize(
    ("answer", "left"),
    [("delete", 2), (" delete ", 2), ("yes", 5), ("", 5), (None, 5)],
)
def test_a_person_types_the_word(root, pruned, monkeypatch, answer, left):
    folder = trained(root / "runs")

    def read(question: str) -> str:
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", read)
    monkeypatch.setattr("reports.verbs.prune._is_terminal", lambda: True)
    pruned()
    assert len(there(folder)) == left


# Links


def test_nothing_behind_a_link_is_deleted(root, pruned):
    runs, store = root / "runs", root / "store"
    trained(store, "outside.seed00")
    (runs / "link.seed00").symlink_to(store / "outside.seed00")
    moved = trained(runs, "moved.seed01")
    shutil.move(moved / "checkpoints", store / "checkpoints")
    (moved / "checkpoints").symlink_to(store / "checkpoints")
    one = trained(runs, "one.seed02")
    shutil.move(one / "checkpoints" / "iter_000010", store / "iter_000010")
    (one / "checkpoints" / "iter_000010").symlink_to(store / "iter_000010")
    whole = make_run(runs, "whole.seed03", [1.0], ends=False)
    shutil.rmtree(whole / "checkpoints")
    (whole / "data").symlink_to(store)
    before = content(store)
    for words in (["--checkpoints"], ["link.seed00"], ["--runs", "--all", "--older_than", "0"]):
        told = pruned(*words, "--yes")
        assert content(store) == before, words
    assert "a link leads there" in told
    assert not whole.exists() and not one.exists() and (runs / "link.seed00").is_symlink()


# What others need


def needs(runs: Path, folder: Path, how: str) -> None:
    """Another run that needs something of a run."""
    other = {"init_from": str(folder)}
    if how == "iteration":
        make_run(runs, "user.seed09", [1.0], settings=other | {"init_iter_num": "30"})
        return
    if how == "settings":
        make_run(runs, "user.seed09", [1.0], settings=other)
        return
    if how == "plan":
        swarm = runs.parent / "swarms" / "mine"
        swarm.mkdir(parents=True)
        run = {"name": "user.seed09", "folder": str(runs / "user.seed09"), "settings": other}
        (swarm / PLAN_FILE).write_text(json.dumps({"runs": [run]}))
        return
    user = make_run(runs, "user.seed09", [1.0])
    path = folder / "checkpoints" / "iter_000030" / "shared.safetensors"
    if how == "lineage":
        path = folder / "checkpoints" / "iter_000020" / "shared.safetensors"
        more: dict[str, object] = {"lineage": {"file": str(path)}}
    else:
        more = {"inputs": [{"role": "init_from", "name": "x", "path": str(path)}]}
    capsule = json.loads((user / "capsule.json").read_text()) | more
    (user / "capsule.json").write_text(json.dumps(capsule))


@pytest.mark.parametrize("how", ["settings", "iteration", "plan", "input", "lineage"])
def test_what_another_run_needs_is_said_and_stays(root, pruned, how):
    folder = trained(root / "runs")
    needs(root / "runs", folder, how)
    told = pruned("a.seed00", "--yes")
    needed = [20, 30, 50] if how in ("iteration", "input") else [20, 50]
    assert there(folder) == needed and ("30 (needed by user.seed09" in told) == (len(needed) == 3)
    told = pruned("a.seed00", "--runs", "--yes")
    assert folder.exists() and "stays, needed by user.seed09" in told
    told = pruned("a.seed00", "--runs", "--all")
    assert "warning: user.seed09" in told and "needs it" in told
    pruned("a.seed00", "--runs", "--all", "--yes")
    assert not folder.exists()


# Whole runs


def test_whole_runs_by_rule(root, pruned):
    runs = root / "runs"
    good = trained(runs)
    old = make_run(runs, "old.seed01", [1.0], ends=False)
    bare = make_run(runs / "deeper", "bare.seed02", [1.0], ends=False)
    outer = make_run(runs, "outer.seed03", [1.0], ends=False)
    inner = make_run(outer, "inner.seed04", [1.0], ends=False)
    for path in [*old.rglob("*"), old]:
        os.utime(path, (time.time() - 40 * 86400,) * 2, follow_symlinks=False)
    told = pruned("--runs", "--older_than", "30d", "--yes")
    assert (
        not old.exists()
        and bare.exists()
        and good.exists()
        and "the run; it has no checkpoint" in told
    )
    told = pruned("--runs", "--state", "stopped,failed", "--yes")
    assert not bare.exists() and inner.exists() and "another run lies inside: inner.seed04" in told
    pruned("--runs", "--where", "seed=0", "--yes")
    assert good.exists()
    pruned("--runs", "--where", "seed=0", "--all", "--yes")
    assert sorted(each.name for each in runs.iterdir()) == ["deeper", "outer.seed03"]


@pytest.mark.parametrize("what", [["--checkpoints"], ["--runs", "--all", "--where", "seed=0"]])
def test_an_interruption_leaves_nothing_that_looks_whole(root, pruned, monkeypatch, what):
    folder = trained(root / "runs")

    def die(path: Path) -> None:
        next(each for each in sorted(Path(path).rglob("*")) if each.is_file()).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(durable.shutil, "rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            pruned(*what, "--yes")
    if "--runs" in what:
        assert not folder.exists()
        assert "left by an interrupted prune" in pruned()
        assert "freed" in pruned("--yes")
        assert not list((root / "runs").iterdir())
        return
    assert there(folder) == [20, 30, 40, 50]
    for _, path in list_checkpoints(folder / "checkpoints"):
        prove(path)
    assert latest_of(folder).iteration == LAST  # which tidies, as a resumed run does
    pruned("--yes")
    assert there(folder) == [20, 50] and not list((folder / "checkpoints").glob(".tmp-*"))


def test_what_cannot_be_deleted_is_said(root, pruned, monkeypatch):
    trained(root / "runs")
    other = trained(root / "runs", "b.seed01")

    def fail(path: Path, target: Path) -> None:
        if "a.seed00" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        os.rename(path, target)

    monkeypatch.setattr(durable, "rename", fail)
    told = pruned("--yes", status=STORAGE)
    assert "1 could not be deleted" in told and "Permission denied" in told
    assert there(other) == [20, 50]


@pytest.mark.parametrize(
    ("words", "problem", "remedy"),
    [
        (["--runs"], "--runs alone is every run", "--state"),
        (["--keep", "0"], "--keep=0 is not 1 or more", "--all"),
        (["--keep", "2", "--all"], "--keep=2 keeps checkpoints, --all", "--keep"),
        (["--keep", "2", "--runs"], "--keep=2 keeps checkpoints, --runs", "--keep"),
        (["--runs", "--checkpoints"], "not allowed with", "-h"),
        (["--state", "fialed"], "--state fialed is no state", "failed"),
        (["--older_than", "30"], "'30' is no age", "30d"),
        (["--where", "p_lrr=1"], "p_lrr is no column", "p_lr"),
        (["nobody.seed00"], "nobody.seed00 is no swarm, no run", "Give one of these"),
    ],
)
def test_what_is_refused(root, pruned, words, problem, remedy):
    folder = trained(root / "runs")
    before = content(folder)
    lines = pruned(*words, "--yes", status=2).splitlines()
    assert len(lines) == 2 and problem in lines[0] and remedy in lines[1]
    assert content(folder) == before
