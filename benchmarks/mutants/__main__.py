"""A mutation audit of the algorithms: python -m benchmarks.mutants [--only NAME] [--jobs N]

Small faults (a sign, an off-by-one, a missing detach) are put into a copy of the tree, one at a time; a fast test of
the suite must notice each. Verdicts are kept as they come (docs/results/mutants.json), so that an audit that was cut
off goes on: what has not changed, a mutant, its file and its tests, is not judged again. At its end comes the page.
"""

from __future__ import annotations

import argparse
import queue
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path

from benchmarks.mutants.audit import CAUGHT, SURVIVED, Judge, Results, Verdict
from benchmarks.mutants.faults.every import MUTANTS
from benchmarks.mutants.mutant import Mutant, StaleError
from benchmarks.mutants.page import page
from helpers.durable import write_atomically

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results" / "mutants.json"
LIMIT = 120.0  # seconds of a test; twice that for all tests of a mutant


def arguments_of(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants")
    parser.add_argument("--only", metavar="NAME", help="mutants with this in their names")
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="how many are judged at a time",
    )
    parser.add_argument("--list", action="store_true", help="name the mutants, and stop")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help="verdicts")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Judge the mutants whose verdicts are missing or outdated; 0 where all are caught."""
    arguments = arguments_of(argv)
    chosen = [each for each in MUTANTS if (arguments.only or "") in each.name]
    if not chosen:
        print(
            f"No mutant has {arguments.only!r} in its name.\nSee them all: --list.",
            file=sys.stderr,
        )
        return 2
    if arguments.list:
        print("\n".join(each.name for each in chosen))
        return 0
    results = Results(arguments.results, ROOT)
    due = [each for each in chosen if not results.has(each)]
    print(f"{len(chosen)} mutants, {len(due)} to judge", flush=True)
    try:
        audit(due, results, jobs=arguments.jobs)
    except StaleError as error:
        print(error, file=sys.stderr)
        return 2
    results.keep(MUTANTS)
    left = [each.name for each in chosen if results.outcome(each) != CAUGHT]
    print(f"{len(chosen) - len(left)} of {len(chosen)} are caught", *left, sep="\n  ")
    print(f"verdicts: {results.path}")
    if all(map(results.has, MUTANTS)):
        text = results.path.with_suffix(".md")
        write_atomically(text, page(MUTANTS, results.verdicts))
        print(f"page: {text}")
    return 1 if left else 0


def audit(due: Sequence[Mutant], results: Results, *, jobs: int) -> None:
    """Judge each, and keep its verdict; at the end, that what caught them passes without a fault.

    Their order has no meaning: an audit that is cut off has seen something of everything.
    """
    if not due:
        return
    due = sorted(due, key=lambda mutant: mutant.digest(ROOT))
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ExitStack() as stack:
        judges: queue.Queue[Judge] = queue.Queue()
        for index in range(jobs):
            judges.put(stack.enter_context(Judge(ROOT, Path(folder) / str(index))))

        def judged(mutant: Mutant) -> tuple[Mutant, Verdict, Path]:
            judge = judges.get()
            try:
                return mutant, judge.judge(mutant, seconds=LIMIT), judge.tree
            finally:
                judges.put(judge)

        with ThreadPoolExecutor(jobs) as pool:
            try:
                for each in as_completed(pool.submit(judged, mutant) for mutant in due):
                    mutant, verdict, tree = each.result()
                    results.put(mutant, verdict, tree=tree)
                    shown = f"{verdict.outcome:>8} {verdict.seconds:5.1f} s"
                    print(f"{shown}  {mutant.name}", flush=True)
            finally:
                pool.shutdown(cancel_futures=True)
        judge = judges.get()
        while (found := judge.run(results.tests(), seconds=5 * LIMIT)).outcome != SURVIVED:
            results.forget(found.by)
            print(
                f"fails without any fault, and catches nothing: {found.by} {found.says}",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
