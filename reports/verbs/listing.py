"""`list [FOLDER ...]`: all runs, how they stand and what they take; as a table, or as JSON."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time

from helpers.errors import DONE
from reports.verbs.options import add_places, add_where, print_rows, reporter
from reports.verbs.swarms import Verbs

_SORTED_BY = "age"


def add(verbs: Verbs) -> None:
    """Declare the verb and its flags."""
    verb = verbs.add_parser(
        "list",
        help="all runs: algorithm, task, seed, state, steps, return, age and size on the disk",
    )
    add_places(verb)
    add_where(verb)
    verb.add_argument(
        "--sort",
        metavar="KEY",
        default=_SORTED_BY,
        help="column or setting; returns, steps and sizes from the largest, all else from the smallest; "
        "default: age, the newest first",
    )
    verb.add_argument("--reverse", action="store_true", help="the other way round")
    verb.add_argument("--json", action="store_true", help="as JSON with all settings, for scripts")
    verb.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show them; the exit code."""
    from reports.runs import table, where
    from reports.runs.entry import read_entry
    from reports.runs.find import find_named

    wanted = where.conditions(arguments.where)
    found = find_named(arguments.names, arguments.runs_dir)
    now = time.time()
    entries = [read_entry(folder, now) for folder in found.runs]
    where.check_key(arguments.sort, entries, "--sort")
    chosen = where.select(entries, wanted)
    chosen = where.ordered(chosen, arguments.sort, is_reversed=arguments.reverse)
    for line in found.unreadable:
        print(f"note: {line}", file=sys.stderr)
    if arguments.json:
        print(json.dumps([entry.to_json() for entry in chosen], indent=1))
        return DONE
    if chosen:
        print_rows(chosen)
    for line in table.summary_of(chosen, len(entries) - len(chosen)):
        print(line)
    with_return = next((entry for entry in chosen if entry.return_ is not None), None)
    if with_return is not None:
        print(f"next: {shlex.join([*reporter(arguments), 'curve', str(with_return.folder)])}")
    return DONE
