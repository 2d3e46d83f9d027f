"""What is tracked between two writes to TensorBoard, by skrl's tags: a mean, a maximum or a minimum each.

Every worker keeps its own part: a sum and its weight, or an extreme. At a write the parts are merged, so that a
maximum is over all steps, environments and workers, and every sample weighs the same in a mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from helpers.parallel.workers import Workers

REWARD = "Reward / Instantaneous reward"
RETURN = "Reward / Total reward"
LENGTH = "Episode / Total timesteps"
NOISE = "Exploration / Exploration noise"
EPSILON = "Exploration / Exploration epsilon"

Kept = dict[str, list[float]]  # by tag: [extreme, 0] or [sum, weight]
Sink = Callable[[Mapping[str, float], int], None]


class Tracking:
    """Collects what an agent, the loop and a user track, and writes it at an interval of steps.

    Args:
        interval: global environment steps between two writes; 0 tracks and writes nothing.
        workers: who tracks together.

    Attributes:
        writer: writes a value at once, where the timing here is not wanted.
        sources: called before a write and at each iteration's end; they bring what was gathered cheaply.
    """

    def __init__(self, *, interval: int, workers: Workers) -> None:
        self.interval, self.workers = interval, workers
        self.writer = Writer()
        self.sources: list[Callable[[], None]] = []
        self._kept: Kept = {}

    @property
    def is_on(self) -> bool:
        """Whether anything is tracked."""
        return self.interval > 0

    # What is tracked

    def track_data(self, tag: str, value: float) -> None:
        """Track a number for the next write.

        Of what is tracked under a tag until then, by all workers, a tag that ends in "(max)" shows the
        largest, one that ends in "(min)" the smallest, any other the mean.

        Args:
            tag: "Group / Name", a curve of TensorBoard.
            value: a number, or an array or tensor of one element.

        Raises:
            TypeError, ValueError: the value is no single number.
        """
        self.add(tag, float(value))

    def add(self, tag: str, value: float, *, weight: float = 1.0) -> None:
        """Track a number that stands for `weight` samples: their mean, or an extreme of theirs."""
        if self.interval:
            is_mean = reduction(tag) is None
            _merge(self._kept, tag, [value * weight, weight] if is_mean else [value, 0.0])

    def spread(self, name: str, values: np.ndarray) -> None:
        """Track the largest, the smallest and the mean of values under "name (max)" and so on."""
        if values.size:
            self.add(f"{name} (max)", float(values.max()))
            self.add(f"{name} (min)", float(values.min()))
            self.add(f"{name} (mean)", float(values.mean(dtype=np.float64)), weight=values.size)

    def gather(self, name: str, *, scale: float = 1.0) -> Gathering:
        """Arrays whose `spread`, times `scale`, is to be tracked: cheap where there is one a step."""
        return Gathering(self, name, scale)

    # Writing

    def advance(self, before: int, after: int) -> None:
        """The training went from one global environment step to another; collective where it writes."""
        if self.interval and after // self.interval > before // self.interval:
            self.write(after)

    def write(self, step: int) -> None:
        """Merge what all workers kept, write it at this step, begin anew; collective."""
        self.collect()
        shares = [self._kept] if self.workers.size == 1 else self.workers.gather_json(self._kept)
        self._kept = {}
        if shares is not None:
            self.writer.write(merge_values(shares), step)

    def collect(self) -> None:
        """Take what the sources gathered; at each iteration's end, whether or not one saves there."""
        for source in self.sources if self.is_on else ():
            source()

    # Saving

    def state_dict(self) -> dict[str, Any]:
        """This worker's part since the last write, settled; nothing where nothing is tracked."""
        return {"kept": {tag: list(kept) for tag, kept in self._kept.items()}} if self.is_on else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        if self.is_on:
            self._kept = {tag: list(kept) for tag, kept in state.get("kept", {}).items()}


class Gathering:
    """Arrays that are kept as they are until `Tracking` asks for them; none where nothing is tracked."""

    def __init__(self, tracking: Tracking, name: str, scale: float) -> None:
        self._tracking, self._name, self._scale = tracking, name, scale
        self._arrays: list[np.ndarray] = []
        tracking.sources.append(self._hand_over)

    def add(self, values: np.ndarray) -> None:
        """Track these numbers (n, ...); they must not change any more."""
        if self._tracking.is_on:
            self._arrays.append(values)

    def _hand_over(self) -> None:
        if self._arrays:
            self._tracking.spread(self._name, self._scale * np.concatenate(self._arrays))
            self._arrays.clear()


class Writer:
    """Writes scalars where the run's table goes; nowhere if that is off, or on workers other than the root."""

    def __init__(self) -> None:
        self._sink: Sink | None = None

    def connect(self, sink: Sink) -> None:
        """From now on, values go there."""
        self._sink = sink

    def add_scalar(self, tag: str, value: float, global_step: int) -> None:
        """Write a number at once.

        Args:
            tag: "Group / Name", a curve of TensorBoard.
            value: a number, or an array or tensor of one element.
            global_step: where on the x-axis, whose unit is global environment steps.
        """
        self.write({tag: float(value)}, global_step)

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Write several values of one step."""
        if self._sink is not None and values:
            self._sink(values, step)


def reduction(tag: str) -> Callable[[float, float], float] | None:
    """How two values under a tag become one; None: by their mean. What is not a number stays."""
    if tag.endswith("(max)"):
        return lambda a, b: b if b > a or b != b else a
    if tag.endswith("(min)"):
        return lambda a, b: b if b < a or b != b else a
    return None


def merge_values(shares: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, float]:
    """The value of every tag that any worker kept."""
    kept: Kept = {}
    for share in shares:
        for tag, part in share.items():
            _merge(kept, tag, part)
    return {
        tag: value / weight if reduction(tag) is None else value
        for tag, (value, weight) in kept.items()
    }


def _merge(kept: Kept, tag: str, part: Sequence[float]) -> None:
    """Let a part become one with what is kept under its tag."""
    if tag not in kept:
        kept[tag] = list(part)
        return
    here, reduce = kept[tag], reduction(tag)
    if reduce is None:
        here[0] += part[0]
        here[1] += part[1]
    else:
        here[0] = reduce(here[0], part[0])
