"""Flags that the verbs on results share."""

from __future__ import annotations

import argparse
from typing import Any


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
