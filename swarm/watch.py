"""What is shown of a swarm's runs: how each stands, how far it is, and what it said last where it went wrong."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.run_folder.changes import changes_in_words
from helpers.trackers.jsonl import parse_row
from swarm.backends.table import backend_of
from swarm.plan import Plan, Run
from swarm.status import RunStatus, State, ledger_of, run_statuses
from swarm.swept import swept_settings

_TAIL = 1 << 16  # bytes of metrics that are looked through for the last evaluation
_LOG_TAIL = 1 << 14
_MARK = "milozero: "  # begins the line in which the program says what went wrong
_Metrics = tuple[dict[str, Any], float | None]
_read_before: dict[Path, tuple[tuple[int, int], _Metrics]] = {}  # (size, time) and what stood there


@dataclass(frozen=True)
class Line:
    """What is shown of a run.

    Attributes:
        run: its name.
        state: in one word.
        reason: why.
        job: what people find it by.
        steps: done so far, of all workers.
        total: asked for.
        return_: of the last evaluation; of the last rollout where there is none.
        rate: steps a second.
        seconds_left: at that rate, of a run that runs.
        restarts: of the program, over all submissions.
        error: the last that it said of an error; "" where all is well.
        changed: in which settings and files it has changed on its way, and when; "" where it has not.
        settings: its values of what was swept, by key; empty where nothing was.
    """

    run: str
    state: State
    reason: str
    job: str
    steps: int
    total: int
    return_: float | None
    rate: float | None
    seconds_left: float | None
    restarts: int
    error: str
    changed: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        values = dict(vars(self))
        return {key.rstrip("_"): value for key, value in values.items()}


@dataclass(frozen=True)
class SeedsMean:
    """The runs of one choice of the swept settings, on one environment.

    Attributes:
        env_id: of the environment.
        settings: the choice.
        runs, seeds: planned, and those that have a return.
        return_mean: of these; None where none has.
    """

    env_id: str
    settings: Mapping[str, str]
    runs: int
    seeds: int
    return_mean: float | None


def means_of(plan: Plan, lines: Sequence[Line]) -> list[SeedsMean]:
    """The mean over seeds of each choice, the best first; nothing where nothing was swept."""
    members: dict[tuple[str, tuple[str, ...]], list[Line]] = {}
    for line in lines:
        if line.settings:
            env_id = plan.by_name[line.run].config.env_id
            members.setdefault((env_id, tuple(line.settings.values())), []).append(line)
    means = []
    for (env_id, _), each in members.items():
        returns = [line.return_ for line in each if line.return_ is not None]
        mean = sum(returns) / len(returns) if returns else None
        means.append(SeedsMean(env_id, dict(each[0].settings), len(each), len(returns), mean))
    return sorted(
        means,
        key=lambda each: (each.env_id, each.return_mean is None, -(each.return_mean or 0.0)),
    )


def lines_of(plan: Plan) -> list[Line]:
    """How the runs stand now.

    Raises:
        DeploymentError: the cluster or tmux does not answer.
        StorageError: the ledger cannot be read.
    """
    settings = swept_settings(plan)
    return [_line(plan, status, settings[name]) for name, status in run_statuses(plan).items()]


def seconds_between(plan: Plan) -> float:
    """How long to wait between two looks at a swarm."""
    return backend_of(plan.launch.deployment).pause


def to_json(plan: Plan, lines: Sequence[Line]) -> str:
    """The table for scripts."""
    content = {
        "swarm": plan.name,
        "folder": str(plan.folder),
        "counts": dict(Counter(line.state for line in lines)),
        "settings": [vars(each) for each in means_of(plan, lines)],
        "runs": [line.to_json() for line in lines],
    }
    return json.dumps(content, indent=1)


def _line(plan: Plan, status: RunStatus, settings: Mapping[str, str]) -> Line:
    run, submission = status.run, status.submission
    row, return_ = _last_metrics(run)
    steps, total = int(row.get("step", 0)), run.config.num_timesteps
    rate = row.get("time/steps_per_second")
    runs = status.state in ("running", "stopping")
    starts = 0 if submission is None else submission.starts
    went_wrong = starts > 1 or status.state in ("failed", "lost", "stopped")
    return Line(
        run=run.name,
        state=status.state,
        reason=status.reason,
        job=status.job,
        steps=steps,
        total=total,
        return_=return_,
        rate=rate if runs or status.state == "done" else None,
        seconds_left=max(total - steps, 0) / rate if runs and rate else None,
        restarts=max(starts - 1, 0),
        error=_last_error(log_of(plan, run)) if went_wrong and status.state != "done" else "",
        changed="; ".join(changes_in_words(run.folder)),
        settings=settings,
    )


def log_of(plan: Plan, run: Run) -> Path:
    """What a run prints, over all its starts, wherever it was submitted from."""
    return ledger_of(plan, run).parent / plan.log_file(run).relative_to(plan.folder)


def _last_metrics(run: Run) -> _Metrics:
    """(the last row, the last return); read again only where there is more: a swarm may have hundreds of runs."""
    path = run.folder / "metrics.jsonl"
    try:
        found = path.stat()
    except OSError:
        return {}, None
    signature = (found.st_size, found.st_mtime_ns)
    before = _read_before.get(path)
    if before is None or before[0] != signature:
        before = _read_before[path] = (signature, _read_metrics(path))
    return before[1]


def _read_metrics(path: Path) -> _Metrics:
    """(the last row, the last return); of the last evaluation, else of the last rollout."""
    tail = tail_of(path, _TAIL)
    rows = [row for row in map(parse_row, tail.splitlines(keepends=True)) if row is not None]
    last = rows[-1] if rows else {}
    for key in ("eval/return_mean", "rollout/return_mean"):
        for row in reversed(rows):
            if row.get(key) is not None:
                return last, float(row[key])
    return last, None


def _last_error(log: Path) -> str:
    """The last line in which the program said what went wrong, without what a terminal would obey."""
    lines = tail_of(log, _LOG_TAIL).decode("utf-8", errors="replace").splitlines()
    said = [line.partition(_MARK)[2] for line in lines if _MARK in line]
    return "".join(char for char in said[-1] if char.isprintable()).strip() if said else ""


def tail_of(path: Path, size: int) -> bytes:
    """The end of a file; nothing where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - size, 0))
            return file.read()
    except OSError:
        return b""
