"""Flags that the verbs on results share."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reports.runs.entry import Entry

from reports.foreign.others import Others


def add_results(verb: argparse.ArgumentParser) -> None:
    """How runs are grouped and measured."""
    verb.add_argument(
        "--by",
        metavar="KEY",
        action="append",
        default=[],
        help="group by this setting alone (repeatable, or with commas): algo, p_lr; default: by all that differ",
    )
    verb.add_argument(
        "--center",
        choices=("iqm", "mean"),
        default="iqm",
        help="of the seeds, in curves and tables; default: iqm, whose intervals hold better",
    )
    verb.add_argument(
        "--score",
        choices=("final", "best"),
        default="final",
        help="of a run: its final policy's evaluation, or its best one; default: final",
    )
    verb.add_argument(
        "--source",
        choices=("evaluation", "training"),
        help="which returns; default: evaluation, and training where there is none",
    )
    verb.add_argument(
        "--allow_mixed",
        action="store_true",
        help="runs of a group may differ in length, evaluation and versions of the environment",
    )
    verb.add_argument(
        "--columns",
        type=int,
        choices=range(1, 7),
        default=3,
        metavar="N",
        help="panels of curves beside one another, 80 mm each: 1 for a column of a paper; default: 3",
    )
    verb.add_argument("--name", metavar="NAME", help="of the folder in data/reports")
    _add_others(verb)


_CSV = {
    "step": "of environment steps; default: step, or wandb's Step",
    "return": "of returns; default: return",
    "seed": "of seeds; default: seed, if it is there",
    "group": "of what is compared; default: group, if it is there",
    "task": "of tasks; default: task, if it is there",
}


def _add_others(verb: argparse.ArgumentParser) -> None:
    group = verb.add_argument_group(
        "results of other libraries",
        "folders with event files of Stable-Baselines3 or CleanRL, or with RL Zoo's evaluations.npz; CSV files. "
        "NAME=FOLDER and NAME=FILE.csv call the group NAME",
    )
    group.add_argument("--other_task", metavar="TASK", help="of runs that do not tell their task")
    group.add_argument(
        "--other_seed",
        metavar="N",
        type=int,
        help="of a run that does not tell its seed",
    )
    for what, told in _CSV.items():
        group.add_argument(f"--csv_{what}", metavar="COLUMN", help=f"column {told}")
    group.add_argument(
        "--csv_kind",
        choices=("evaluation", "training"),
        default="training",
        help="of the returns in CSV files: without exploration, or of training; default: training",
    )


def others_of(arguments: argparse.Namespace) -> Others:
    """What the flags tell of other libraries' runs."""
    return Others(
        task=arguments.other_task,
        seed=arguments.other_seed,
        step=arguments.csv_step,
        returns=arguments.csv_return,
        seed_column=arguments.csv_seed,
        group_column=arguments.csv_group,
        task_column=arguments.csv_task,
        kind=arguments.csv_kind,
    )


def others_words(arguments: argparse.Namespace) -> list[str]:
    """The same flags, for a further command."""
    names = ("other_task", "other_seed", *(f"csv_{what}" for what in _CSV), "csv_kind")
    given = {name: getattr(arguments, name) for name in names}
    return [
        f"--{name}={value}"
        for name, value in given.items()
        if value is not None and (name, value) != ("csv_kind", "training")
    ]


def asked_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """What `reports.build.Options` are made of."""
    names = ("center", "score", "allow_mixed", "columns")
    return {"by": keys_of(arguments.by), **{name: getattr(arguments, name) for name in names}}


def reporter(arguments: argparse.Namespace) -> list[str]:
    """The words that a further command begins with: data are where they were this time."""
    root = [] if arguments.data_root is None else ["--data_root", arguments.data_root]
    return ["python", "reporter.py", *root]


def keys_of(given: list[str]) -> tuple[str, ...]:
    """The settings of --by."""
    return tuple(
        dict.fromkeys(key.strip() for each in given for key in each.split(",") if key.strip()),
    )


def add_places(verb: argparse.ArgumentParser) -> None:
    """Where runs are looked for."""
    verb.add_argument(
        "names",
        metavar="FOLDER|RUN|SWARM",
        nargs="*",
        help="folders of runs, however deep; runs, patterns like 'ppo.*', or swarms; default: all of --runs_dir",
    )
    verb.add_argument("--runs_dir", metavar="DIR", help="folder of the runs; default: data/runs")


def add_where(verb: argparse.ArgumentParser) -> None:
    """Which runs of them."""
    verb.add_argument(
        "--where",
        metavar="CONDITION",
        nargs="+",
        action="extend",
        default=[],
        help="'KEY=VALUE', !=, <, <=, >, >= of a column or a setting, all of them: 'state=failed,stopped' "
        "'p_lr<1e-3' 'task=Hopper*' 'age>30d' 'size>1G'",
    )


def print_rows(entries: Sequence[Entry]) -> None:
    """The table of some runs, as wide as the terminal, with colours where it has some."""
    from rich.console import Console
    from rich.text import Text

    from reports.runs.table import STYLES, rows_of

    rows = rows_of(entries, screen_width())
    console = Console(soft_wrap=True)
    if not console.is_terminal or console.no_color or console.is_dumb_terminal:
        print("\n".join(row.text for row in rows))
        return
    for row in rows:
        text = Text(row.text)
        text.stylize(STYLES.get(row.state, ""), *row.at)
        console.print(text)


def screen_width() -> int:
    """Columns of the terminal; where there is none, those of $COLUMNS, else 80."""
    if sys.stdout.isatty():  # a size that was handed down is another terminal's
        for name in ("COLUMNS", "LINES"):
            os.environ.pop(name, None)
    return shutil.get_terminal_size().columns
