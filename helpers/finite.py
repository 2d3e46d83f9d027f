"""That what an environment gives can be learnt from."""

from __future__ import annotations

import numpy as np

from helpers.errors import NumericalError


def check_finite(
    env_id: str,
    iteration: int,
    rewards: np.ndarray,
    observations: np.ndarray,
) -> None:
    """Refuse NaN and infinity.

    Args:
        env_id: for the message.
        iteration: for the message.
        rewards: (T, N).
        observations: (T, N, obs_dim).

    Raises:
        NumericalError: one is not finite, on the worker that sees it: the others are ended with it.
    """
    if np.isfinite(rewards).all() and np.isfinite(observations).all():
        return
    found = [f"reward {float(rewards[tuple(at)])}" for at in np.argwhere(~np.isfinite(rewards))[:1]]
    for at in np.argwhere(~np.isfinite(observations))[:1]:
        found.append(f"{float(observations[tuple(at)])} as number {at[-1]} of an observation")
    raise NumericalError(
        f"{env_id} gave {' and '.join(found)} in iteration {iteration}.",
        "Where observations and reward have a logarithm, a root or a division, bound it; where the simulation "
        "diverged, use smaller actions (PPO: a smaller --policy_std_init). The last checkpoint is intact.",
    )
