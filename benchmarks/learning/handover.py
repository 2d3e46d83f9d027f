"""What is made of a suite's runs: intervals, a picture of learning curves, and the tables of docs/results.md."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning.case import Case
from helpers.config.yaml_files import read_yaml
from helpers.durable import write_atomically
from reports.figures import style
from reports.figures.learning import Mark, draw_curves
from reports.page.words import joined, with_interval
from reports.results.curves import curves_of
from reports.results.groups import Group
from reports.series import Series, read_series
from reports.statistics.estimates import CENTERS
from reports.statistics.intervals import interval

ROOT = Path(__file__).resolve().parents[2]
INDEX = ROOT / "docs" / "results.md"
IQM = "IQM [95 %]"
# What docs/results.md leaves to the suite's page: negative controls, and small tasks.
_ON_ITS_PAGE = re.compile(r"no_demos|shuffled|reordered|constant|states|pendulum|cartpole_50k")
_PUBLISHED = re.compile(r"([A-Za-z][\w .-]*?):? (-?\d+) \+- (\d+)")
_SPELLED = {"crossq": "CrossQ", "dagger": "DAgger"}
_TOLD = {
    "redq": "one update a step",
    "maad": "states only",
    "dagger": "queries the expert",
    "16_whole": "16 whole demonstrations",
}


def centre(values: Sequence[float], *, digits: int = 0) -> str:
    """ "3086 [2739, 3390]": the interquartile mean of the seeds and its interval; of one seed its value."""
    found = interval([np.array(values, np.float64)], CENTERS["iqm"])
    return with_interval(found, figure=lambda value: f"{value:.{digits}f}")


def algorithm_of(case: Case, cases: Sequence[Case]) -> str:
    """Its algorithm; of a part of a longer case, that one's."""
    whole = next((each for each in cases if each.name == case.part_of), case)
    return str(read_yaml(ROOT / whole.task).values["algo"])


def label_of(case: Case, cases: Sequence[Case]) -> str:
    """What a case is called beside others of its environment."""
    algorithm = algorithm_of(case, cases)
    spelled = _SPELLED.get(algorithm, algorithm.upper())
    told = [words for mark, words in _TOLD.items() if mark in case.name]
    told += ["RL Zoo's settings"] if case.name.endswith("_zoo") else []
    return ", ".join([spelled, *told])


def env_of(case: Case, cases: Sequence[Case]) -> str:
    """Its environment; of a part of a longer case, that one's."""
    whole = next((each for each in cases if each.name == case.part_of), case)
    return whole.env_id


# The picture


def draw(
    cases: Sequence[Case],
    folder_of: Callable[[Case, int], Path],
    seeds: int,
    stem: Path,
) -> str | None:
    """Draw the learning curves of all cases of which there are runs, published results beside them.

    Args:
        cases: of the suite.
        folder_of: the run of a case and a seed.
        seeds: at most so many a case.
        stem: of the picture, a PNG.

    Returns:
        The caption; None where there is no run that ended.

    Raises:
        OSError: the picture cannot be written.
    """
    groups: dict[str, list[Series]] = {}
    marks: dict[str, list[Mark]] = {}
    for case in cases:
        if case.part_of or _ON_ITS_PAGE.search(case.name):
            continue
        folders = [folder_of(case, seed) for seed in case.seeds_of(seeds)]
        runs = [read_series(each) for each in folders if (each / "config.yaml").is_file()]
        runs = [run for run in runs if run.state == "done" and len(run.returns)]
        if not runs:
            continue
        label = label_of(case, cases)
        groups.setdefault(label, []).extend(runs)
        for name, mean, deviation in _PUBLISHED.findall(case.reference):
            told = Mark(name.strip(), runs[0].last_step, float(mean), float(deviation), label)
            marks.setdefault(runs[0].task, []).append(told)
    if not groups:
        return None
    every = [Group(label, tuple(runs)) for label, runs in groups.items()]
    tasks = dict.fromkeys(run.task for group in every for run in group.runs)
    curves = {task: curves_of(every, task, axis="steps", center="iqm") for task in tasks}
    looks = style.looks(list(groups))
    with style.styled():
        figure = draw_curves(
            curves,
            looks,
            axis="steps",
            ylabel="return (IQM)",
            scales={},
            columns=2 if len(curves) == 4 else 3,
            marks=marks,
        )
        style.save(figure, stem, formats=("png",))
    return _caption(every, is_published=bool(marks))


