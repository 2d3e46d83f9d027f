"""Runs, and what came of them: `python reporter.py VERB`.

A verb is a module of reports/verbs/: `add` declares it, `run` does it. A swarm is named by its name, a prefix of it, or
its folder below data/swarms.
"""

from __future__ import annotations

import helpers.interpreter  # noqa: F401  # first: what it finds missing would be a traceback below

# isort: split

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from helpers.data_root import set_data_root
from helpers.display.terminal import run_quietly
from helpers.errors import ConfigurationError, UserError
from reports.verbs import (
    card,
    compare,
    curve,
    listing,
    prune,
    replay,
    report,
    resume,
    stop,
    watch,
)

VERBS = (
    watch,
    listing,
    curve,
    report,
    compare,
    card,
    replay,
    prune,
    stop,
    resume,
)


class _Parser(argparse.ArgumentParser):
    """Refuses in two lines."""

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message[:1].upper()}{message[1:]}.", f"See: {self.prog} -h")


def main(argv: Sequence[str]) -> int:
    """Do what the command line asks for; the exit code."""
    try:
        arguments = _parser().parse_args(argv)
        set_data_root(arguments.data_root)
        return int(arguments.run(arguments))
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
    for each in VERBS:
        each.add(verbs)
    return parser


def run() -> int:
    """The command `milozero-reporter`."""
    return run_quietly(lambda: main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(run())
