"""What an update of PPO reports beside its losses: explained variance, skrl's metrics."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from agents.base import Metrics
from helpers.trackers.skrl_metrics import Tracking


def variance_sums(target: Tensor, value: Tensor) -> np.ndarray:
    """Sums (4,) over this worker's rollout (T * N,) for the explained variance, before any learning."""
    target, error = target.double(), (target - value).double()
    sums = [target.sum(), target.square().sum(), error.sum(), error.square().sum()]
    return torch.stack(sums).numpy()


def explained_variance(means: np.ndarray) -> float:
    """1 - Var[target - value] / Var[target], of the means (4,) that `variance_sums` and all workers add up to."""
    target, target_square, error, error_square = means
    variance = target_square - target * target
    unexplained = error_square - error * error
    return float(1.0 - unexplained / max(variance, 1e-12))


def track(tracking: Tracking, metrics: Metrics, *, steps: int, entropy_scale: float) -> None:
    """skrl's metrics of an update of this number of gradient steps."""
    tracking.add("Loss / Policy loss", metrics["policy/loss"], weight=steps)
    tracking.add("Loss / Value loss", metrics["value/loss"], weight=steps)
    if entropy_scale:
        tracking.add(
            "Loss / Entropy loss",
            -entropy_scale * metrics["policy/entropy"],
            weight=steps,
        )
    if "policy/std" in metrics:
        tracking.track_data("Policy / Standard deviation", metrics["policy/std"])
