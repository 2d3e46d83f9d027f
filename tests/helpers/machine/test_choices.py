"""Routes that a process takes: asked for once, kept for a machine, obeyed by a resumed run."""

import multiprocessing
import os

import pytest

from helpers.machine import choices
from helpers.machine.choices import NATIVE, TORCH


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    monkeypatch.setattr(choices, "_presets", {})
    monkeypatch.setattr(choices, "_made", {})


def never():
    raise AssertionError("not to be asked")


def test_a_choice_is_measured_and_noted_and_what_is_obeyed_is_not_measured():
    assert choices.choose("a", lambda: NATIVE) == NATIVE
    assert choices.choose("b", lambda: TORCH) == TORCH
    assert choices.all_choices() == {"a": NATIVE, "b": TORCH}
    choices.set_presets({"a": TORCH, "not used": NATIVE})
    assert choices.preset("a") == TORCH and choices.preset("b") is None
    assert choices.choose("a", never) == TORCH
    # What a resumed run has not come to yet stays in its capsule.
    assert choices.all_choices() == {"a": TORCH, "b": TORCH, "not used": NATIVE}


def test_what_was_measured_on_a_machine_is_kept_and_a_damaged_file_renewed(tmp_path):
    path = tmp_path / "piece.json"
    assert choices.cached(path, lambda: TORCH) == TORCH
    assert choices.cached(path, never) == TORCH
    for damage in ("", '{"choice": "both"}', "[]"):
        path.write_text(damage)
        assert choices.cached(path, lambda: NATIVE) == NATIVE
        assert choices.cached(path, never) == NATIVE
    assert os.listdir(tmp_path) == ["piece.json"]


def test_where_nothing_can_be_kept_it_is_measured_each_time(tmp_path):
    path = tmp_path / "nowhere" / "piece.json"
    assert choices.cached(path, lambda: TORCH) == TORCH
    assert choices.cached(path, lambda: NATIVE) == NATIVE


def _ask(path, barrier, choice, answers):
    def measure():
        barrier.wait()  # all have found nothing kept
        return choice

    answers.put(choices.cached(path, measure))


def test_workers_that_measure_at_once_are_given_one_answer(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(4), context.SimpleQueue()
    processes = [
        context.Process(target=_ask, args=(tmp_path / "p.json", barrier, choice, answers))
        for choice in (NATIVE, TORCH, NATIVE, TORCH)
    ]
    for process in processes:
        process.start()
    given = {answers.get() for _ in processes}
    for process in processes:
        process.join()
    assert len(given) == 1 and choices.cached(tmp_path / "p.json", never) in given
