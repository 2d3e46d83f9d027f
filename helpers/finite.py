"""That what an environment gives can be learned from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.errors import NumericalError, UsersNumbersError

_ROUNDING = 1e-5  # relative: by so much a number may be beyond its bound


class Watch:
    """Looks at rewards and observations before an agent learns from them.

    Args:
        env_id: of the environment; one with a colon is of a user's own file or module.
        space: of its observations.
        say: tells its user something, once.
    """

    def __init__(self, env_id: str, space: Any, say: Callable[[str], None]) -> None:
        self._env_id, self._space, self._say = env_id, space, say
        self._is_users = ":" in env_id
        self._looks_outside = self._is_users  # nobody here can widen the bounds of others

    def look(self, iteration: int, rewards: np.ndarray, observations: np.ndarray) -> None:
        """Refuse NaN and infinity, and say once that observations leave their space.

        Args:
            iteration: for the message.
            rewards: (T, N).
            observations: (T, N, obs_dim).

        Raises:
            NumericalError: one is not finite, on the worker that sees it: the others are ended with it.
        """
        if not (np.isfinite(rewards).all() and np.isfinite(observations).all()):
            raise self._not_finite(iteration, rewards, observations)
        if self._looks_outside and (words := outside(self._space, observations)):
            self._looks_outside = False
            self._say(
                f"warning: an observation of {self._env_id} left its space in iteration {iteration}: {words}\n"
                "  remedy: Widen the bounds of observation_space; nothing here clips to them, other programs may.",
            )

    def _not_finite(
        self,
        iteration: int,
        rewards: np.ndarray,
        observations: np.ndarray,
    ) -> NumericalError:
        wrong = np.argwhere(~np.isfinite(rewards))[:1]
        found = [f"reward {float(rewards[tuple(at)])}" for at in wrong]
        for at in np.argwhere(~np.isfinite(observations))[:1]:
            found.append(f"{float(observations[tuple(at)])} as number {at[-1]} of an observation")
        kind = UsersNumbersError if self._is_users else NumericalError
        return kind(
            f"{self._env_id} gave {' and '.join(found)} in iteration {iteration}.",
            "Where observations and reward have a logarithm, a root or a division, bound it; where the simulation "
            "diverged, use smaller actions (PPO: a smaller --policy_std_init). Checkpoints are intact.",
        )


def outside(space: Any, observations: np.ndarray) -> str:
    """The first number of observations (..., *shape) outside the bounds of their space, in words; "" if none is."""
    low, high = getattr(space, "low", None), getattr(space, "high", None)
    if low is None or high is None:
        return ""
    rows = observations.reshape(-1, *low.shape)
    low, high = low - _ROUNDING * (1 + np.abs(low)), high + _ROUNDING * (1 + np.abs(high))
    if not len(rows) or not ((rows.min(axis=0) < low) | (rows.max(axis=0) > high)).any():
        return ""
    row, *place = (int(each) for each in np.argwhere((rows < low) | (rows > high))[0])
    where = tuple(place)
    index = where[0] if len(where) == 1 else where
    value = float(rows[(row, *where)])
    bounds = f"{float(space.low[where]):.6g} to {float(space.high[where]):.6g}"
    return f"number {index} was {value:.6g}, its space is {bounds}"