def _caption(groups: Sequence[Group], *, is_published: bool) -> str:
    runs = [run for group in groups for run in group.runs]
    counts = sorted({len(g.of_task(task)) for g in groups for task in {r.task for r in g.runs}})
    workers = sorted({str(run.facts.get("world_size", "?")) for run in runs})
    commits = sorted({str(run.facts.get("code", {}).get("commit", "?"))[:7] for run in runs})
    published = " Beside the ends: published means and standard deviations." if is_published else ""
    return (
        f"Returns without exploration over environment steps: IQM of {joined(map(str, counts))} seeds with 95 % "
        f"bootstrap intervals; {joined(workers)} worker{'' if workers == ['1'] else 's'} a run, "
        f"commit {joined(commits)}.{published}"
    )


def picture_of(suite: str, page: Path, caption: str | None) -> str:
    """What shows a suite's picture and says what it is: new, or as the page has it; "" without one."""
    name = f"{suite}_curves.png"
    if caption is not None:
        return f"![Learning curves]({name})\n\n{caption}"
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    found = re.search(rf"^!\[.*\]\({re.escape(name)}\)\n\n.+$", old, re.MULTILINE)
    return found[0] if found else ""


# The index


def index_table(
    cases: Sequence[Case],
    results: Mapping[str, Sequence[Mapping[str, Any]]],
    *,
    is_normalised: bool,
) -> str:
    """The main cases of a suite, as docs/results.md shows them."""
    share = ["relative to the expert", "each seed"] if is_normalised else ["each seed"]
    head = [
        "",
        "environment",
        "steps",
        "n",
        f"return: {IQM}",
        "mean +- sd",
        *share,
        "published",
        "minutes a run",
    ]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for case in cases:
        runs = results.get(case.name, [])
        if not runs or _ON_ITS_PAGE.search(case.name):
            continue
        final = [run["final"] for run in runs]
        row = [label_of(case, cases), env_of(case, cases), _steps(runs[0]["steps"]), str(len(runs))]
        row += [centre(final), _spread(final)]
        if is_normalised:
            shares = [run["normalised"] for run in runs]
            row += [centre(shares, digits=2), ", ".join(f"{each:.2f}" for each in shares)]
        else:
            row += [", ".join(f"{each:.0f}" for each in final)]
        seconds = [run["seconds"] for run in runs if run.get("seconds") is not None]
        row += [case.reference, f"{statistics.median(seconds) / 60:.1f}" if seconds else ""]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def write_index(suite: str, table: str, picture: str, *, index: Path = INDEX) -> bool:
    """Put a suite's table and picture between its marks in docs/results.md; whether it has them.

    Raises:
        OSError: it cannot be written.
    """
    old = index.read_text(encoding="utf-8")
    begin, end = f"<!-- learning, {suite}: ", f"<!-- end of learning, {suite} -->"
    start, stop = old.find(begin), old.find(end)
    if start < 0 or stop < 0:
        return False
    start = old.index("\n", start) + 1
    shown = f"\n{table}\n\n" + (f"{picture.replace('](', '](results/')}\n\n" if picture else "")
    new = old[:start] + shown + old[stop:]
    if new != old:
        write_atomically(index, new)
    return True


def _steps(steps: float) -> str:
    return f"{steps / 1e6:.3g}M" if steps >= 1e6 else f"{steps / 1e3:.0f}k"


def _spread(values: Sequence[float]) -> str:
    mean = f"{statistics.fmean(values):.0f}"
    return f"{mean} +- {statistics.stdev(values):.0f}" if len(values) > 1 else mean
