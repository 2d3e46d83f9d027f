"""The page of an audit: which fault is caught by which test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.mutants.audit import CAUGHT, TIME_LIMIT
from benchmarks.mutants.faults.every import ADDED, EQUIVALENT
from benchmarks.mutants.faults.survivors import BEFORE, SURVIVORS, TRIED
from benchmarks.mutants.mutant import Mutant
from helpers.machine.processor import cpu_model, instruction_set


def page(mutants: Sequence[Mutant], verdicts: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown of the verdicts of all mutants, by their names."""
    found = [verdicts[each.name] for each in mutants]
    caught = sum(each["outcome"] == CAUGHT for each in found)
    seconds = sorted(float(each["seconds"]) for each in found)
    lines = [
        "# A mutation audit of the algorithms",
        "",
        "Made by `python -m benchmarks.mutants`, which takes up where it was cut off. Small faults are put into a "
        "copy of the tree, one at a time: losses, targets, samplers, normalizers, trainers, in Python and in C. Some "
        "fast tests of the suite are run against each; the first that fails has caught it. Tests that only notice a "
        "change, whatever it is (`tests/agents/test_golden.py`, `tests/agents/test_edited_losses.py`), do not count. "
        "What caught a fault passes without any.",
        "",
        f"**{caught} of {len(found)} are caught**, in {seconds[len(seconds) // 2]:.1f} s of a processor each "
        f"(median; torch is imported once for all). {cpu_model()}, {instruction_set()}.",
        "",
        f"Of {TRIED} that were also tried on the fast tests that there were before (commit {BEFORE}), {len(SURVIVORS)} "
        "survived them; they are marked. The others that the tests below catch were not tried so.",
        "",
        "| test that was added | faults that it catches first |",
        "|---|---|",
    ]
    by = Counter(_test(str(each["by"])) for each in found if each["by"])
    lines += [f"| {_shown(test)} | {by.get(test, 0)} |" for test in ADDED]
    if EQUIVALENT:
        lines += ["", "Faults that are none, and were replaced:", ""]
        lines += [f"- {fault}: {reason}" for fault, reason in EQUIVALENT]
    lines += ["", "| fault | caught by |", "|---|---|"]
    for each in mutants:
        mark = ", survived before" * (each.name in SURVIVORS)
        lines.append(f"| {each.name} | {_verdict(verdicts[each.name])}{mark} |")
    return "\n".join([*lines, ""])


def _verdict(found: Mapping[str, Any]) -> str:
    test = str(found["by"])
    if found["outcome"] != CAUGHT:
        return f"**{found['outcome']}**"
    return TIME_LIMIT if test == TIME_LIMIT else _shown(_test(test))


def _test(name: str) -> str:
    """A test without its parameters."""
    return name.partition("[")[0]


def _shown(test: str) -> str:
    path, _, name = test.partition("::")
    return f"`{name}` in {path}"
