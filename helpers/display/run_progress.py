"""How far a run is, how fast it goes, what it reaches and what takes its time: kept from its rows of metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MEMORY_SECONDS = 60.0  # over how long speed and shares of the time are smoothed
MORE = 1.1  # updates a step that differ by more than this factor are another kind of work
SHOWN_EVALUATIONS = 8
MOST_POINTS = 128  # of a history; then two neighbours become one
PARTS = {"rollout": "time/rollout", "update": "time/update", "evaluation": "time/evaluation"}
DETAILS = {"physics": "time/share_physics", "waiting for workers": "time/share_allreduce"}


@dataclass
class Speed:
    """Steps per second of wall-clock time, of late and at the work that is still to come.

    Steps before the first update (a replay memory warms up) take almost no time, and the iteration in which
    updates begin has only some of them. So what counts begins anew when an iteration updates more than
    those before.

    Attributes:
        steps, seconds: of the last minute or so; what is older counts less and less.
        updates: the most updates a step of an iteration yet.
        is_known: whether the speed will last; not before `learning_starts`.
    """

    steps: float = 0.0
    seconds: float = 0.0
    updates: float = 0.0
    is_known: bool = False

    def take(self, *, steps: float, seconds: float, updates: float | None) -> None:
        """One more iteration; its updates, None where they are not counted."""
        each = 0.0 if updates is None else updates / max(1.0, steps)
        if each > MORE * self.updates:
            self.steps = self.seconds = 0.0
            self.updates = each
        fading = math.exp(-seconds / MEMORY_SECONDS)
        self.steps = fading * self.steps + steps
        self.seconds = fading * self.seconds + seconds
        self.is_known = self.seconds > 0.0 and (updates is None or self.updates > 0.0)

    @property
    def rate(self) -> float:
        """Steps per second; 0 before any time has passed."""
        return self.steps / self.seconds if self.seconds > 0.0 else 0.0


@dataclass
class History:
    """Values of a whole run in at most MOST_POINTS points: each a mean of as many values.

    Attributes:
        points: the means, the oldest first.
        each: the number of values of a point.
    """

    points: list[float] = field(default_factory=list)
    each: int = 1
    _pending: list[float] = field(default_factory=list)

    def take(self, value: float) -> None:
        """One more value; one that is not finite is left out."""
        if not math.isfinite(value):
            return
        self._pending.append(value)
        if len(self._pending) == self.each:
            self.points.append(sum(self._pending) / self.each)
            self._pending = []
        if len(self.points) == MOST_POINTS:
            pairs = zip(self.points[::2], self.points[1::2], strict=True)
            self.points = [(first + second) / 2 for first, second in pairs]
            self.each *= 2


@dataclass
class Shares:
    """What the time of late went into.

    Attributes:
        seconds: of each of PARTS, of the details within them (DETAILS), and of all.
    """

    seconds: dict[str, float] = field(default_factory=dict)

    def take(self, row: Mapping[str, Any], seconds: float) -> None:
        """One more iteration, which took `seconds`."""
        fading = math.exp(-seconds / MEMORY_SECONDS)
        new = {name: float(row.get(key) or 0.0) for name, key in PARTS.items()}
        new |= {name: seconds * float(row.get(key) or 0.0) for name, key in DETAILS.items()}
        new["all"] = max(seconds, sum(new[name] for name in PARTS))
        for name, value in new.items():
            self.seconds[name] = fading * self.seconds.get(name, 0.0) + value

    def of(self, name: str) -> float:
        """The share of a part or a detail, 0 to 1; "other" is what is left beside the parts."""
        whole = self.seconds.get("all", 0.0)
        if not whole:
            return 0.0
        if name == "other":
            return max(0.0, 1.0 - sum(self.of(part) for part in PARTS))
        return self.seconds[name] / whole

    def largest_first(self) -> list[tuple[str, float]]:
        """The parts and their shares."""
        shares = [(name, self.of(name)) for name in (*PARTS, "other")]
        return sorted(shares, key=lambda each: -each[1])


@dataclass
class RunProgress:
    """Where the run is, kept from row to row.

    Attributes:
        total_steps: the goal, in global environment steps, like `step`.
        speed, shares: of late.
        evaluations: mean returns of the last evaluations.
        best: the highest of all evaluations.
        rollouts, tests: mean returns of rollouts and of evaluations, since the program started.
        elapsed: seconds trained, earlier sessions included.
    """

    total_steps: int
    iteration: int = 0
    step: int = 0
    speed: Speed = field(default_factory=Speed)
    shares: Shares = field(default_factory=Shares)
    evaluations: list[float] = field(default_factory=list)
    best: float | None = None
    rollouts: History = field(default_factory=History)
    tests: History = field(default_factory=History)
    elapsed: float = 0.0
    rollout_return: float | None = None
    updated_at: float | None = None

    def take(self, row: Mapping[str, Any], now: float) -> None:
        """Bring up to date with a row."""
        steps, passed = row["step"] - self.step, 0.0
        if self.updated_at is not None:
            passed = now - self.updated_at
        elif rate := row.get("time/steps_per_second"):  # when the iteration began is not known here
            steps = row["step"] / row["iteration"]
            passed = steps / rate
        if passed or self.updated_at is not None:
            self.speed.take(steps=steps, seconds=passed, updates=row.get("update/count"))
            self.shares.take(row, passed)
        self.updated_at = now
        self.iteration, self.step = row["iteration"], row["step"]
        self.elapsed = float(row.get("time/elapsed") or 0.0)
        if row.get("rollout/return_mean") is not None:
            self.rollout_return = float(row["rollout/return_mean"])
            self.rollouts.take(self.rollout_return)
        if row.get("eval/return_mean") is not None:
            self._take_evaluation(float(row["eval/return_mean"]))

    def _take_evaluation(self, return_: float) -> None:
        self.tests.take(return_)
        self.evaluations = [*self.evaluations, return_][-SHOWN_EVALUATIONS:]
        if self.best is None or return_ > self.best:
            self.best = return_

    @property
    def rate(self) -> float:
        """Steps per second; 0 while unknown."""
        return self.speed.rate

    @property
    def fraction(self) -> float:
        """The part of the steps that is done, 0 to 1."""
        return min(1.0, self.step / max(1, self.total_steps))

    @property
    def return_(self) -> float | None:
        """The latest evaluation's return; the latest rollout's before any evaluation."""
        return self.evaluations[-1] if self.evaluations else self.rollout_return

    @property
    def seconds_left(self) -> float | None:
        """At the present speed; None while that is unknown, and at the end."""
        rest = self.total_steps - self.step
        return rest / self.rate if self.speed.is_known and self.rate > 0 and rest > 0 else None
