"""Learning results, three seeds and more, beside published ones.

`python -m benchmarks.learning --suite ppo` trains every case of the suite with two workers, evaluates the
final policy (not the best) without exploration noise on 20 episodes, and hands over to the code of reports: a table
with intervals and a picture of learning curves go to docs/results/, the main rows and the picture into docs/results.md.
Runs that are done are not done again, a stopped one goes on: call it as often as you like. The suite `imitation`
needs the experts of `python -m benchmarks.learning.experts`. The status is 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.learning import control_demos, handover, normalised
from benchmarks.learning.case import EPISODES, Case
from benchmarks.learning.cases import CONTROLS, NORMALISED, SUITES
from benchmarks.learning.experts import ROOT
from benchmarks.learning.normalised import INTERVAL, Scale, spread
from helpers.errors import ConfigurationError

DATA = Path("data")
RESULTS = ROOT / "docs" / "results"
Results = dict[str, list[dict[str, Any]]]  # of each case, a row a seed


def main(argv: Sequence[str] | None = None) -> int:
    """Train, evaluate and tabulate; 1 where a bar is missed."""
    options, flags = parse(argv)
    cases = [case for case in SUITES[options.suite] if options.only in case.name]
    path = options.results / f"{options.suite}.md"
    try:
        scales = prepare(cases, options) if options.suite in NORMALISED else {}
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    results = saved_of(path) if options.saved else run_all(cases, options, flags)
    if scales:
        for case in cases:
            for row in results.get(case.name, []):
                row["normalised"] = scales[case.env_id].share(row["final"])
        table = normalised.tabulate(cases, results, scales, made_by=made_by(options))
    else:
        table = tabulate(cases, results, options)
    print(table)
    if flags:
        return 0  # bars are not meant for other settings
    if not options.only:
        saved = normalised.as_json(scales, results) if scales else results
        for each in write(cases, results, table, saved, options):
            print(f"written: {each}")
    return int(not all(is_met(case, results.get(case.name, []), options) for case in cases))


def saved_of(path: Path) -> Results:
    """The figures that a suite's JSON file holds."""
    content = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    found: Results = content.get("cases", content)
    return found


def write(
    cases: Sequence[Case],
    results: Results,
    table: str,
    saved: Mapping[str, Any],
    options: argparse.Namespace,
) -> list[Path]:
    """The page, its JSON file, the picture, and docs/results.md where the results are published; the files."""
    suite, folder = options.suite, options.results
    folder.mkdir(parents=True, exist_ok=True)
    page, kept = folder / f"{suite}.md", folder / f"{suite}.json"
    caption = handover.draw(
        cases,
        lambda case, seed: folder_of(case, seed, options, []),
        options.seeds,
        folder / f"{suite}_curves",
    )
    picture = handover.picture_of(suite, page, caption)
    page.write_text(table + (f"\n{picture}\n" if picture else ""), encoding="utf-8")
    kept.write_text(json.dumps(saved, indent=1) + "\n", encoding="utf-8")
    written = [page, kept]
    if caption is not None:
        written.append(folder / f"{suite}_curves.png")
    if folder.resolve() == RESULTS.resolve():
        rows = handover.index_table(cases, results, is_normalised=suite in NORMALISED)
        if handover.write_index(suite, rows, picture):
            written.append(handover.INDEX)
    return written


def parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """(options, flags that are passed on to every training)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", choices=sorted(SUITES), default="ppo")
    parser.add_argument("--seeds", type=int, default=3, help="seeds a case (default 3)")
    parser.add_argument("--num_workers", type=int, default=2, help="MPI workers a run (default 2)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once (default 1)")
    parser.add_argument("--only", default="", help="only cases whose name contains this")
    parser.add_argument("--table", action="store_true", help="only tabulate what is there")
    told = "tabulate the figures that the results' JSON file holds, without their runs; only curves are of runs"
    parser.add_argument("--saved", action="store_true", help=told)
    what = "runs and demonstrations, seen from the repository (default data)"
    parser.add_argument("--data", type=Path, default=DATA, help=what)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table goes")
    return parser.parse_known_args(argv)


def prepare(cases: Sequence[Case], options: argparse.Namespace) -> dict[str, Scale]:
    """What returns are normalised by; the demonstrations of negative controls are made.

    Raises:
        ConfigurationError: an expert is missing, or none.
    """
    data = ROOT / options.data
    scales = normalised.scales_of(
        [case.env_id for case in cases],
        demos=data / "demos",
        results=options.results / f"{options.suite}.json",
    )
    for case in cases:
        if not (options.table or options.saved) and any(CONTROLS in flag for flag in case.flags):
            controls = Path(CONTROLS.format(data=data))
            control_demos.make_missing(controls, data / "demos" / case.env_id)
    return scales


def run_all(cases: Sequence[Case], options: argparse.Namespace, flags: list[str]) -> Results:
    """The figures of all runs; what has not been done is."""
    results: Results = {}
    with ThreadPoolExecutor(options.jobs) as pool:
        pending = [  # seed by seed: a table of all cases is there early
            (case, seed, pool.submit(run, case, seed, options, flags))
            for seed in range(options.seeds)
            for case in cases
            if seed in case.seeds_of(options.seeds)
        ]
        for case, seed, waiting in pending:
            try:
                result = waiting.result()
            except subprocess.CalledProcessError as error:
                print(f"== {case.name}, seed {seed}: status {error.returncode}", flush=True)
                continue
            if result is None and case.part_of:
                result = run(case, seed, options, flags)  # the longer one is done by now
            if result is not None:
                results.setdefault(case.name, []).append(result)
    return results


def run(
    case: Case,
    seed: int,
    options: argparse.Namespace,
    flags: list[str],
) -> dict[str, Any] | None:
    """Train and evaluate one run, if that has not been done; its figures."""
    folder = folder_of(case, seed, options, flags)
    summary = folder / "evaluation_latest.json"
    if not case.part_of:
        played = json.loads(summary.read_text())["episodes"] if summary.exists() else 0
        if played != case.episodes and options.table:
            return None
        if played != case.episodes:
            train(case, seed, folder, options, flags)
    elif not summary.exists():
        return None
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    if case.part_of:
        rows = [row for row in rows if row["step"] <= int(case.setting("num_timesteps"))]
    evaluations = [row["eval/return_mean"] for row in rows if "eval/return_mean" in row]
    returns = [row["rollout/return_mean"] for row in rows if row["rollout/return_mean"] is not None]
    final = evaluations[-1] if case.part_of else json.loads(summary.read_text())["return_mean"]
    return {
        "seed": seed,
        "final": final,
        # none where no environment is stepped for training
        "training": statistics.fmean(returns[-max(1, len(returns) // 20) :]) if returns else None,
        "best": max(evaluations),
        "steps": rows[-1]["step"],
        "seconds": rows[-1]["time/elapsed"],
        "commits": commits_of(folder),
    }


def folder_of(
    case: Case,
    seed: int,
    options: argparse.Namespace,
    flags: Sequence[str],
) -> Path:
    """The run of a case and a seed; of a part of a longer case, that one's."""
    name = "_".join(
        [case.part_of or case.name, *(flag.strip("-").replace("=", "_") for flag in flags)],
    )
    return Path(ROOT / options.data / "runs" / "benchmarks" / f"{name}.seed{seed:02d}")


