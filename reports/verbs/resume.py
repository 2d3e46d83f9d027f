"""`resume SWARM [RUN ...]`: runs that have stopped are submitted again."""

from __future__ import annotations

import argparse

from helpers.errors import DONE
from reports.verbs.swarms import Verbs, add_runs, add_swarm


def add(verbs: Verbs) -> None:
    """Declare the verb and its flags."""
    verb = verbs.add_parser(
        "resume",
        help="submit runs again that have stopped, and failed ones that are named",
    )
    add_swarm(verb)
    add_runs(verb)
    verb.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Submit them; the exit code."""
    from swarm.control import find_swarm, resume, select_runs

    plan = find_swarm(arguments.swarm)
    runs = select_runs(plan, arguments.run_names)
    names = resume(plan, runs, are_named=bool(arguments.run_names)).submitted
    for name in names:
        print(f"{name} is resumed")
    if not names:
        print("no run was stopped")
    return DONE
