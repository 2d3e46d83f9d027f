"""`stop SWARM [RUN ...]`: runs save and leave."""

from __future__ import annotations

import argparse
import shlex

from helpers.errors import DONE
from reports.verbs.swarms import Verbs, add_runs, add_swarm


def add(verbs: Verbs) -> None:
    """Declare the verb and its flags."""
    verb = verbs.add_parser(
        "stop",
        help="let runs save a checkpoint and leave; nothing starts them again but resume",
    )
    add_swarm(verb)
    add_runs(verb)
    verb.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Ask them to stop; the exit code."""
    from swarm.control import find_swarm, select_runs, stop

    plan = find_swarm(arguments.swarm)
    names = stop(plan, select_runs(plan, arguments.run_names))
    for name in names:
        print(f"{name} is asked to stop")
    said = (
        f"next: python reporter.py watch {shlex.quote(arguments.swarm)}"
        if names
        else "none waits or runs"
    )
    print(said)
    return DONE