def commits_of(folder: Path) -> list[str]:
    """The commits that a run was started and gone on with, shortened, in their order."""
    starts = json.loads((folder / "capsule.json").read_text())["starts"]
    return list(dict.fromkeys(start["commit"][:7] for start in starts))


def train(
    case: Case,
    seed: int,
    folder: Path,
    options: argparse.Namespace,
    flags: list[str],
) -> None:
    """Train a run, or go on with it, and evaluate its last policy."""
    print(f"== {folder.name}", flush=True)
    started = time.time()
    given = {flag.partition("=")[0] for flag in flags}  # in place of the case's own
    own = [flag for flag in case.flags if flag.partition("=")[0] not in given]
    own = [flag.format(data=options.data) for flag in own]
    command = [f"--config={case.task}", *own, *flags, f"--seed={seed}"]
    command += [f"--uuid={folder.name}", f"--runs_dir={folder.parent}", "--wandb_mode=disabled"]
    if options.jobs > 1:
        command.append("--progress=none")
    launch(options.num_workers, ["--task=train", *command])
    evaluation = ["--task=eval", f"--model_path={folder}", "--iter_num=latest"]
    launch(options.num_workers, [*evaluation, f"--num_trajs={case.episodes}"])
    print(f"== {folder.name} took {time.time() - started:.0f} s", flush=True)


def launch(workers: int, arguments: list[str]) -> None:
    """`main.py` under mpiexec."""
    beside = Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    prefix = [mpiexec, "-n", str(workers)] if workers > 1 and mpiexec else []
    subprocess.run([*prefix, sys.executable, "main.py", *arguments], cwd=ROOT, check=True)


def is_met(case: Case, rows: Sequence[dict[str, Any]], options: argparse.Namespace) -> bool:
    """Whether all seeds are there and their mean is on its side of the bar."""
    scores = [row.get("normalised", row["final"]) for row in rows]
    return len(scores) == len(case.seeds_of(options.seeds)) and case.is_met(scores)


def tabulate(
    cases: list[Case],
    results: Results,
    options: argparse.Namespace,
) -> str:
    """The Markdown table, and the command that made it."""
    lines = [
        f"# Results: {options.suite}",
        "",
        f"{made_by(options)}, {EPISODES} deterministic episodes (Pendulum: 100) of the "
        f"final policy (never the best one): interquartile mean over seeds with its {INTERVAL}, and mean +- standard "
        "deviation. `training` is the return of the sampling policy over the last 5 % of training. A bar is for the "
        "mean.",
        "",
        f"| case | steps | seeds | {handover.IQM} | mean +- sd | each seed | training | bar | published | "
        "minutes a run |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case in cases:
        runs = results.get(case.name, [])
        if not runs:
            bar = f"{case.bar:g}"
            lines.append(f"| {case.name} | | 0 | not run | | | | {bar} | {case.reference} | |")
            continue
        final = [r["final"] for r in runs]
        training = [r["training"] for r in runs if r.get("training") is not None]
        seconds = [r["seconds"] for r in runs if r.get("seconds") is not None]
        minutes = f"{statistics.median(seconds) / 60:.1f}" if seconds else ""
        each = ", ".join(f"{value:.0f}" for value in final)
        lines.append(
            f"| {case.name} | {runs[0]['steps']:,.0f} | {len(runs)} | {handover.centre(final)} | {spread(final)} | "
            f"{each} | {spread(training) if training else ''} | {case.bar:g} | {case.reference} | {minutes} |",
        )
    return "\n".join(lines) + "\n"


def made_by(options: argparse.Namespace) -> str:
    """The command that made a table, and how its runs were run."""
    how = "".join(
        f" --{name} {value}"
        for name, default in (("num_workers", 2), ("jobs", 1), ("seeds", 3), ("data", DATA))
        if (value := getattr(options, name)) != default and not (options.saved and name == "data")
    )
    workers = f"{options.num_workers} worker{'' if options.num_workers == 1 else 's'}"
    return f"Made by `python -m benchmarks.learning --suite {options.suite}{how}`: {workers} a run"


if __name__ == "__main__":
    sys.exit(main())
