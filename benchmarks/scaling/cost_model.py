"""What an iteration of PPO costs: a few laws, fitted to what `python -m benchmarks.scaling` measured.

Symbols: R steps of a rollout, B global minibatch, E epochs, S = E R / B gradient steps, N environments, W workers,
C cores, H hosts, n bytes of a gradient, x bytes a second of a link. Small letters are coefficients, none below 0.

    physics    c R/W
    policy     (p + q N/W) R/N                        R/N calls, each for N/W environments
    gradient   (g + u [H > 1]) S + h E R/W + i        u: across hosts each step passes through Python
    other      j + k R/W
    allreduce  S t(n) + (E + 8) t(1 kB) + waiting
    waiting    (ceil(N/W) W/N - 1) physics            some workers have an environment more
               + (v physics + w S) sqrt(2 ln W)       the slowest of W rollouts, of W gradient steps
    t(n)       a log2(W/H) + b n [W > H]              within a host, through shared memory
               + 2 log2(H) l + 2 (H - 1)/H n (m + e/x)    between hosts: a reduce-scatter and an allgather

Fitted where every worker has a core. Where W > C, what computes takes W/C times as long, and v, w and a constant in
t(n) for each number of hosts are fitted anew. Every law is linear in its coefficients, and the squares of its relative
errors are least.
The volume between hosts is that of Rabenseifner's algorithm (Thakur, Rabenseifner and Gropp 2005,
doi:10.1177/1094342005051521); sqrt(2 ln W) is how the largest of W normal variables grows.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.scaling.runs import EPOCHS, PARTS, Setting

SPACES = {"Hopper-v5": (11, 3), "HalfCheetah-v5": (17, 6)}  # observations, actions
SMALL = 1000  # bytes of the collectives that are no gradient
COMPUTING = ("physics", "policy", "gradient", "other")


@dataclass(frozen=True)
class Measured:
    """Seconds an iteration by part, medians over rounds; and the range of their sums."""

    setting: Setting
    seconds: dict[str, float]
    lowest: float
    highest: float

    @property
    def total(self) -> float:
        """Seconds of an iteration."""
        return sum(self.seconds.values())

    @property
    def rate(self) -> float:
        """Environment steps a second."""
        return self.setting.rollout_len / self.total


@dataclass(frozen=True)
class Reduced:
    """One sum over the workers of a setting: its size, its time, and what the first host sent."""

    setting: Setting
    size: int
    seconds: float
    sent: float


def gradient_bytes(env_id: str) -> int:
    """Of two perceptrons with two layers of 64, and a standard deviation for each action."""
    observations, actions = SPACES[env_id]
    hidden = 64 * observations + 64 + 64 * 64 + 64
    return 4 * (2 * hidden + 65 * actions + actions + 65)


# The laws: what multiplies each coefficient


def computing(setting: Setting) -> dict[str, list[float]]:
    """Features of the parts that compute."""
    calls, each, steps = setting.rollout_len / setting.num_envs, setting.each, setting.steps
    features = {
        "physics": [each],
        "policy": [calls, calls * setting.num_envs / setting.workers],
        "gradient": [steps, EPOCHS * each, 1.0, steps * (setting.hosts > 1)],
        "other": [1.0, each],
    }
    return {part: [setting.strain * x for x in row] for part, row in features.items()}


def sum_features(setting: Setting, size: float) -> list[float]:
    """Features of t(n): a, b, l, m, e."""
    workers, hosts = setting.workers, setting.hosts
    volume = 2 * (hosts - 1) / hosts * size
    per_second = math.inf if setting.gigabits is None else setting.gigabits * 1e9 / 8
    return [
        math.log2(workers / hosts),
        size * (workers > hosts),
        2 * math.log2(hosts),
        volume,
        volume / per_second,
    ]


def unevenness(setting: Setting) -> float:
    """By how much the most environments of a worker exceed their mean, as a share of it."""
    mean = setting.num_envs / setting.workers
    return math.ceil(mean) / mean - 1


def fitted(features: Sequence[Sequence[float]], times: Sequence[float]) -> np.ndarray:
    """Coefficients, none below 0, with the least sum of squared relative errors."""
    weights = 1 / np.maximum(np.asarray(times), 1e-9)
    rows = np.asarray(features, dtype=np.float64) * weights[:, None]
    scale = np.abs(rows).max(0)
    active = scale > 0
    result = np.zeros(rows.shape[1])
    while active.any():
        part = rows[:, active] / scale[active]
        solution = np.linalg.lstsq(part, np.ones(len(rows)), rcond=None)[0]
        if (solution >= 0).all():
            result[active] = solution / scale[active]
            break
        active[np.flatnonzero(active)[int(solution.argmin())]] = False
    return result


@dataclass(frozen=True)
class CostModel:
    """The coefficients of the laws.

    Attributes:
        parts: of the parts that compute, for each task.
        sums: of t(n).
        delays: what t(n) takes more where workers share cores, by the number of hosts.
        waiting: v and w where every worker has a core (False) and where not (True).
        wire: seconds that a message takes on the wire, beyond what was measured: 0 for emulated hosts.
    """

    parts: dict[str, dict[str, np.ndarray]]
    sums: np.ndarray
    delays: dict[int, float]
    waiting: dict[bool, np.ndarray]
    wire: float = 0.0

    @classmethod
    def fit(cls, measured: Sequence[Measured], reduced: Sequence[Reduced]) -> CostModel:
        """To runs and to bare sums."""
        parts = {}
        for env_id in {each.setting.env_id for each in measured}:
            mine = [e for e in measured if e.setting.env_id == env_id and e.setting.strain == 1]
            rows = [computing(each.setting) for each in mine]
            parts[env_id] = {
                part: fitted([row[part] for row in rows], [each.seconds[part] for each in mine])
                for part in COMPUTING
            }
        model = cls(parts, np.zeros(5), {}, {False: np.zeros(2), True: np.zeros(2)})
        free = [each for each in reduced if each.setting.strain == 1]
        if free:
            rows_free = [sum_features(each.setting, each.size) for each in free]
            model = replace(model, sums=fitted(rows_free, [each.seconds for each in free]))
        delays: dict[int, list[float]] = {}
        for each in (each for each in reduced if each.setting.strain > 1):
            late = each.seconds - model.sum_seconds(each.setting, each.size)
            delays.setdefault(each.setting.hosts, []).append(late)
        late_by_hosts = {h: max(0.0, statistics.median(late)) for h, late in delays.items()}
        model = replace(model, delays=late_by_hosts)
        return replace(
            model,
            waiting={strained: model._waits(measured, strained) for strained in (False, True)},
        )

    def _waits(self, measured: Sequence[Measured], strained: bool) -> np.ndarray:
        """v and w, from what is left of the all-reduce; errors are relative to the whole iteration."""
        mine = [e for e in measured if e.setting.workers > 1 and (e.setting.strain > 1) == strained]
        if not mine:
            return np.zeros(2)
        left = [each.seconds["allreduce"] - self.allreduce(each.setting) for each in mine]
        rows = np.array([self.waiting_features(each.setting) for each in mine])
        weights = np.array([1 / each.total for each in mine])
        return _nonnegative(rows, np.array(left), weights)

    def physics(self, setting: Setting) -> float:
        """Seconds an iteration."""
        features = computing(setting)["physics"]
        return float(self.parts[setting.env_id]["physics"] @ features)

    def sum_seconds(self, setting: Setting, size: float) -> float:
        """t(n)."""
        if setting.workers == 1:
            return 0.0
        seconds = float(self.sums @ sum_features(setting, size))
        seconds += 2 * math.log2(setting.hosts) * self.wire
        return seconds + (self.delays.get(setting.hosts, 0.0) if setting.strain > 1 else 0.0)

    def waiting_features(self, setting: Setting) -> list[float]:
        """Of v and w."""
        spread = math.sqrt(2 * math.log(setting.workers))
        return [spread * self.physics(setting), spread * setting.steps]

    def allreduce(self, setting: Setting, *, every: int = 1) -> float:
        """Seconds an iteration in collectives.

        Args:
            setting: what is run.
            every: gradient steps between two sums; more than one sums parameters and both moments.
        """
        if setting.workers == 1:
            return 0.0
        size = gradient_bytes(setting.env_id) * (1 if every == 1 else 3)
        count = setting.steps / every
        seconds = count * self.sum_seconds(setting, size)
        seconds += (EPOCHS + 8) * self.sum_seconds(setting, SMALL)
        seconds += unevenness(setting) * self.physics(setting)
        rollouts, steps = self.waiting[setting.strain > 1] * self.waiting_features(setting)
        # Between two sums the jitter of the steps averages out; that of the rollouts comes once.
        return float(seconds + rollouts + steps / every)

    def predict(self, setting: Setting, *, every: int = 1) -> dict[str, float]:
        """Seconds an iteration by part."""
        laws = self.parts[setting.env_id]
        seconds = {part: float(laws[part] @ row) for part, row in computing(setting).items()}
        if every > 1 and setting.hosts > 1:
            seconds["gradient"] -= setting.steps * float(laws["gradient"][3])  # all in C
        seconds["allreduce"] = self.allreduce(setting, every=every)
        return {part: seconds[part] for part in PARTS}

    def total(self, setting: Setting, *, every: int = 1) -> float:
        """Seconds an iteration."""
        return sum(self.predict(setting, every=every).values())


def _nonnegative(features: np.ndarray, times: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Two coefficients, none below 0, with the least sum of squared weighted errors."""
    rows, aims = features * weights[:, None], times * weights
    candidates = [np.zeros(2)]
    both = np.linalg.lstsq(rows, aims, rcond=None)[0]
    if (both >= 0).all():
        return np.asarray(both)
    for i in range(2):
        one = np.zeros(2)
        one[i] = max(0.0, float(rows[:, i] @ aims / (rows[:, i] @ rows[:, i])))
        candidates.append(one)
    return min(candidates, key=lambda each: float(np.square(rows @ each - aims).sum()))


@dataclass(frozen=True)
class Errors:
    """Relative errors of the seconds of an iteration: median and largest, of so many settings."""

    count: int
    median: float
    largest: float

    @classmethod
    def of(cls, errors: Sequence[float]) -> Errors:
        """From signed relative errors."""
        sizes = [abs(each) for each in errors]
        return cls(len(sizes), statistics.median(sizes), max(sizes))


def fit_errors(measured: Sequence[Measured], reduced: Sequence[Reduced]) -> list[float]:
    """Of every setting, by the model that was fitted to it too."""
    model = CostModel.fit(measured, reduced)
    return [model.total(each.setting) / each.total - 1 for each in measured]


def left_out_errors(measured: Sequence[Measured], reduced: Sequence[Reduced]) -> list[float]:
    """Of every setting, by a model that was fitted to all the others."""
    errors = []
    for i, each in enumerate(measured):
        others = [*measured[:i], *measured[i + 1 :]]
        errors.append(CostModel.fit(others, reduced).total(each.setting) / each.total - 1)
    return errors
