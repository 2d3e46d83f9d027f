"""`watch SWARM`: a table of a swarm, live or once."""

from __future__ import annotations

import argparse
import os
import shutil
import sys

from helpers.errors import DONE
from reports.verbs.swarms import Verbs, add_swarm


def add(verbs: Verbs) -> None:
    """Declare the verb and its flags."""
    verb = verbs.add_parser(
        "watch",
        help="a live table of a swarm; q or Ctrl-C does not stop the runs",
    )
    add_swarm(verb)
    verb.add_argument("--once", action="store_true", help="print the table and exit")
    verb.add_argument(
        "--json",
        action="store_true",
        help="print it as JSON, for scripts, and exit",
    )
    verb.add_argument("--every", type=float, metavar="SECONDS", help="between updates")
    verb.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show it; the exit code."""
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
