"""What a person reads before a swarm starts: its runs, their number and their cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helpers.config.settings import show
from swarm.plan import Plan, Run

_MOST_RUNS = 20
_MOST_TELLING = 4


def plan_table(plan: Plan, *, most: int | None = None) -> str:
    """The runs, one a line.

    Args:
        plan: of the swarm.
        most: lines to print; a screenful if None.
    """
    telling = _differing_settings(plan.runs)
    head = ["run", "env_id", "seed", *telling, "name"]
    shown = plan.runs[: _MOST_RUNS if most is None else most]
    rows = [head, *(_row(index, run, telling) for index, run in enumerate(shown))]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    hidden = len(plan.runs) - len(shown)
    if hidden:
        lines.append(f"... and {hidden} more; --dry_run shows all")
    return "\n".join([f"swarm {plan.name} on {plan.launch.deployment}", *lines])


def cost_line(plan: Plan) -> str:
    """How much of a machine the swarm may take.

    A run that is cut by its time limit starts again, so the limit bounds one start of each run.
    """
    launch = plan.launch
    cores = len(plan.runs) * launch.num_workers
    steps = sum(run.config.num_timesteps for run in plan.runs)
    cost = f"cost = {steps:,} environment steps on {cores} cores"
    seconds = launch.caliber.seconds
    if seconds is None:
        return f"{cost}, without a time limit"
    hours = seconds / 3600
    return f"{cost}, for at most {hours:.4g} h each start: {cores * hours:,.4g} core-hours"


def _differing_settings(runs: Sequence[Run]) -> list[str]:
    """The settings that differ between trials, the first few of them."""
    firsts = {
        run.trial: run for run in reversed(runs) if run.config.env_id == runs[0].config.env_id
    }
    dumps: list[Mapping[str, object]] = [run.config.model_dump() for run in firsts.values()]
    known = set().union(*dumps)
    told = {"env_id", "seed", "uuid"}
    differing = [
        key
        for key in dumps[0]
        if key in known - told and len({dump.get(key) for dump in dumps}) > 1
    ]
    return differing[:_MOST_TELLING]


def _row(index: int, run: Run, telling: Sequence[str]) -> list[str]:
    values = [show(getattr(run.config, key, None)) for key in telling]
    return [str(index), run.config.env_id, str(run.config.seed), *values, run.name]
