"""What a person does to a swarm that is there: find it, stop runs, resume them."""

from __future__ import annotations

import difflib
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from helpers.errors import ConfigurationError, StorageError
from swarm.backends.base import DeploymentError
from swarm.backends.local import NOT_SERVED
from swarm.backends.table import backend_of
from swarm.deploy import Deployed, deploy
from swarm.ledger import Ledger, make_shared_folder
from swarm.places import swarm_places
from swarm.plan import PLAN_FILE, Plan, Run, load
from swarm.status import UNDER_WAY, RunStatus, ledger_of, run_statuses, schedulers_of
from swarm.table import common_prefix
from swarm.watch import seconds_between

Say = Callable[[str], None]

STOP_FILE = "stop"  # in a run folder: the run saves and leaves when it sees it
RESUMABLE = ("stopped", "lost")


def print_aside(line: str) -> None:
    """A line that is no result."""
    print(line, file=sys.stderr, flush=True)


def find_swarm(name: str, *, swarms: Path | None = None) -> Plan:
    """The plan of a swarm.

    Args:
        name: of the swarm, the beginning of its name, or its folder.
        swarms: where swarms are kept; None is everywhere that one was spawned into, here first.

    Raises:
        ConfigurationError: there is no such swarm, or several that begin so.
    """
    if (Path(name) / PLAN_FILE).exists():
        return load(Path(name))
    places = swarm_places() if swarms is None else [swarms]
    known: dict[str, Path] = {}
    for place in places:
        for path in sorted(place.glob(f"*/{PLAN_FILE}")):
            known.setdefault(path.parent.name, path.parent)
    matching = [name] if name in known else [each for each in known if each.startswith(name)]
    if len(matching) == 1:
        return load(known[matching[0]])
    if matching:
        raise ConfigurationError(
            f"{len(matching)} swarms start with {name}.",
            f"Give one of them: {', '.join(matching[:5])}.",
        )
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or list(known)[:5]
    raise ConfigurationError(
        f"There is no swarm {name} in {', '.join(map(str, places))}.",
        f"Give one of these: {', '.join(near)}." if near else "Start one: python spawner.py -h.",
    )


def select_runs(plan: Plan, patterns: Sequence[str]) -> list[Run]:
    """The runs that are named, by their names or patterns like '*seed02'; all where none is.

    Names may be those of the table: without what all begin with, and shortened by "..." in their middle.

    Raises:
        ConfigurationError: a name that fits no run.
    """
    if not patterns:
        return list(plan.runs)
    names = [run.name for run in plan.runs]
    prefix = common_prefix(names)
    chosen: set[str] = set()
    for pattern in patterns:
        wanted = pattern.replace("...", "*")
        fitting = {
            each
            for each in names
            if fnmatchcase(each, wanted) or fnmatchcase(each.removeprefix(prefix), wanted)
        }
        if not fitting:
            near = difflib.get_close_matches(pattern, names, n=1, cutoff=0.3)
            raise ConfigurationError(
                f"No run of {plan.name} is called {pattern}.",
                f"Did you mean {near[0]}?" if near else f"One of them is {names[0]}.",
            )
        chosen |= fitting
    return [run for run in plan.runs if run.name in chosen]


def states_at_the_end(
    plan: Plan,
    *,
    pause: float | None = None,
    say: Say = print_aside,
) -> dict[str, int]:
    """How many runs are in each state, once none runs any more, nor waits for somebody who lives.

    A scheduler that does not answer is asked again: a wait may last for days.

    Args:
        plan: the swarm.
        pause: seconds between two looks; those of the table if None.
        say: for lines that a person should see.
    """
    reported = ""
    idle = 0  # looks in a row in which nothing moved any more: one process may be taking over from another
    pause = seconds_between(plan) if pause is None else pause
    while True:
        try:
            found = run_statuses(plan).values()
        except DeploymentError as error:
            if error.problem != reported:
                reported = error.problem
                say(f"{reported} It is asked again.")
        else:
            idle = 0 if any(map(will_move, found)) else idle + 1
            states = Counter(each.state for each in found)
            if idle and (idle > 1 or not states.keys() & {*UNDER_WAY, "claimed"}):
                return dict(sorted(states.items()))
        time.sleep(pause)


def will_move(status: RunStatus) -> bool:
    """Whether a run is under way, or the process that is to start it lives."""
    if status.state == "claimed" and status.submission is not None:
        return status.submission.claimed_by.is_alive() is not False
    return status.state in UNDER_WAY and status.reason != NOT_SERVED


def stop(plan: Plan, runs: Sequence[Run], *, say: Say = print) -> list[str]:
    """Ask runs to save and leave, and take those out of the queue that have not begun.

    It asks by files, which every run looks for once an iteration: that reaches any machine, and a run
    that is still starting. Nothing is requeued or started until somebody resumes it. What waits is taken
    out of the queue first: the places of those that leave would let it begin.

    Returns:
        The names of those that were under way.
    """
    found = run_statuses(plan, runs)
    asked = [each for each in found.values() if each.state in (*UNDER_WAY, "claimed")]
    for each in asked:
        Ledger(ledger_of(plan, each.run)).ask_to_stop(each.run.name)
    try:
        for kind, scheduler in schedulers_of(plan).items():
            scheduler.cancel_pending(_tokens(asked, kind))
        for each in asked:
            _close(plan, each, say)
    finally:  # also where the scheduler does not answer
        for each in asked:
            _touch_stop_file(plan, each.run)
    return [each.run.name for each in asked]


def resume(
    plan: Plan,
    runs: Sequence[Run],
    *,
    are_named: bool,
    say: Say = print,
) -> Deployed:
    """Submit runs again that have stopped.

    Args:
        plan: the swarm.
        runs: which.
        are_named: whether a person named them: then failed ones are among them, which would otherwise
            fail again.
        say: for lines that a person should see.
    """
    found = run_statuses(plan, runs)
    wanted = (*RESUMABLE, "failed") if are_named else RESUMABLE
    for name, each in found.items():
        if each.state == "stopping":
            say(f"{name} is still stopping: resume it when it has stopped")
        elif each.state == "failed" and not are_named:
            say(f"{name} failed ({each.reason}): name it to try it again")
    names = [name for name, each in found.items() if each.state in wanted]
    return deploy(plan, only=names, say=say) if names else Deployed()


def _tokens(asked: Sequence[RunStatus], deployment: str) -> dict[str, list[str]]:
    """Those of the submissions that went one way, by run."""
    submissions = [each.submission for each in asked if each.submission]
    return {each.run: [each.token] for each in submissions if each.deployment == deployment}


def _touch_stop_file(plan: Plan, run: Run) -> None:
    try:
        make_shared_folder(run.folder)
        (run.folder / STOP_FILE).touch()
    except OSError as error:
        raise StorageError(
            f"{error.filename or run.folder} cannot be written: {error.strerror or error}.",
            f"Fix permissions there, or stop it yourself: {backend_of(plan.launch.deployment).to_stop}",
        ) from error


def _close(plan: Plan, status: RunStatus, say: Say) -> None:
    """Take the lock of a job that has not begun, so that it leaves at once if it begins after all."""
    submission = status.submission
    if submission is None or submission.started_by is not None:
        return
    if Ledger(ledger_of(plan, status.run)).void(submission.run, submission.number):
        if environment := (submission.job or {}).get("environment"):
            Path(environment).unlink(missing_ok=True)
        say(f"{submission.run} had not begun: taken out of the queue")
