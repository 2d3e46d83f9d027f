"""`python -m benchmarks.mutants`: its faults are still those of the sources, and verdicts are what they say."""

from __future__ import annotations

import ast
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.mutants import __main__ as program
from benchmarks.mutants.audit import BROKEN, CAUGHT, SURVIVED, TIME_LIMIT, Judge, Results, Verdict
from benchmarks.mutants.faults.every import ADDED, MUTANTS
from benchmarks.mutants.faults.survivors import SURVIVORS, TRIED
from benchmarks.mutants.mutant import Mutant, StaleError
from benchmarks.mutants.page import page
from tests.patience import patience

ROOT = Path(__file__).resolve().parents[3]
# They say that something has changed, whatever it is: they catch every mutant, and tell of none that it is wrong.
CHANGE_DETECTORS = ("test_golden", "test_edited_losses")


# The list


def test_every_fault_can_still_be_put_into_its_source() -> None:
    sources = {
        path: (ROOT / path).read_text(encoding="utf-8") for path in {m.path for m in MUTANTS}
    }
    for mutant in MUTANTS:
        changed = mutant.applied(sources[mutant.path])  # StaleError: not there exactly once
        assert changed != sources[mutant.path], mutant.name
        if mutant.path.endswith(".py"):
            ast.parse(changed)
    assert len(MUTANTS) >= 200
    assert {m.name for m in MUTANTS} >= SURVIVORS and len(SURVIVORS) <= TRIED
    assert [name for name, count in Counter(m.name for m in MUTANTS).items() if count > 1] == []


def test_tests_that_should_notice_are_there_and_judge() -> None:
    for test in {test for mutant in MUTANTS for test in mutant.tests} | set(ADDED):
        path, _, name = test.partition("::")
        text = (ROOT / path).read_text(encoding="utf-8")
        assert f"def {name.partition('[')[0]}(" in text if name else "def test_" in text, test
        assert not any(each in path for each in CHANGE_DETECTORS), test


# Judging


SOURCE = "def double(x):\n    return 2 * x\n"
TEST = "from code_under_test import double\n\ndef test_two():\n    assert double(1) == 2\n"
WRONG = Mutant("doubles thrice", "code_under_test.py", "2 * x", "3 * x", ("test_it.py",))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    (folder / "code_under_test.py").write_text(SOURCE)
    (folder / "test_it.py").write_text(TEST)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def judge(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    with Judge(root, tmp_path_factory.mktemp("copy"), preload=()) as made:
        yield made


FOR_EVER = replace(WRONG, text="return", replacement="while True: pass\n    return")


@pytest.mark.parametrize(
    ("mutant", "outcome", "by"),
    [
        (WRONG, CAUGHT, {"test_it.py::test_two"}),
        (replace(WRONG, replacement="x + 1"), SURVIVED, {""}),
        (replace(WRONG, replacement="2 *"), BROKEN, {""}),  # no fault, but no program
        (replace(WRONG, tests=("test_it.py::test_nothing",)), BROKEN, {""}),
        (FOR_EVER, CAUGHT, {"test_it.py::test_two", TIME_LIMIT}),
    ],
    ids=["wrong", "as good", "no program", "no test", "for ever"],
)
def test_a_verdict_is_what_the_tests_say(
    judge: Judge,
    mutant: Mutant,
    outcome: str,
    by: set[str],
) -> None:
    found = judge.judge(mutant, seconds=2.0 if mutant is FOR_EVER else patience(30.0))
    assert found.outcome == outcome and found.by in by, found
    assert (judge.tree / mutant.path).read_text() == SOURCE


def test_what_runs_after_a_fault_runs_without_it(judge: Judge) -> None:
    for _ in range(2):
        assert judge.judge(WRONG, seconds=patience(30.0)).outcome == CAUGHT
        assert judge.run(WRONG.tests, seconds=patience(30.0)).outcome == SURVIVED


def test_the_tree_itself_is_left_alone_and_a_stale_fault_is_an_error(
    root: Path,
    judge: Judge,
) -> None:
    assert (root / WRONG.path).read_text() == SOURCE
    for text in ("4 * x", "x"):
        with pytest.raises(
            StaleError,
            match="doubles thrice: code_under_test.py has its text . times",
        ):
            judge.judge(replace(WRONG, text=text), seconds=20.0)


# Results


def test_a_verdict_holds_until_the_fault_its_file_or_its_tests_change(
    root: Path,
    tmp_path: Path,
) -> None:
    path = tmp_path / "results.json"
    Results(path, root).put(
        WRONG,
        Verdict(CAUGHT, "test_it.py::test_two", "assert 3 == 2", 1.0),
        tree=root,
    )
    again = Results(path, root)
    assert (
        again.has(WRONG)
        and again.outcome(WRONG) == CAUGHT
        and again.tests() == ["test_it.py::test_two"]
    )
    assert not again.has(replace(WRONG, replacement="4 * x"))
    for name in ("code_under_test.py", "test_it.py"):
        kept = (root / name).read_text()
        (root / name).write_text(kept + "\n")
        assert not again.has(WRONG)
        (root / name).write_text(kept)
    again.put(replace(WRONG, name="is gone"), Verdict(SURVIVED, "", "", 1.0), tree=root)
    again.keep([WRONG])
    assert list(Results(path, root).verdicts) == [WRONG.name]
    again.forget("test_it.py::test_two")
    assert not Results(path, root).has(WRONG)
    with pytest.raises(RuntimeError, match="do not run"):
        again.forget("test_it.py::test_two")


def test_what_is_asked_for_is_named_or_refused(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    assert program.main(["--only=gae", "--only=nothing is called so"]) == 2
    assert "See them all: --list" in capsys.readouterr().err
    assert program.main(["--list", "--only=on_policy/losses.py"]) == 0
    names = capsys.readouterr().out.splitlines()
    assert "on_policy/losses.py: a limit is the task's end" in names and len(names) > 5


def test_the_page_counts_and_names_what_is_left() -> None:
    verdicts = {
        "caught one": {"outcome": CAUGHT, "by": "tests/a.py::test_b", "says": "", "seconds": 1.0},
        "left over": {"outcome": SURVIVED, "by": "", "says": "", "seconds": 2.0},
        "slow": {"outcome": CAUGHT, "by": TIME_LIMIT, "says": "", "seconds": 3.0},
    }
    text = page([replace(WRONG, name=name) for name in verdicts], verdicts)
    assert "2 of 3" in text and "| left over | **survived** |" in text
    assert "| caught one | `test_b` in tests/a.py |" in text
