"""What gradient steps add up: means for a row of metrics, and what is tracked for skrl's metrics.

A step is native code: it adds to tensors, and they are looked at every hundreds of steps. Where nothing is tracked,
no step counts for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from helpers.errors import NumericalError
from helpers.trackers.skrl_metrics import Tracking

Tensors = Mapping[str, Tensor]
RANGED = ("Q-network", "Target")  # groups of which skrl shows also the extremes
SUM, COUNT, HIGHEST, LOWEST = range(4)
# the columns of learners with two critics, a policy and a temperature
SOFT_METRICS = (
    "critic/loss",
    "critic/value_1",
    "critic/value_2",
    "critic/target",
    "policy/loss",
    "policy/entropy",
    "policy/temperature",
)
SOFT_TRACKED = (
    "Loss / Critic loss",
    "Q-network / Q1",
    "Q-network / Q2",
    "Target / Target",
    "Loss / Policy loss",
    "",
    "Coefficient / Entropy coefficient",
    "Loss / Entropy loss",
)


class Tally:
    """Columns of numbers, of which a gradient step knows some each.

    Args:
        names: of the columns, in a row of metrics.
        tags: of the columns, and of further ones, among skrl's metrics; "" has none.
        environments: of this worker, and of all.
        dtype: of the numbers.
        tracking: takes what is tracked, and knows the workers.
        remedy: of a mean that is not finite.

    Attributes:
        reported: updates that rows of metrics have told of.
        tensors: "metrics" (names,); where something is tracked, "tracked" (4, tags): sums, counts,
            highest and lowest values.
    """

    def __init__(
        self,
        names: Sequence[str],
        tags: Sequence[str],
        *,
        environments: tuple[int, int],
        dtype: torch.dtype,
        tracking: Tracking,
        remedy: str = "lower --p_lr and --q_lr; the last checkpoint is intact",
    ) -> None:
        self.names, self.tags, self.remedy = names, tags, remedy
        self.weight, everyone = environments
        self.share = self.weight / everyone
        self.tracking, self.reported = tracking, 0
        self.tensors = {"metrics": torch.zeros(len(names), dtype=dtype)}
        if tracking.is_on:
            self.tensors["tracked"] = torch.empty(4, len(tags), dtype=dtype)
            self._begin()
            tracking.sources.append(self._hand_over)

    @classmethod
    def of(cls, learner: Any) -> Tally:
        """That of a learner that replays, by its METRICS and TRACKED."""
        return cls(
            learner.METRICS,
            learner.TRACKED,
            environments=(len(learner.environments), learner.config.num_envs),
            dtype=learner.torch_dtype,
            tracking=learner.tracking,
        )

    def add(self, t: Tensors, first: int, numbers: Tensor, *, steps: int = 1) -> None:
        """Count the numbers (K,) of a step, means over this worker's samples, from column `first` on.

        `steps` is how many updates waited for this one: means in a row of metrics are over all.
        """
        named = min(len(numbers), len(self.names) - first)
        t["metrics"][first : first + named].add_(numbers[:named] * (self.share * steps))
        if self.tracking.is_on:
            columns = t["tracked"][:, first : first + len(numbers)]
            columns[SUM].add_(numbers)
            columns[COUNT].add_(1.0)

    def spread(self, t: Tensors, first: int, *values: Tensor) -> None:
        """Widen the extremes from column `first` on by values (b,), a column, or (C, b), C columns."""
        if self.tracking.is_on:
            rows = torch.cat([torch.atleast_2d(each.detach()) for each in values])
            columns = t["tracked"][:, first : first + len(rows)]
            columns[HIGHEST].copy_(torch.maximum(columns[HIGHEST], rows.amax(-1)))
            columns[LOWEST].copy_(torch.minimum(columns[LOWEST], rows.amin(-1)))

    def means(self, updates: int) -> dict[str, float]:
        """Means over all workers and the updates since the last call; collective.

        Args:
            updates: so far.

        Raises:
            NumericalError: on every worker alike.
        """
        sums = self.tensors["metrics"].numpy().astype(np.float64)
        self.tensors["metrics"].zero_()
        self.tracking.workers.sum_(sums)
        count, self.reported = updates - self.reported, updates
        metrics = {"update/count": float(count)}
        for name, value in zip(self.names, sums / max(1, count), strict=True):
            if not np.isfinite(value):
                raise NumericalError(f"{name} became {value} after {updates} updates", self.remedy)
            if count:
                metrics[name] = float(value)
        return metrics

    def _hand_over(self) -> None:
        """Let `tracking` have what was counted since the last call."""
        sums, counts, highest, lowest = self.tensors["tracked"].double().tolist()
        for i, tag in enumerate(self.tags):
            if not tag or not counts[i]:
                continue
            is_ranged = tag.split(" / ")[0] in RANGED
            mean, weight = sums[i] / counts[i], counts[i] * self.weight
            self.tracking.add(f"{tag} (mean)" if is_ranged else tag, mean, weight=weight)
            if is_ranged:
                self.tracking.add(f"{tag} (max)", highest[i])
                self.tracking.add(f"{tag} (min)", lowest[i])
        self._begin()

    def _begin(self) -> None:
        tracked = self.tensors["tracked"]
        tracked[[SUM, COUNT]] = 0.0
        tracked[HIGHEST], tracked[LOWEST] = -torch.inf, torch.inf
