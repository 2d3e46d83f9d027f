"""Where a worker's time goes, part by part; the parts of a worker sum to all of its time.

Two clock readings and a few additions a visit, well under a microsecond: it always runs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from helpers.workers import Workers

SHARES = ("physics", "policy", "gradient", "allreduce", "other")  # these sum to 1
WITHIN_OTHER = ("evaluation", "eval physics", "saving", "logging")
MEASURED = (*SHARES[:-1], *WITHIN_OTHER)


class Part:
    """A `with` block whose time belongs to one part, less the parts and additions inside it."""

    __slots__ = ("_watch", "_outer", "_started", "seconds", "calls")

    def __init__(self, watch: Stopwatch) -> None:
        self._watch = watch
        self._outer = self._started = self.seconds = 0.0
        self.calls = 0

    def __enter__(self) -> None:
        self._outer, self._watch.inside = self._watch.inside, 0.0
        self._started = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = time.perf_counter() - self._started
        self.seconds += seconds - self._watch.inside
        self.calls += 1
        self._watch.inside = self._outer + seconds


class Stopwatch:
    """The time of one worker in each part. A part may lie inside another, not inside itself.

    Attributes:
        physics: stepping the training environments.
        policy: choosing the actions of a rollout.
        gradient: an update, less its collectives.
        allreduce: collectives of every kind, waiting for the other workers included.
        evaluation, saving, logging: what they say, less their collectives.
        evaluation_physics: stepping the environments of evaluations; the rest of these is in `evaluation`.
        inside: seconds of the parts that ended within the part under way.
        laps: how many laps are in the totals.
    """

    def __init__(self) -> None:
        self.inside = 0.0
        self._parts = {name: Part(self) for name in MEASURED}
        self.physics, self.policy, self.gradient, self.allreduce = (
            self._parts[name] for name in SHARES[:-1]
        )
        self.evaluation, self.evaluation_physics, self.saving, self.logging = (
            self._parts[name] for name in WITHIN_OTHER
        )
        self._totals = np.zeros((len(MEASURED) + 1, 2))  # seconds and calls; last: everything
        self.start()

    def add(self, part: str, seconds: float, *, calls: int = 1) -> None:
        """Count time that was measured elsewhere, within the part under way, for another one."""
        found = self._parts[part]
        found.seconds += seconds
        found.calls += calls
        self.inside += seconds

    def start(self) -> None:
        """Begin anew: what was before counts no more."""
        self._take()
        self._totals[:] = 0.0
        self.laps = 0
        self._clock = time.perf_counter()

    def lap(self) -> np.ndarray:
        """Seconds (5,) in the order of SHARES since the last lap or the start; called in no part."""
        now = time.perf_counter()
        total, self._clock = now - self._clock, now
        taken = self._take()
        self._totals[:-1] += taken
        self._totals[-1] += (total, 1)
        self.laps += 1
        seconds = np.append(taken[: len(SHARES) - 1, 0], 0.0)
        seconds[-1] = total - seconds.sum()
        return seconds

    def _take(self) -> np.ndarray:
        """(seconds, calls) of each part since they were last taken, in the order of MEASURED."""
        taken = np.array([(part.seconds, part.calls) for part in self._parts.values()])
        for part in self._parts.values():
            part.seconds, part.calls = 0.0, 0
        return taken

    def totals(self) -> list[list[float]]:
        """(seconds, calls) over all laps, in the order of MEASURED, and of everything."""
        totals: list[list[float]] = self._totals.tolist()
        return totals


def share_metrics(seconds: np.ndarray, *, workers: Workers) -> dict[str, float]:
    """A lap's shares of its time by name, each the mean over the workers; collective."""
    shares = seconds / seconds.sum()
    workers.sum_(shares)
    means = (shares / workers.size).tolist()
    return {f"time/share_{name}": share for name, share in zip(SHARES, means, strict=True)}


def profile(workers: Workers) -> str | None:
    """Where an iteration's time went since the start: a table, on the root; collective."""
    watch = workers.stopwatch
    gathered = workers.gather_json([watch.laps, watch.totals()])
    if gathered is None or not watch.laps:
        return None
    return profile_table([totals for _, totals in gathered], laps=watch.laps)


def profile_table(totals: Sequence[Sequence[Sequence[float]]], *, laps: int) -> str:
    """The table of `profile`, from every worker's `Stopwatch.totals`."""
    table = np.array(totals)  # (workers, parts, 2)
    measured, everything = table[:, :-1, 0] / laps, table[:, -1, 0] / laps  # s an iteration
    calls = table[:, :-1, 1].mean(0) / laps
    columns = dict(zip(MEASURED, measured.T, strict=True))
    columns["other"] = everything - sum(columns[name] for name in SHARES[:-1])
    columns["the rest of it"] = columns["other"] - sum(columns[name] for name in WITHIN_OTHER)
    many = len(table) > 1
    lines = [
        f"where an iteration's time went: mean of {laps} iterations"
        + (f" and {len(table)} workers" if many else ""),
        f"{'':16}{'ms':>10}{'share':>9}{'calls':>9}{'us a call':>11}"
        + (f"{'min ms':>10}{'max ms':>10}" if many else ""),
    ]
    for name in (*SHARES, *WITHIN_OTHER, "the rest of it"):
        seconds = columns[name]
        count = calls[MEASURED.index(name)] if name in MEASURED else 0.0
        label = name if name in SHARES else f"  {name}"
        line = f"{label:16}{1e3 * seconds.mean():10.2f}{seconds.mean() / everything.mean():9.1%}"
        line += f"{count:9.4g}{1e6 * seconds.mean() / count:11.1f}" if count else f"{'':20}"
        lines.append(
            line + (f"{1e3 * seconds.min():10.2f}{1e3 * seconds.max():10.2f}" if many else ""),
        )
    total = f"{'all':16}{1e3 * everything.mean():10.2f}{1:9.1%}{'':20}"
    lines.append(
        total + (f"{1e3 * everything.min():10.2f}{1e3 * everything.max():10.2f}" if many else ""),
    )
    return "\n".join(line.rstrip() for line in lines)
