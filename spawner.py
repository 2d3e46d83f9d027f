"""Many runs: one YAML file x environments x demonstrations x trials x seeds -> tmux, Slurm or this machine.

`python spawner.py --config tasks/train_mujoco_ppo.yaml --num_seeds 3 --deploy_now`; `-h` lists all flags.
"""

from __future__ import annotations

import helpers.interpreter  # noqa: F401  # first: what it finds missing would be a traceback below

# isort: split

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from swarm.flags.hidden_key import hide_key

if TYPE_CHECKING:  # imported where it is used: a key leaves the process list before anything else
    from swarm.flags.parser import Command
    from swarm.plan import Plan


def main(argv: Sequence[str], *, wandb_api_key: str | None = None) -> int:
    """Do what the command line asks for; the exit code.

    Args:
        argv: without the program's name.
        wandb_api_key: that was among them and is taken out already.
    """
    from helpers.config.help import completion_script, completion_wanted, help_wanted
    from helpers.errors import DONE, UserError
    from swarm.flags.parser import all_settings, help_text, parse

    if completion_wanted(argv):
        print(completion_script("spawner", all_settings().values()), end="")
        return DONE
    if help_wanted(argv):
        print(help_text(), end="")
        return DONE
    try:
        return spawn(parse(argv, wandb_api_key=wandb_api_key))
    except UserError as error:
        print(f"milozero: {error.problem}\n  remedy: {error.remedy}", file=sys.stderr)
        return error.exit_code


def spawn(command: Command) -> int:
    """Expand, validate, show; then nothing more, or write, or deploy as well, or wait; the exit code."""
    from agents.algorithms import SCHEMA
    from environments.ids import resolve_env_id, suite_of
    from environments.requirements import check_options
    from helpers.errors import DONE
    from swarm import images
    from swarm.places import note_place
    from swarm.planning import preflight
    from swarm.planning.overview import cost_line, plan_table
    from swarm.planning.request import Program, make_plan
    from swarm.scripts import launch_files
    from swarm.scripts.render import render_job

    settings = command.settings
    root = Path(__file__).resolve().parent
    program = Program(root, SCHEMA, resolve_env_id, suite_of)
    found = make_plan(command, program, here=Path.cwd())
    plan = found.plan
    for env_id, text in {(run.config.env_id, run.config.env_options) for run in plan.runs}:
        check_options(env_id, json.loads(text or "{}"))
    warnings = [*found.warnings, *preflight.check(plan)]
    print(plan_table(plan, most=len(plan.runs) if settings.dry_run else None))
    print(found.total_line, cost_line(plan), sep="\n", flush=True)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if settings.dry_run:
        print(f"\nthe script of run 0:\n\n{render_job(plan, plan.runs[0])}", end="")
        return DONE
    if settings.deploy_now:
        images.require_converter(plan)
    if settings.wandb_upgrade:
        upgrade_wandb()
    key = command.wandb_api_key
    launch_files.write(plan, {} if key is None else {"WANDB_API_KEY": key})
    if problem := note_place(plan.folder.parent):
        print(f"warning: {problem}", file=sys.stderr)
    if not settings.deploy_now:
        print(f"written: {plan.launch_folder}")
        print("next: the same command with --deploy_now starts the runs")
        return DONE
    images.convert(plan)
    deploy(plan, is_cleared=settings.clear)
    return wait(plan) if settings.wait else DONE


def deploy(plan: Plan, *, is_cleared: bool) -> None:
    """Start what is not waiting, running or done, and say how to look at it."""
    from swarm.backends.tmux import session_name
    from swarm.deploy import deploy as deploy_plan
    from swarm.scripts import launch_files

    outcome = deploy_plan(plan)
    if is_cleared:
        launch_files.clear(plan)
    print(f"submitted {len(outcome.submitted)}, already there {len(outcome.already)}")
    print(f"next: python reporter.py watch {plan.name}")
    if plan.launch.deployment == "tmux":
        print(f"      tmux -L {plan.launch.tmux_socket} attach -t {session_name(plan)}")


def wait(plan: Plan) -> int:
    """Wait for the runs, and say in one line how they stand; 0 only if all are done."""
    from helpers.errors import DONE, NOT_ALL_DONE
    from swarm.control import states_at_the_end

    states = states_at_the_end(plan)
    print(f"{plan.name}: " + ", ".join(f"{count} {state}" for state, count in states.items()))
    if states.keys() & {"queued", "claimed"}:
        print("nothing starts the queued runs: give the same command again", file=sys.stderr)
    return DONE if set(states) == {"done"} else NOT_ALL_DONE


def upgrade_wandb() -> None:
    """Once, here, and never inside a job, where each run could get another version."""
    command = [sys.executable, "-m", "pip", "install", "--upgrade", "wandb"]
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:
        print("warning: wandb was not upgraded; the installed one is used.", file=sys.stderr)


def run() -> int:
    """The command `milozero-spawner`."""
    from helpers.display.terminal import run_quietly

    hidden = hide_key(sys.argv)
    return run_quietly(lambda: main(sys.argv[1:], wandb_api_key=hidden))


if __name__ == "__main__":
    sys.exit(run())
