"""What a worker is told while it waits, and what it does about a child that fails."""

import logging
import os
import sys
import textwrap
import time

import pytest
import torch

from agents.compute import compile_jobs, compile_piece
from agents.compute.compile_jobs import Jobs

GRAPH = torch.fx.GraphModule({}, torch.fx.Graph())


@pytest.fixture
def child(monkeypatch, tmp_path, caplog):
    """Let a script stand in for the process that compiles; what it is asked for is `job`."""
    caplog.set_level(logging.INFO, logger="agents.compute.compiled_step")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.export, "export", lambda graph, tensors: None)
    monkeypatch.setattr(torch.export, "save", lambda exported, path: path.write_text(""))
    monkeypatch.setattr(compile_jobs.shutil, "which", lambda name: name)
    starts = []

    def put(*scripts):
        head = "import json, sys, time, pathlib\njob = json.loads(sys.stdin.readline())\n"
        files = []
        for i, script in enumerate(scripts):
            files.append(tmp_path / f"child{i}.py")
            files[-1].write_text(head + textwrap.dedent(script))
        real = compile_jobs.subprocess.Popen

        def started(command, **settings):
            assert settings["start_new_session"] and command[:2] == [sys.executable, "-m"]
            starts.append(command)
            return real([sys.executable, files[min(len(starts), len(files)) - 1]], **settings)

        monkeypatch.setattr(compile_jobs.subprocess, "Popen", started)
        return starts

    return put


ANSWER = 'print(json.dumps({"library": job["library"], "error": %r}), flush=True)\n'
MAKE = 'pathlib.Path(job["library"]).write_text("")\n'


def compiled(tmp_path):
    jobs, library = Jobs(), tmp_path / "piece-1.so"
    jobs.begin(lambda: GRAPH, [], library)
    try:
        return jobs.wait(library)
    finally:
        jobs.close()
        assert jobs._child is None and jobs._folder is None


def test_a_step_that_fails_is_tried_once_more(child, tmp_path, caplog):
    starts = child(ANSWER % "no" + "sys.exit(1)", MAKE + ANSWER % "" + "time.sleep(60)")
    assert compiled(tmp_path) == ""
    assert len(starts) == 2
    assert [r.message for r in caplog.records][-1].startswith("compiled 1 gradient step in")


def test_one_that_fails_twice_says_why(child, tmp_path):
    child(*(ANSWER % f"{name}.cpp: error: no" + "time.sleep(60)" for name in "ab"))
    assert compiled(tmp_path) == "b.cpp: error: no"


def test_of_a_child_that_ends_its_last_words_are_told(child, tmp_path):
    starts = child('sys.exit("ImportError: there is no torch")')
    assert compiled(tmp_path) == "ImportError: there is no torch"
    assert len(starts) == 2


def test_the_time_left_is_told_as_long_as_it_is_known(child, tmp_path, monkeypatch, caplog):
    (tmp_path / "milozero" / "kernels").mkdir(parents=True)
    child("time.sleep(0.8)\n" + MAKE + "time.sleep(60)")
    monkeypatch.setattr(compile_jobs, "TELL_SECONDS", 0.25)
    monkeypatch.setattr(compile_jobs, "START_SECONDS", 1.0)
    compile_piece._record_seconds(tmp_path / "milozero" / "kernels", 0.4)
    assert compiled(tmp_path) == ""
    assert compile_piece.expected_seconds(tmp_path) == compile_piece.PIECE_SECONDS
    first, *others, last = [record.message for record in caplog.records]
    assert first.startswith("compiling 1 gradient step for ") and first.endswith("about 1 s")
    assert others and all(
        text.startswith("compiling: 0 of 1 gradient step done") for text in others
    )
    assert last.startswith("compiled 1 gradient step in")


@pytest.mark.parametrize(
    ("size", "cores", "expected"),
    [(None, 2, 3), (2, 2, 1), (2, 8, 5), (16, 8, 1)],
)
def test_a_worker_takes_its_share_of_the_cores(size, cores, expected, monkeypatch):
    told = (
        None
        if size is None
        else compile_jobs.find_announcement({"PMI_RANK": "0", "PMI_SIZE": str(size)})
    )
    monkeypatch.setattr(compile_jobs, "find_announcement", lambda: told)
    monkeypatch.setattr(compile_jobs.os, "sched_getaffinity", lambda process: range(cores))
    assert compile_jobs.at_once() == expected


def test_what_another_worker_has_compiled_is_neither_traced_nor_compiled(child, tmp_path):
    starts = child("time.sleep(0.2)\n" + MAKE + "time.sleep(60)")
    library, traced = tmp_path / "piece-1.so", []
    workers = Jobs(), Jobs()
    for jobs in workers:

        def trace(jobs=jobs):
            traced.append(jobs)
            return GRAPH

        jobs.begin(trace, [], library)
    assert [jobs.wait(library) for jobs in reversed(workers)] == ["", ""]
    assert traced == [workers[0]] and len(starts) == 1
    for jobs in workers:
        jobs.close()


def test_what_another_worker_has_given_up_is_taken_over(child, tmp_path):
    child("time.sleep(60)", MAKE + "time.sleep(60)")
    library = tmp_path / "piece-1.so"
    first, second = Jobs(), Jobs()
    first.begin(lambda: GRAPH, [], library)
    second.begin(lambda: GRAPH, [], library)
    first.close()
    assert second.wait(library) == ""
    second.close()


def test_what_a_killed_process_left_is_removed_and_nothing_else(child, tmp_path, monkeypatch):
    monkeypatch.setattr(compile_jobs.tempfile, "tempdir", str(tmp_path))
    left, young = (tmp_path / f"{compile_jobs.PREFIX}{name}" for name in ("left", "young"))
    for folder in (left, young):
        folder.mkdir()
        (folder / "alive.lock").write_text("")
    long_ago = time.time() - 100.0
    os.utime(left / "alive.lock", (long_ago, long_ago))
    child("time.sleep(60)")
    jobs = Jobs()
    jobs.begin(lambda: GRAPH, [], tmp_path / "piece-1.so")
    assert not left.exists() and young.exists() and jobs._folder is not None
    os.utime(jobs._folder / "alive.lock", (long_ago, long_ago))
    compile_jobs._sweep()  # of another process
    assert jobs._folder.exists()
    jobs.close()
    assert list(tmp_path.glob(f"{compile_jobs.PREFIX}*")) == [young]
