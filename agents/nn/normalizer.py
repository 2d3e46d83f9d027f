"""Running moments of observations and returns, merged over workers in float64."""

from __future__ import annotations

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
    """

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
    """Running standardisation of returns: a critic speaks in deviations `sd` from `center`.

    Args:
        active: where false, center and sd stay 0 and 1.
    """

    def __init__(self, *, active: bool) -> None:
        self.active = active
        super().__init__(())

    def _refresh(self) -> None:
        known = self.active and self.count > 0
        self.center = float(self.mean) if known else 0.0
        self.sd = float(np.sqrt(self.variance + VARIANCE_EPSILON)) if known else 1.0

    def denormalize(self, values: np.ndarray) -> np.ndarray:
        """Values of the critic in units of reward."""
        return values * self.sd + self.center
