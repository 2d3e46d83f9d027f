"""Looking at runs: `python reporter.py watch SWARM`, and stopping and resuming them.

A swarm is named by its name, a prefix of it, or its folder below data/swarms.
"""

from __future__ import annotations

import helpers.interpreter  # noqa: F401  # first: what it finds missing would be a traceback below

# isort: split

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from typing import NoReturn

from helpers.data_root import set_data_root
from helpers.display.terminal import run_quietly
from helpers.errors import DONE, ConfigurationError, UserError


class _Parser(argparse.ArgumentParser):
    """Refuses in two lines."""

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message[:1].upper()}{message[1:]}.", f"See: {self.prog} -h")


def main(argv: Sequence[str]) -> int:
    """Do what the command line asks for; the exit code."""
    try:
        arguments = _parser().parse_args(argv)
        set_data_root(arguments.data_root)
        verb = {"watch": _watch, "stop": _stop, "resume": _resume}[arguments.verb]
        return verb(arguments)
    except UserError as error:
        print(f"milozero: {error.problem}\n  remedy: {error.remedy}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python reporter.py", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data_root",
        metavar="DIR",
        help="folder that stands for data/, before VERB; default: $MILOZERO_DATA, else data/ here",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=_Parser)
    watch = verbs.add_parser(
        "watch",
        help="a live table of a swarm; q or Ctrl-C does not stop the runs",
    )
    watch.add_argument(
        "swarm",
        metavar="SWARM",
        help="its name, a prefix of it, or its folder",
    )
    watch.add_argument("--once", action="store_true", help="print the table and exit")
    watch.add_argument(
        "--json",
        action="store_true",
        help="print it as JSON, for scripts, and exit",
    )
    watch.add_argument("--every", type=float, metavar="SECONDS", help="between updates")
    for name, help_ in (
        ("stop", "let runs save a checkpoint and leave; nothing starts them again but resume"),
        ("resume", "submit runs again that have stopped, and failed ones that are named"),
    ):
        verb = verbs.add_parser(name, help=help_)
        verb.add_argument(
            "swarm",
            metavar="SWARM",
            help="its name, a prefix of it, or its folder",
        )
        verb.add_argument(
            "run",
            metavar="RUN",
            nargs="*",
            help="names, or patterns like '*seed02'; all",
        )
    return parser


def _watch(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from swarm import screen, watch
    from swarm.control import find_swarm
    from swarm.table import WIDE

    plan = find_swarm(arguments.swarm)
    if sys.stdout.isatty():  # a size that was handed down is another terminal's
        for name in ("COLUMNS", "LINES"):
            os.environ.pop(name, None)
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    if console.is_dumb_terminal:  # whose size rich does not ask for
        console.width = shutil.get_terminal_size().columns
    if arguments.json:
        print(watch.to_json(plan, watch.lines_of(plan)))
    elif arguments.once or not console.is_terminal:
        screen.show_once(plan, console)
    else:
        screen.watch(plan, console, seconds=arguments.every)
    return DONE


def _stop(arguments: argparse.Namespace) -> int:
    from swarm.control import find_swarm, select_runs, stop

    plan = find_swarm(arguments.swarm)
    names = stop(plan, select_runs(plan, arguments.run))
    for name in names:
        print(f"{name} is asked to stop")
    said = (
        f"next: python reporter.py watch {shlex.quote(arguments.swarm)}"
        if names
        else "none waits or runs"
    )
    print(said)
    return DONE


def _resume(arguments: argparse.Namespace) -> int:
    from swarm.control import find_swarm, resume, select_runs

    plan = find_swarm(arguments.swarm)
    runs = select_runs(plan, arguments.run)
    names = resume(plan, runs, are_named=bool(arguments.run)).submitted
    for name in names:
        print(f"{name} is resumed")
    if not names:
        print("no run was stopped")
    return DONE


def run() -> int:
    """The command `milozero-reporter`."""
    return run_quietly(lambda: main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(run())
