"""Environment steps per second beside the peers': the same work, interleaved, medians, and the physical limit.

    benchmarks/peers/setup.sh                       installs the peers, once
    .venv/bin/python benchmarks/speed.py --fresh    measures, and writes docs/results/speed.{json,md,png}

A measurement that was stopped goes on where it was: the same command without --fresh. docs/speed.md explains.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import speed_report  # noqa: E402
from benchmarks.speed_bars import Bar, bars, spread  # noqa: E402
from benchmarks.speed_contestants import CONTESTANTS, Contestant, RunError  # noqa: E402
from benchmarks.speed_rows import OtherRowsError, Row, Rows, Watch, code, identity  # noqa: E402
from benchmarks.speed_work import WORKLOADS, Workload  # noqa: E402

RESULTS = ROOT / "docs" / "results"
QUICK_RESULTS = ROOT / "build" / "speed"
Run = tuple[int, Workload, Contestant]


def main(argv: Sequence[str] | None = None) -> int:
    """0: all bars are met, or it was a quick run; 1: one is missed or not measured; 2: it cannot measure."""
    options = parse(argv)
    works = [work for work in WORKLOADS if chosen(work.name, options.works)]
    contestants = [each for each in CONTESTANTS if chosen(each.name, options.only)]
    if not works or not contestants:
        return refuse("the filters leave nothing to measure", f"names: {known_names()}")
    missing = {each.name: "not installed" for each in CONTESTANTS if not each.is_ready}
    contestants = [each for each in contestants if each.is_ready]
    folder = options.folder or (QUICK_RESULTS if options.quick else RESULTS)
    declared = [work.quick() for work in WORKLOADS] if options.quick else list(WORKLOADS)
    peers = [each.peer for each in CONTESTANTS if each.peer and each.is_ready]
    path = folder / "speed.json"
    try:
        fresh = options.fresh or options.quick
        rows = Rows(path, identity(declared, peers), fresh=fresh)
    except OtherRowsError as error:
        what = f"{path} holds rows of something else: {error} differ"
        return refuse(what, "--fresh forgets them, --folder=... leaves them alone")
    for name, reason in missing.items():
        print(f"left out: {name}, {reason}", flush=True)
    planned = [work for work in declared if work.name in {each.name for each in works}]
    runs = list(plan(options.rounds, planned, contestants))
    if not measure(runs, rows, missing, guarded=not options.quick):
        return refuse("the sources changed while they were measured", "measure again with --fresh")
    if not rows.rows:
        return refuse("every run failed", "see above; benchmarks/peers/setup.sh installs the peers")
    write(rows, missing, folder)
    found = bars(rows.rows)
    show(found)
    if options.quick:
        return 0
    is_whole = options.works is None and options.only is None
    bad = {"missed", "not measured"} if is_whole else {"missed"}
    return int(any(bar.verdict in bad for bar in found))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--works", nargs="+", metavar="TEXT", help="workloads whose name holds one")
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="contestants, likewise")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--quick", action="store_true", help="a smoke run, into build/speed/")
    parser.add_argument("--folder", type=Path, help="where results go (default docs/results)")
    options = parser.parse_args(argv)
    options.rounds = 1 if options.quick else options.rounds
    return options


def chosen(name: str, texts: Sequence[str] | None) -> bool:
    """Whether a filter, if there is one, lets it pass; capitals do not matter."""
    return texts is None or any(text.lower() in name.lower() for text in texts)


def known_names() -> str:
    """What filters look in."""
    return "; ".join([*(work.name for work in WORKLOADS), *(each.name for each in CONTESTANTS)])


def refuse(problem: str, remedy: str) -> int:
    """Two lines, and the status."""
    print(f"{problem}\n  {remedy}", file=sys.stderr)
    return 2


def plan(
    rounds: int,
    works: Sequence[Workload],
    contestants: Sequence[Contestant],
) -> Iterator[Run]:
    """A B C, A B C: in a round each contestant once on each workload."""
    for round_ in range(rounds):
        for work in works:
            for contestant in contestants:
                yield round_, work, contestant


def measure(
    runs: Sequence[Run],
    rows: Rows,
    missing: dict[str, str],
    *,
    guarded: bool,
) -> bool:
    """Do what is not done; guarded, False and no more runs once the sources are not the first ones."""
    left = [run for run in runs if not rows.has(run[0], run[1].name, run[2].name)]
    if len(left) < len(runs):
        print(f"{len(runs) - len(left)} of {len(runs)} runs were done before", flush=True)
    for i, (round_, work, contestant) in enumerate(left):
        if guarded and code() != rows.identity["code"]:
            return False
        load, watch = os.getloadavg()[0], Watch()
        try:
            figures = contestant.run(work)
        except RunError as error:
            missing[contestant.name] = f"failed on {work.name}: {str(error).splitlines()[-1]}"
            print(f"FAILED {contestant.name} on {work.name}\n{error}", flush=True)
            continue
        seconds, others = watch.seconds(), watch.others()
        rows.add(
            {
                "round": round_,
                "work": work.name,
                "contestant": contestant.name,
                **figures,
                "seconds": seconds,
                "load": load,
                "others": others,
            },
        )
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


def write(rows: Rows, missing: dict[str, str], folder: Path) -> None:
    """The page and the chart."""
    text = speed_report.page(rows.rows, rows.identity, missing)
    (folder / "speed.md").write_text(text, encoding="utf-8")
    speed_report.draw(rows.rows, folder / "speed.png")
    print(f"wrote speed.json, speed.md and speed.png into {folder}")


def show(found: Sequence[Bar]) -> None:
    """The bars, one a line."""
    for bar in found:
        measured = spread(bar.ratios, ".3g") if bar.ratios else "-"
        print(f"{bar.verdict:>12}  {bar.work}: {bar.says} {measured}, at least {bar.least:g}")


if __name__ == "__main__":
    sys.exit(main())
