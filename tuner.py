"""Searching settings: one task file x a search space -> trials on Ray Tune, watched in MLflow.

python tuner.py --config tasks/tune_classic_ppo.yaml --num_samples 8 --scheduler pbt --max_concurrent 2 --test-local
python tuner.py show NAME
python tuner.py -h
"""

from __future__ import annotations

import helpers.interpreter  # noqa: F401  # first: what it finds missing would be a traceback below

# isort: split

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent


def main(argv: Sequence[str]) -> int:
    """Do what the command line asks for; the exit code."""
    if argv[:1] == ["trial"]:
        return trial(argv[1])
    from helpers.errors import DONE, UserError
    from swarm.tune import flags

    if flags.help_wanted(argv):
        print(flags.page(argv), end="")
        return DONE
    try:
        if argv[:1] == ["show"]:
            return flags.show(argv[1:])
        return search(argv)
    except UserError as error:
        print(f"milozero: {error.problem}\n  remedy: {error.remedy}", file=sys.stderr)
        return error.exit_code


def search(argv: Sequence[str]) -> int:
    """Validate everything, then search, or write the script of a cluster's job that does."""
    from agents.algorithms import SCHEMA
    from helpers.data_root import set_data_root
    from helpers.errors import DONE
    from swarm.tune import job, session
    from swarm.tune.settings import HERE
    from swarm.tune.task_file import read_search

    found = read_search(argv, SCHEMA)
    set_data_root(found.settings.data_root or found.config.data_root)
    if found.settings.deployment == HERE:
        return session.run(found, SCHEMA, repository=REPOSITORY)
    path = job.write_script(found, argv, repository=REPOSITORY)
    print(f"written: {path}")
    if found.settings.deploy_now:
        print(job.searches_of(found).submit(path))
        print(f"next: python tuner.py show {shlex.quote(str(found.folder))}")
    else:
        print(f"next: {job.searches_of(found).command} {shlex.quote(str(path))}")
    return DONE


def trial(address: str) -> int:
    """The process of a trial, which its actor starts."""
    import main as program
    from agents.algorithms import SCHEMA
    from helpers.machine.compilers import name_cxx
    from helpers.machine.native import cache_folder
    from helpers.machine.processor import hold_libraries
    from helpers.parallel.crash import install_crash_handler
    from helpers.parallel.workers import Workers
    from swarm.tune.trial.process import serve

    workers = Workers.connect()
    install_crash_handler(workers, None)
    hold_libraries()  # these two before torch is imported
    name_cxx(cache_folder())

    def open_run(arguments: Sequence[str]) -> program.OpenRun:
        return program.open_run(SCHEMA.parse_command_line(arguments), workers, arguments)

    return serve(address, workers, open_run)


def run() -> int:
    """The command `milozero-tuner`."""
    from helpers.display.terminal import run_quietly

    return run_quietly(lambda: main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(run())
