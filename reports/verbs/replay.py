"""`replay RUN`: train a run again, and compare bit by bit."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.errors import BAD_CONFIGURATION, DONE, NOT_ALL_DONE, STOPPED_EARLY, ConfigurationError
from reports.verbs.options import reporter
from reports.verbs.swarms import Verbs

if TYPE_CHECKING:
    from reports.replay.bits import Comparison
    from reports.replay.origin import Origin


def add(verbs: Verbs) -> None:
    """Declare the verb and its flags."""
    verb = verbs.add_parser(
        "replay",
        help="train a run again under another name, and say whether it comes out bit for bit",
    )
    verb.add_argument("run_name", metavar="RUN", help="a run of data/runs, or its folder")
    verb.add_argument(
        "--name",
        metavar="NAME",
        help="of the replay, beside the run; default: the run's with .replay before its seed",
    )
    verb.add_argument(
        "--until",
        type=int,
        metavar="ITERATION",
        help="train and compare so far; default: to the run's last iteration",
    )
    verb.add_argument(
        "--to_the_end",
        action="store_true",
        help="continue after the first difference",
    )
    verb.add_argument(
        "--dry_run",
        action="store_true",
        help="show the commands and what differs here; train nothing",
    )
    verb.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Train it again; 0: equal, 1: it differs, 75: interrupted, and the same command continues it."""
    from helpers.run_folder.changes import read_capsule
    from reports.collect import find_run
    from reports.replay import bits, origin, same, train
    from reports.series import METRICS

    run = origin.read_origin(find_run(arguments.run_name))
    until = run.last if arguments.until is None else arguments.until
    if not 1 <= until <= run.last:
        raise ConfigurationError(
            f"--until={until} is no iteration of {run.folder.name}.",
            f"Give one from 1 to {run.last}.",
        )
    name = arguments.name or train.replay_name(run.folder.name)
    folder = train.check_place(run, name)
    conditions = same.conditions_of(run)
    print(f"replay of {run.folder}: iterations 1 to {until} of {run.last}, workers: {run.workers}")
    print("\n".join(conditions.lines()))
    for stage in origin.stages_left(run, 0, until):
        print(f"command: {shlex.join(train.command_of(run, name, stage))}")
        if stage.until != run.last:
            print(f"         until iteration {stage.until}")
    if arguments.dry_run:
        return DONE
    code = train.train(run, name, until=until, to_the_end=arguments.to_the_end)
    if code == BAD_CONFIGURATION:  # which the child has said
        return code
    rows = run.rows, train.Rows(folder / METRICS).look()
    found = bits.compare(run.folder, folder, rows, until=until)
    later = same.differences_after(run, read_capsule(folder))
    lines = [f"differs: {each}" for each in later if each not in conditions.differs]
    print("\n".join([*lines, *found.verdict(run.last), f"replay: {folder}"]))
    return _conclude(arguments, run, folder, found, code)


def _conclude(
    arguments: argparse.Namespace,
    run: Origin,
    folder: Path,
    found: Comparison,
    code: int,
) -> int:
    """Name the next command; the exit code."""
    again = [*reporter(arguments), "replay", arguments.run_name]
    again += [f"--name={arguments.name}"] if arguments.name else []
    if found.differs:
        compare = [*reporter(arguments), "compare", str(run.folder), str(folder)]
        print(f"next: {shlex.join(compare)}")
        return NOT_ALL_DONE
    if not found.is_equal:
        print(f"the replay ended early, with status {code}; the same command continues it")
        return code or STOPPED_EARLY
    if found.wanted < run.last:
        print(f"next: {shlex.join(again)}")
    return DONE
