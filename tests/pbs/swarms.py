"""Swarms on the stand-in for PBS, with the scripts of the spawner and a program that takes no time to start."""

from __future__ import annotations

import json
import time
from pathlib import Path

from swarm.control import stop
from swarm.plan import Plan
from swarm.scripts.render import render_array, render_job
from swarm.status import run_statuses
from tests.pbs.cluster import StandInPbs
from tests.swarm.swarms import make_plan

# in the place of main.py: works for so many seconds, and saves when it is asked to stop
PROGRAM = """
import json, os, signal, sys, time
folder = os.path.dirname(os.environ["MILOZERO_LAUNCHED"])
open(os.environ["MILOZERO_LAUNCHED"], "w").close()
asked = []
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, lambda number, _: asked.append(number))
began = time.time()
with open(f"{folder}/job_executions", "a") as file:
    file.write(os.environ["PBS_JOBID"] + "\\n")
with open(f"{folder}/job_environment.json", "w") as file:
    json.dump(dict(os.environ), file)
while time.time() < began + SECONDS and not asked and not os.path.exists(f"{folder}/stop"):
    time.sleep(0.02)
is_stopped = asked or os.path.exists(f"{folder}/stop")
with open(f"{folder}/job_times", "a") as file:
    file.write(f"{began} {time.time()}\\n")
if is_stopped:
    time.sleep(SAVES)
    if os.path.exists(f"{folder}/stop"):
        os.unlink(f"{folder}/stop")
sys.exit(75 if is_stopped else 0)
"""


def make(
    folder: Path,
    *,
    count: int = 1,
    seconds: float = 0.2,
    saves: float = 0,
    **how: object,
) -> Plan:
    """A swarm whose runs no other test has a name for."""
    program, starter = folder / "program.py", folder / "starter"
    program.write_text(PROGRAM.replace("SECONDS", str(seconds)).replace("SAVES", str(saves)))
    starter.write_text('#!/bin/bash\nshift 2\nexec "$@"\n')
    starter.chmod(0o755)
    name = f"{folder.name}_{time.time_ns()}"
    launch = {"deployment": "pbs", "program": str(program), "mpiexec": str(starter)} | how
    plan = make_plan(folder, count=count, name=name, **launch)
    for run in plan.runs:
        plan.launch_script(run).write_text(render_job(plan, run))
    plan.array_script.write_text(render_array(plan))
    return plan


def quiet(_line: str) -> None:
    """Takes what is said."""


def states(plan: Plan) -> list[str]:
    return [each.state for each in run_statuses(plan).values()]


def executions(plan: Plan) -> list[list[str]]:
    """The jobs in which each run's program ran."""
    paths = [run.folder / "job_executions" for run in plan.runs]
    return [path.read_text().split() if path.exists() else [] for path in paths]


def end(pbs: StandInPbs, plan: Plan) -> None:
    """Let nothing resume, and delete what there is, which no other test looks at."""
    stop(plan, plan.runs, say=quiet)
    pbs.run("qdel", *pbs.run("qselect").split())


def are_executed(plan: Plan) -> bool:
    return all(executions(plan))


def seen(plan: Plan) -> dict[str, str]:
    """The environment of the first run's program."""
    text = (plan.runs[0].folder / "job_environment.json").read_text()
    found: dict[str, str] = json.loads(text)
    return found
