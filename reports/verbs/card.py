"""`card RUN`: one page on a run, in its folder."""

from __future__ import annotations

import argparse
import shlex

from helpers.errors import DONE
from reports.verbs.options import reporter
from reports.verbs.swarms import Verbs


def add(verbs: Verbs) -> None:
    """Declare the verb and its flags."""
    verb = verbs.add_parser(
        "card",
        help="one page on a run: curve, pictures, returns, settings, capsule, limits and commands",
    )
    verb.add_argument("run_name", metavar="RUN", help="a run of data/runs, or its folder")
    verb.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write it; the exit code."""
    from reports.card.write import write_card
    from reports.collect import find_run

    folder = find_run(arguments.run_name)
    made, lacking = write_card(folder)
    for line in lacking:
        print(f"note: {line}")
    for what, path in made.items():
        print(f"{what}: {path}")
    print(f"next: {shlex.join([*reporter(arguments), 'replay', str(folder), '--dry_run'])}")
    return DONE
