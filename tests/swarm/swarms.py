"""Small swarms for tests: real plans, and a job script that obeys the contract of the real ones without training."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from agents.algorithms import SCHEMA
from helpers.config.run import RunConfig
from swarm import plan as plans
from swarm.ledger import Ledger, Submission
from swarm.plan import Launch, Plan, Run
from swarm.status import run_statuses
from tests.patience import patience

STEPS = 1000
REPOSITORY = Path(__file__).parents[2]

# Lock, note the start, do the "work", note the end: see swarm/ledger.py. `executions` counts what really ran.
SCRIPT = r"""#!/usr/bin/env bash
#SBATCH --output={logs}/{run}.log --open-mode=append --ntasks=1 --time=5
set -u
submission=${{1:-001}} ledger={ledger}/{run} folder={folder}
job=${{SLURM_JOB_ID:-}}
if [ -n "${{SLURM_ARRAY_JOB_ID:-}}" ]; then job=${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID; fi
mkdir -p "$ledger"
ticks=$(sed 's/.*) //' /proc/$$/stat | cut -d ' ' -f 20) boot=$(cat /proc/sys/kernel/random/boot_id)
mine=$ledger/.lock.$$.$RANDOM
printf '{{"job": "%s", "host": "%s", "pid": %d, "ticks": %d, "boot": "%s"}}\n' \
  "$job" "$HOSTNAME" $$ "$ticks" "$boot" >"$mine"
if ln "$mine" "$ledger/$submission.start" 2>/dev/null; then
  rm -f "$mine"
elif [ -e "$ledger/$submission.start" ] || ! ln -s "${{mine##*/}}" "$ledger/$submission.start" 2>/dev/null; then
  rm -f "$mine"
  grep -q "\"job\": \"$job\"" "$ledger/$submission.start" && [ -n "$job" ] || exit 0
fi
restart=${{SLURM_RESTART_COUNT:-0}}
if [ -e "$ledger/stop" ]; then
  for word in "start $restart" "end $restart" "stopped $restart"; do
    case $word in start*) rest=${{job:-$$}} ;; end*) rest="75 none" ;; *) rest=user ;; esac
    echo "$word $(date +%s) $rest" >>"$ledger/$submission.attempts"
  done
  exit 75
fi
echo "$submission $restart" >>"$folder/job_executions"
echo "start $restart $(date +%s) ${{job:-$$}}" >>"$ledger/$submission.attempts"
echo "the program of {run}"
began=$(date +%s.%N)
for _ in $(seq {tenths}); do
  sleep 0.1
  [ -e "$folder/stop" ] && rm "$folder/stop" && code=75 && break
done
code=${{code:-{code}}}
echo "$began $(date +%s.%N)" >>"$folder/job_times"
echo "end $restart $(date +%s) $code none" >>"$ledger/$submission.attempts"
word=gave_up
[ "$code" = 0 ] && word=done
[ "$code" = 75 ] && word=stopped
echo "$word $restart $(date +%s) standin" >>"$ledger/$submission.attempts"
exit "$code"
"""


def make_plan(
    folder: Path,
    *,
    count: int = 3,
    name: str = "tiny",
    seconds: float = 0.2,
    code: int = 0,
    **launch: object,
) -> Plan:
    """A swarm in `folder/swarms/<name>`, its runs in `folder/runs`, everything written but nothing submitted."""
    home = folder / "swarms" / name
    runs = tuple(_run(folder / "runs", f"{name}.seed{seed:02d}", seed) for seed in range(count))
    settings = {
        "deployment": "local",
        "num_workers": 1,
        "tmux_socket": f"test{folder.name}",
    } | launch
    how = Launch(working_folder=REPOSITORY, python=Path(sys.executable), **settings)
    plan = Plan(name, home, runs, how)
    write(plan, seconds=seconds, code=code)
    return plan


def write(plan: Plan, *, seconds: float = 0.2, code: int = 0) -> None:
    """What the spawner writes before it deploys."""
    for folder in (plan.launch_folder, plan.folder / "logs"):
        folder.mkdir(parents=True, exist_ok=True)
    plans.save(plan)
    for run in plan.runs:
        text = SCRIPT.format(
            logs=plan.folder / "logs",
            run=run.name,
            ledger=plan.ledger_folder,
            folder=run.folder,
            tenths=round(seconds * 10),
            code=code,
        )
        plan.launch_script(run).write_text(text)
    scripts = " ".join(f"'{run.job_script}'" for run in plan.runs)
    plan.array_script.write_text(
        f"#!/bin/bash\n#SBATCH --output={plan.folder}/logs/%x_%a.log --ntasks=1 --time=5\n"
        f'scripts=({scripts})\nexec bash "${{scripts[$((SLURM_ARRAY_TASK_ID + ${{2:-0}}))]}}" "$1"\n',
    )


def with_launch(plan: Plan, **changes: object) -> Plan:
    """The same swarm, to be launched in another way."""
    return replace(plan, launch=replace(plan.launch, **changes))


def latest(ledger: Ledger, run: str) -> Submission:
    """The latest submission of a run that has one."""
    found = ledger.submission(run)
    assert found is not None
    return found


def are_done(plan: Plan) -> bool:
    """Whether all runs have come to their end."""
    return all(each.state == "done" for each in run_statuses(plan).values())


def executions(plan: Plan) -> dict[str, list[str]]:
    """What really ran, by run: "submission restart" each time."""
    found = {}
    for run in plan.runs:
        path = run.folder / "job_executions"
        found[run.name] = path.read_text().splitlines() if path.exists() else []
    return found


def most_at_once(plan: Plan) -> int:
    """How many runs of an ended swarm were at work at the same time, by what they noted: looking on would miss some."""
    changes = []
    for run in plan.runs:
        for line in (run.folder / "job_times").read_text().splitlines():
            began, ended = map(float, line.split())
            changes += [(began, 1), (ended, -1)]
    now = most = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def wait_for(condition: Callable[[], object], *, seconds: float = 60) -> None:
    """Until something holds; `seconds` are those of a quiet machine.

    Raises:
        AssertionError: it does not, in time.
    """
    limit = patience(seconds)
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"not within {limit:.0f} s"
        time.sleep(0.05)


def _run(folder: Path, name: str, seed: int) -> Run:
    values = {"uuid": name, "seed": str(seed), "num_timesteps": str(STEPS), "runs_dir": str(folder)}
    config: RunConfig = SCHEMA.resolve(SCHEMA.layer_of(values)).config
    return Run(name, config, folder / name)
