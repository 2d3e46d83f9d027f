"""Where a worker's time goes, part by part; the parts of a worker sum to all of its time.

Two clock readings and a few additions a visit, well under a microsecond: it always runs.
"""

from __future__ import annotations

import time
from types import TracebackType

import numpy as np

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
