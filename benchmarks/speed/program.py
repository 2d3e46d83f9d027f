"""What the speed programs have in common: flags, rows that go on, one table a kind of machine, the index.

A `Program` measures every contestant on every work, interleaved, keeps the rows in NAME-KIND.json, and writes
NAME-KIND.md from them. KIND is the processor with the instruction set, so that a second one adds a table.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.speed.bars import Bar, spread
from benchmarks.speed.contestants import ROOT, Contestant, RunError
from benchmarks.speed.machine import MARCH_HELP, hold
from benchmarks.speed.rows import OtherRowsError, Row, Rows, Watch, code, identity
from helpers.durable import write_atomically
from helpers.errors import ConfigurationError

RESULTS = ROOT / "docs" / "results"
QUICK_RESULTS = ROOT / "build" / "speed"


class Work(Protocol):
    """What is computed."""

    @property
    def name(self) -> str:
        """For tables and for --works."""

    def quick(self) -> Work:
        """As little of it as gives a figure at all."""

    def as_kept(self) -> dict[str, Any]:
        """For the file of rows: what it consists of."""


Run = tuple[int, Any, Contestant]  # the round, the work, who
Page = Callable[[Sequence[Row], Mapping[str, Any], Mapping[str, str]], str]


@dataclass(frozen=True)
class Program:
    """One of the speed programs.

    Attributes:
        name: of its files, before the kind.
        works, contestants: what is measured of whom.
        page: Markdown of rows, identity, and why contestants are missing.
        bars: what must hold, of rows and the instruction set.
        draw: a chart of rows into a file, or None.
        sources: files that figures depend on beside those of all programs.
    """

    name: str
    works: Sequence[Work]
    contestants: Sequence[Contestant]
    page: Page
    bars: Callable[[Sequence[Row], str], list[Bar]]
    draw: Callable[[Sequence[Row], Path], None] | None = None
    sources: tuple[str, ...] = ()

    def main(self, about: str, argv: Sequence[str] | None = None) -> int:
        """0: all bars are met, or it was a quick run; 1: one is missed or not measured; 2: it cannot measure."""
        options = parse(about, argv)
        if options.index:
            return write_index(options.folder or RESULTS)
        works = [work for work in self.works if chosen(work.name, options.works)]
        contestants = [each for each in self.contestants if chosen(each.name, options.only)]
        if not works or not contestants:
            return refuse("the filters leave nothing to measure", f"names: {self.known_names()}")
        try:
            hold(options.march)
            rows = self.open_rows(options)
        except ConfigurationError as error:
            return refuse(error.problem, error.remedy)
        except OtherRowsError as error:
            return refuse(str(error), "--fresh forgets them, --folder=... leaves them alone")
        missing = {each.name: "not installed" for each in self.contestants if not each.is_ready}
        for name, reason in missing.items():
            print(f"left out: {name}, {reason}", flush=True)
        planned = [work.quick() for work in works] if options.quick else works
        runs = list(plan(options.rounds, planned, [each for each in contestants if each.is_ready]))
        if not measure(runs, rows, missing, self.sources, guarded=not options.quick):
            what = "the sources changed while they were measured"
            return refuse(what, "measure again with --fresh")
        if not rows.rows:
            what = "nothing was measured"
            return refuse(what, "see above; benchmarks/speed/peers/setup.sh installs the peers")
        self.write(rows, missing)
        found = self.bars(rows.rows, rows.identity["machine"]["instruction_set"])
        show(found)
        return 0 if options.quick else self.status(found, options)

    def status(self, found: Sequence[Bar], options: argparse.Namespace) -> int:
        """1 where a bar is missed, or not measured although nothing was left out by a filter."""
        is_whole = options.works is None and options.only is None
        bad = {"missed", "not measured"} if is_whole else {"missed"}
        return int(any(bar.verdict in bad for bar in found))

    def known_names(self) -> str:
        """What filters look in."""
        names = [work.name for work in self.works]
        return "; ".join([*names, *(each.name for each in self.contestants)])

    def open_rows(self, options: argparse.Namespace) -> Rows:
        """Those of this kind, to go on with.

        Raises:
            OtherRowsError: they are of something else; the message says of what.
        """
        declared = [work.quick() for work in self.works] if options.quick else self.works
        peers = [each.peer for each in self.contestants if each.peer and each.is_ready]
        kept = identity({work.name: work.as_kept() for work in declared}, peers, self.sources)
        folder = options.folder or (QUICK_RESULTS if options.quick else RESULTS)
        path = folder / f"{self.name}-{kept['machine']['kind']}.json"
        try:
            return Rows(path, kept, fresh=options.fresh or options.quick)
        except OtherRowsError as error:
            raise OtherRowsError(f"{path} holds rows of something else: {error} differ") from error

    def write(self, rows: Rows, missing: Mapping[str, str]) -> None:
        """The page, the chart, and the index beside them."""
        path = rows.path
        text = self.page(rows.rows, rows.identity, missing)
        write_atomically(path.with_suffix(".md"), text)
        if self.draw is not None:
            self.draw(rows.rows, path.with_suffix(".png"))
        print(f"wrote {path.with_suffix('.md')}")
        write_index(path.parent)


def parse(about: str, argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--works", nargs="+", metavar="TEXT", help="workloads whose name holds one")
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="contestants, likewise")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--quick", action="store_true", help="a smoke run, into build/speed/")
    parser.add_argument("--folder", type=Path, help="where results go (default docs/results)")
    parser.add_argument("--march", metavar="LEVEL", help=MARCH_HELP)
    parser.add_argument("--index", action="store_true", help="only write the index of all kinds")
    options = parser.parse_args(argv)
    options.rounds = 1 if options.quick else options.rounds
    return options


def chosen(name: str, texts: Sequence[str] | None) -> bool:
    """Whether a filter, if there is one, lets it pass; capitals do not matter."""
    return texts is None or any(text.lower() in name.lower() for text in texts)


def refuse(problem: str, remedy: str) -> int:
    """Two lines, and the status."""
    print(f"{problem}\n  {remedy}", file=sys.stderr)
    return 2


def write_index(folder: Path) -> int:
    """See benchmarks/speed/index.py."""
    from benchmarks.speed import index  # knows all programs, and these know this file

    for path in index.write(folder):
        print(f"wrote {path}")
    return 0


def plan(
    rounds: int,
    works: Sequence[Work],
    contestants: Sequence[Contestant],
) -> Iterator[Run]:
    """A B C, A B C: in a round each contestant once on each workload."""
    for round_ in range(rounds):
        for work in works:
            for contestant in contestants:
                if contestant.does(work.name):
                    yield round_, work, contestant


def measure(
    runs: Sequence[Run],
    rows: Rows,
    missing: dict[str, str],
    sources: Sequence[str] = (),
    *,
    guarded: bool,
) -> bool:
    """Do what is not done; guarded, False and no more runs once the sources are not the first ones."""
    left = [run for run in runs if not rows.has(run[0], run[1].name, run[2].name)]
    if len(left) < len(runs):
        print(f"{len(runs) - len(left)} of {len(runs)} runs were done before", flush=True)
    for i, (round_, work, contestant) in enumerate(left):
        if guarded and code(sources) != rows.identity["code"]:
            return False
        load, watch = os.getloadavg()[0], Watch()
        try:
            figures = contestant.run(work)
        except RunError as error:
            missing[contestant.name] = f"failed on {work.name}: {str(error).splitlines()[-1]}"
            print(f"FAILED {contestant.name} on {work.name}\n{error}", flush=True)
            continue
        seconds, others = watch.seconds(), watch.others()
        place = {"round": round_, "work": work.name, "contestant": contestant.name}
        rows.add(place | figures | {"seconds": seconds, "load": load, "others": others})
        minutes = minutes_left(left[i + 1 :], rows.rows)
        print(
            f"[{i + 1}/{len(left)}] round {round_ + 1} {work.name} {contestant.name}: "
            f"{figures['steps_per_second']:,.0f} steps/s (load {load:.1f}, others {others:.2f} cores), "
            f"{minutes:.0f} min left",
            flush=True,
        )
    return True


def minutes_left(runs: Sequence[Run], rows: Sequence[Row]) -> float:
    """By what the same run took, or else by the mean of all."""
    took: dict[tuple[str, str], float] = {}
    for row in rows:
        took[row["work"], row["contestant"]] = row["seconds"]
    mean = statistics.fmean(took.values())
    return sum(took.get((work.name, each.name), mean) for _, work, each in runs) / 60


def show(found: Sequence[Bar]) -> None:
    """The bars, one a line."""
    for bar in found:
        measured = spread(bar.ratios, ".3g") if bar.ratios else "-"
        print(f"{bar.verdict:>12}  {bar.work}: {bar.says} {measured}, at least {bar.least:g}")
