"""Sums of per-update metrics, averaged when a row is logged, and the data of skrl's metrics.

A gradient step is compiled: it adds to tensors, which are read every few hundred updates. Nothing is computed for
skrl's metrics where they are off.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from helpers.errors import NumericalError
from helpers.trackers.skrl_metrics import Tracking

Numbers = Mapping[str, Tensor]
Tensors = Mapping[str, Tensor]
RANGED = ("Q-network", "Target")  # skrl's groups that also show the extremes
SUM, COUNT, HIGHEST, LOWEST = range(4)
SKRL_NAMES: Mapping[str, str] = {
    "critic/loss": "Loss / Critic loss",
    "critic/target": "Target / Target",
    "policy/loss": "Loss / Policy loss",
    "policy/temperature": "Coefficient / Entropy coefficient",
    "discriminator/loss": "Loss / Discriminator loss",
}


@dataclass(frozen=True)
class Columns:
    """Where the numbers of one loss are summed.

    Attributes:
        sizes: how many columns each number takes, in the order of their sums; those of rows of metrics come first.
        rows, tracked: their columns in "metrics" and in "tracked".
    """

    sizes: Mapping[str, int]
    rows: slice
    tracked: slice


class MetricSums:
    """Sums of numbers that losses return by name.

    A number is a scalar, or (b,), one a sample, of which the mean counts, or (C, b), one a sample and critic: then
    `critic/value` becomes `critic/value_1` and so on. A name in skrl's form, "Loss / Entropy loss", is tracked alone.

    Args:
        environments: of this worker, and of all workers.
        dtype: of the numbers.
        tracking: takes what skrl's metrics show, and knows the workers.
        remedy: against a mean that is not finite.

    Attributes:
        logged: updates already logged.
        tensors: "metrics" (names,); with tracking "tracked" (4, tags): sums, counts, highest and lowest values.
    """

    def __init__(
        self,
        *,
        environments: tuple[int, int],
        dtype: torch.dtype,
        tracking: Tracking,
        remedy: str = "lower --p_lr and --q_lr; the last checkpoint is intact",
    ) -> None:
        self.weight, total_envs = environments
        self.share = self.weight / total_envs
        self.dtype, self.tracking, self.remedy = dtype, tracking, remedy
        self.names: list[str] = []
        self.tags: list[str] = []
        self.columns: dict[str, Columns] = {}
        self.tensors: dict[str, Tensor] = {}
        self.logged = 0

    def declare(self, losses: Mapping[str, tuple[Numbers, Mapping[str, str]]]) -> None:
        """Make room for the numbers of each loss, by its name; with skrl's names, where they are not the usual ones."""
        for loss, (numbers, skrl_names) in losses.items():
            in_rows = {n: value for n, value in numbers.items() if not _is_of_skrl(n)}
            ordered = in_rows | dict(numbers)
            sizes = {name: len(_means(value)) for name, value in ordered.items()}
            first, first_tag = len(self.names), len(self.tags)
            for name, value in ordered.items():
                columns = _names_of(name, value)
                self.names += columns if name in in_rows else []
                self.tags += [_tag_of(column, {**SKRL_NAMES, **skrl_names}) for column in columns]
            rows, tracked = slice(first, len(self.names)), slice(first_tag, len(self.tags))
            self.columns[loss] = Columns(sizes, rows, tracked)
        self.tensors = {"metrics": torch.zeros(len(self.names), dtype=self.dtype)}
        if self.tracking.is_on:
            self.tensors["tracked"] = torch.empty(4, len(self.tags), dtype=self.dtype)
            self._begin()
            self.tracking.sources.append(self._hand_over)

    def add(self, t: Tensors, loss: str, numbers: Numbers, *, every: int = 1) -> None:
        """Add the numbers of a gradient step, means over this worker's samples.

        Args:
            t: "metrics" and "tracked", those of `tensors` or copies.
            loss: whose numbers they are.
            numbers: as they were declared.
            every: updates for each step on this loss: means in a row of metrics are over all updates.
        """
        columns = self.columns[loss]
        means = torch.cat([_means(numbers[name]) for name in columns.sizes])
        count = columns.rows.stop - columns.rows.start
        t["metrics"][columns.rows].add_(means[:count] * (self.share * every))
        if self.tracking.is_on:
            tracked = t["tracked"][:, columns.tracked]
            tracked[SUM].add_(means)
            tracked[COUNT].add_(1.0)
            self._widen(tracked, columns, numbers)

    def _widen(self, tracked: Tensor, columns: Columns, numbers: Numbers) -> None:
        """Let the extremes take in the numbers of samples."""
        first = 0
        for name, size in columns.sizes.items():
            tag, value = self.tags[columns.tracked.start + first], numbers[name].detach()
            if _is_ranged(tag) and value.dim():
                rows, part = torch.atleast_2d(value), tracked[:, first : first + size]
                part[HIGHEST].copy_(torch.maximum(part[HIGHEST], rows.amax(-1)))
                part[LOWEST].copy_(torch.minimum(part[LOWEST], rows.amin(-1)))
            first += size

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
        count, self.logged = updates - self.logged, updates
        metrics = {"update/count": float(count)}
        for name, value in zip(self.names, sums / max(1, count), strict=True):
            if not np.isfinite(value):
                raise NumericalError(f"{name} became {value} after {updates} updates", self.remedy)
            if count:
                metrics[name] = float(value)
        return metrics

    def _hand_over(self) -> None:
        """Give `tracking` the sums since the last call."""
        sums, counts, highest, lowest = self.tensors["tracked"].double().tolist()
        for i, tag in enumerate(self.tags):
            if not tag or not counts[i]:
                continue
            mean, weight = sums[i] / counts[i], counts[i] * self.weight
            self.tracking.add(f"{tag} (mean)" if _is_ranged(tag) else tag, mean, weight=weight)
            if _is_ranged(tag):
                self.tracking.add(f"{tag} (max)", highest[i])
                self.tracking.add(f"{tag} (min)", lowest[i])
        self._begin()

    def _begin(self) -> None:
        tracked = self.tensors["tracked"]
        tracked[[SUM, COUNT]] = 0.0
        tracked[HIGHEST], tracked[LOWEST] = -torch.inf, torch.inf


def _means(value: Tensor) -> Tensor:
    """Means (k,) over samples: of a scalar or (b,) one, of (C, b) one a critic."""
    value = value.detach()
    return value.reshape(1) if value.dim() == 0 else torch.atleast_2d(value).mean(-1)


def _names_of(name: str, value: Tensor) -> list[str]:
    return [name] if value.dim() < 2 else [f"{name}_{i}" for i in range(1, len(value) + 1)]


def _tag_of(name: str, skrl_names: Mapping[str, str]) -> str:
    """A metric's name among skrl's; empty if it has none."""
    critic = re.fullmatch(r"critic/value_(\d+)", name)
    if critic:
        return f"Q-network / Q{critic[1]}"
    return name if _is_of_skrl(name) else skrl_names.get(name, "")


def _is_of_skrl(name: str) -> bool:
    return " / " in name


def _is_ranged(tag: str) -> bool:
    return tag.split(" / ")[0] in RANGED
