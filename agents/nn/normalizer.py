"""Running moments of observations and returns, merged over workers in float64."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from helpers.parallel.workers import Workers

VARIANCE_EPSILON = 1e-8  # under the root


class RunningMoments:
    """Count, mean and sum of squared deviations (M2) of everything seen so far, on all workers.

    Batches are merged by Chan, Golub and LeVeque (1983); two small all-reduces a call. Learners call
    `update` once an iteration, after their last gradient step: within an iteration the scale that
    data were collected under and the scale they are learned under are the same.

    Attributes:
        memory: what was seen before counts as at most this number of batches of the coming size.
    """

    memory = math.inf

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count = 0.0
        self.mean = np.zeros(shape)
        self.m2 = np.zeros(shape)
        self._refresh()

    def _refresh(self) -> None:
        """Derive what a normaliser reads from the moments; called whenever they change."""

    @property
    def variance(self) -> np.ndarray:
        """Population variance; ones before the first update, so that nothing is rescaled."""
        return self.m2 / self.count if self.count else np.ones_like(self.m2)

    def update(self, batch: np.ndarray, *, workers: Workers) -> None:
        """Take in a batch (..., *shape) from each worker; collective. Pictures have no moments."""
        if not self.mean.size:
            return
        axes = tuple(range(batch.ndim - self.mean.ndim))
        # From the running mean, then from the batch's own: digits survive data far from zero.
        deviations = batch.astype(np.float64) - self.mean
        message = np.append(deviations.sum(axes), deviations.size / max(1, self.mean.size))
        workers.sum_(message)
        count = message[-1]
        if count == 0:
            return
        shift = message[:-1].reshape(self.mean.shape) / count
        batch_m2 = np.asarray(np.square(deviations - shift).sum(axes))
        workers.sum_(batch_m2)
        if self.count > self.memory * count:
            self.m2 *= self.memory * count / self.count
            self.count = self.memory * count
        total = self.count + count
        self.m2 += batch_m2 + shift * shift * self.count * count / total
        self.mean += shift * count / total
        self.count = total
        self._refresh()

    def state_dict(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return {"count": self.count, "mean": self.mean.copy(), "m2": self.m2.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.count = float(state["count"])
        self.mean = np.array(state["mean"], dtype=np.float64)
        self.m2 = np.array(state["m2"], dtype=np.float64)
        self._refresh()


class ObservationNormalizer(RunningMoments):
    """Running standardisation of observations: (x - mean) / sd, clipped to +-10."""

    CLIP = 10.0

    def __init__(self, observation_dim: int, *, dtype: np.dtype) -> None:
        self.dtype = dtype
        super().__init__((observation_dim,))

    def _refresh(self) -> None:
        self.offset = self.mean.astype(self.dtype)
        self.scale = (1.0 / np.sqrt(self.variance + VARIANCE_EPSILON)).astype(self.dtype)
        self.addresses = (self.offset.ctypes.data, self.scale.ctypes.data, self.CLIP)

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """Standardised observations, a new array (..., obs_dim)."""
        if observations.shape[-1:] != self.offset.shape:
            raise ValueError(
                f"observations {observations.shape}, expected (..., {len(self.offset)})",
            )
        standard = observations - self.offset
        standard *= self.scale
        return np.clip(standard, -self.CLIP, self.CLIP, out=standard)


class ReturnNormalizer(RunningMoments):
    """Standardisation of returns: a critic speaks in deviations `sd` from `center`.

    As PopArt (arXiv:1602.07714, section 2): the moments forget, and their caller rescales the critic's last
    layer, so that its values in units of reward stay what they were. Values of long horizons grow for thousands of
    updates; without this a critic's own values, multiplied by each new `sd`, made the next one.

    The deviation is never below `SMALLEST` of the mean, and 1 while all returns are zero; nothing else is absolute, so
    that rewards in another unit give the same training.

    Args:
        active: where false, center and sd stay 0 and 1.

    Attributes:
        preserves: false for a run that began before values were preserved; it resumes as it was.
    """

    MEMORY = 10.0  # rollouts
    SMALLEST = 1e-3  # of the mean

    def __init__(self, *, active: bool) -> None:
        self.active, self.preserves = active, True
        self.memory = self.MEMORY
        super().__init__(())

    def _refresh(self) -> None:
        known = self.active and self.count > 0
        self.center = float(self.mean) if known else 0.0
        if not self.preserves:
            self.sd = float(np.sqrt(self.variance + VARIANCE_EPSILON)) if known else 1.0
            return
        smallest = self.SMALLEST * abs(self.center)
        self.sd = (max(float(np.sqrt(self.variance)), smallest) or 1.0) if known else 1.0

    def denormalize(self, values: np.ndarray) -> np.ndarray:
        """Values of the critic in units of reward."""
        return values * self.sd + self.center

    def state_dict(self) -> dict[str, Any]:
        """Everything, for a checkpoint."""
        return super().state_dict() | {"preserves": self.preserves}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.preserves = bool(state.get("preserves", False))
        self.memory = self.MEMORY if self.preserves else math.inf
        super().load_state_dict(state)
