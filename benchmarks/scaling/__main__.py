"""Where the time goes with more workers: measured here, explained by a cost model, predicted for a cluster.

    python -m benchmarks.scaling                 measure, and write docs/results/scaling.{json,md,png}
    python -m benchmarks.scaling --from_saved    write the tables and the chart again from scaling.json

It takes a quiet machine. Two hosts are emulated by network namespaces (benchmarks/scaling/netns).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.scaling import runs
from benchmarks.scaling.cost_model import SPACES, Measured, Reduced
from benchmarks.scaling.report import draw, report
from benchmarks.scaling.runs import PARTS, RESULTS, Setting


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, tabulate and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run, roughly")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--tasks", nargs="+", default=list(SPACES), choices=list(SPACES))
    parser.add_argument(
        "--rates",
        nargs="+",
        default=["unlimited", "1", "0.1"],
        help="between two hosts: Gbit/s, or unlimited; none leaves them out",
    )
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where the results go")
    parser.add_argument("--from_saved", action="store_true", help="measure nothing")
    options = parser.parse_args(argv)
    path = options.folder / "scaling.json"
    if not options.from_saved:
        rates = [] if options.rates == ["none"] else [rate_of(each) for each in options.rates]
        try:
            if rates:
                runs.enter_namespaces()
            settings = runs.settings(options.workers, rates, options.tasks)
            saved = measure(settings, rounds=options.rounds, seconds=options.seconds)
        except runs.EmulationError as error:
            print(*error.args, sep="\n  remedy: ", file=sys.stderr)
            return 2
        options.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(saved, indent=1) + "\n", encoding="utf-8")
    measured, reduced, facts = load(path)
    text = report(measured, reduced, facts)
    (options.folder / "scaling.md").write_text(text, encoding="utf-8")
    draw(measured, reduced, options.folder / "scaling.png")
    print(f"wrote {options.folder}/scaling.json, scaling.md, scaling.png")
    return 0


def rate_of(text: str) -> float | None:
    """Gbit/s."""
    return None if text == "unlimited" else float(text)


def measure(settings: Sequence[Setting], *, rounds: int, seconds: float) -> dict[str, Any]:
    """Every setting in every round, one after another; what scaling.json holds."""
    results: list[dict[str, Any]] = [asdict(each) | {"rounds": []} for each in settings]
    sums: dict[tuple[int, int, float | None], dict[str, Any]] = {}
    loads = []
    for i in range(rounds):
        pairs = zip(settings, results, strict=True)
        for key, group in groupby(pairs, key=lambda pair: (pair[0].hosts, pair[0].gigabits)):
            members = list(group)
            with runs.place(members[0][0]):
                for setting, result in members:
                    result["rounds"].append(runs.measure(setting, seconds=seconds))
                    loads.append(os.getloadavg()[0])
                    rate = setting.rollout_len / sum(result["rounds"][-1].values())
                    print(f"{i} {setting.title}: {rate:,.0f} (load {loads[-1]:.1f})", flush=True)
                for setting, _ in members:
                    place = (setting.workers, *key)
                    if setting.workers == 1 or len(sums.get(place, {}).get("rounds", ())) > i:
                        continue
                    entry = sums.setdefault(place, asdict(setting) | {"rounds": []})
                    entry["rounds"].append(runs.measure_allreduce(setting, seconds=seconds))
    facts = runs.machine() | {"rounds": rounds, "seconds": seconds}
    facts |= {"load_lowest": min(loads), "load_highest": max(loads)}
    return {"machine": facts, "runs": results, "sums": list(sums.values())}


def load(path: Path) -> tuple[list[Measured], list[Reduced], dict[str, Any]]:
    """scaling.json, medians over its rounds."""
    saved = json.loads(path.read_text(encoding="utf-8"))
    measured, reduced = [], []
    for row in saved["runs"]:
        rounds = row.pop("rounds")
        totals = [sum(each.values()) for each in rounds]
        middle = sorted(range(len(rounds)), key=lambda i: totals[i])[len(rounds) // 2]
        seconds = {part: rounds[middle][part] for part in PARTS}
        measured.append(Measured(Setting(**row), seconds, min(totals), max(totals)))
    for row in saved["sums"]:
        rounds = row.pop("rounds")
        for columns in zip(*rounds, strict=True):
            seconds, sent = (
                statistics.median(each[name] for each in columns) for name in ("seconds", "sent")
            )
            reduced.append(Reduced(Setting(**row), int(columns[0]["bytes"]), seconds, sent))
    return measured, reduced, saved["machine"]


if __name__ == "__main__":
    sys.exit(main())
