"""What PPO reports beside its losses: explained variance, skrl's metrics, actions without bounds."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor, nn

from agents.base import Metrics
from agents.nn.action_scale import ActionScale
from agents.nn.actors import GaussianActor
from agents.nn.normalizer import ReturnNormalizer
from helpers.trackers.skrl_metrics import Tracking

_log = logging.getLogger(__name__)


def variance_sums(target: Tensor, value: Tensor) -> np.ndarray:
    """Sums (4,) over this worker's rollout (T * N,) for the explained variance, before any learning."""
    target, error = target.double(), (target - value).double()
    sums = [target.sum(), target.square().sum(), error.sum(), error.square().sum()]
    return torch.stack(sums).numpy()


def value_metrics(means: np.ndarray, moments: ReturnNormalizer) -> Metrics:
    """How well the critic fits its targets, of the means (4,) that `variance_sums` and all workers add up to.

    Explained variance is 1 - Var[target - value] / Var[target]; the error is a root mean square in units of reward.
    """
    target, target_square, error, error_square = means
    variance = target_square - target * target
    unexplained = error_square - error * error
    return {
        "value/explained_variance": float(1.0 - unexplained / max(variance, 1e-12)),
        "value/error": float(np.sqrt(error_square)) * moments.sd,
        "value/return_mean": moments.center,
        "value/return_sd": moments.sd,
    }


def policy_std(actor: nn.Module) -> dict[str, float]:
    """The mean deviation of a Gaussian policy that is the same in all states; nothing of others."""
    if not isinstance(actor, GaussianActor) or actor.log_std is None:
        return {}
    return {"policy/std": float(actor.clipped(actor.log_std.detach()).exp().mean())}


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


def warn_of_unbounded(actions: ActionScale) -> None:
    """One line where a policy's unit is not the environment's range, because there is none."""
    if actions.is_discrete or actions.bounded.all():
        return
    where = np.flatnonzero(~actions.bounded)
    which = "all actions" if len(where) == actions.dim else f"actions {', '.join(map(str, where))}"
    _log.warning(
        "%s of the environment have no finite bounds: policy_std_init and the policy's outputs are in its own units "
        "there; wrap it so that useful actions lie in [-1, 1], or give their scale by --policy_std_init",
        which,
    )
