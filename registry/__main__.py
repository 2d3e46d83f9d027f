"""`python -m registry`: trained models after the run. See registry/cli.py."""

import sys

from registry.cli import run

if __name__ == "__main__":
    sys.exit(run())
