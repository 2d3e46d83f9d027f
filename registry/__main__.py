"""`python -m registry`: trained models after the run. See registry/cli.py."""

import helpers.interpreter  # noqa: F401  # first: what it finds missing would be a traceback below

# isort: split

import sys

from registry.cli import run

if __name__ == "__main__":
    sys.exit(run())
