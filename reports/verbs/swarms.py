"""What the verbs on swarms share: how a swarm and its runs are named."""

from __future__ import annotations

import argparse
from typing import Any

Verbs = Any  # what argparse's add_subparsers returns, a class without a public name


def add_swarm(verb: argparse.ArgumentParser) -> None:
    """The argument that names a swarm."""
    verb.add_argument(
        "swarm",
        metavar="SWARM",
        help="its name, a prefix of it, or its folder",
    )


def add_runs(verb: argparse.ArgumentParser) -> None:
    """The arguments that name runs of a swarm."""
    verb.add_argument(
        "run_names",
        metavar="RUN",
        nargs="*",
        help="names, or patterns like '*seed02'; all",
    )
