"""Between actions as networks give them, in [-1, 1], and as an environment takes them."""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium
import numpy as np
import torch
from torch import Tensor

from helpers.errors import ConfigurationError


class ActionScale:
    """The actions of a learner that replays.

    Attributes:
        is_discrete: whether they are choices, which have no scale.
        dim: A, the length of an action, or K, the number of choices.
        shape, dtype: of one action in the environment.
        center, half: (A,) of the bounds, in the networks' numbers; vectors only.

    Raises:
        ConfigurationError: the space is neither a bounded vector nor a choice.
    """

    def __init__(self, space: gymnasium.Space, dtype: np.dtype) -> None:
        self.is_discrete = isinstance(space, gymnasium.spaces.Discrete)
        self.dim: int
        self.shape: tuple[int, ...]
        self.dtype: np.dtype
        if isinstance(space, gymnasium.spaces.Discrete):
            self.dim, self.shape, self.dtype = int(space.n), (), np.dtype(np.int64)
            return
        if not (isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1):
            raise ConfigurationError(
                f"actions {space} are not supported",
                "choose an environment with vector (Box) or discrete (Discrete) actions",
            )
        if not space.is_bounded():
            raise ConfigurationError(
                f"actions in {space} have no bounds for squashing",
                "choose an environment with bounded actions, or --algo=ppo",
            )
        self.dim, self.shape, self.dtype = space.shape[0], space.shape, np.dtype(np.float32)
        low, high = space.low.astype(dtype), space.high.astype(dtype)
        self.center, self.half = (low + high) / 2, (high - low) / 2

    def state_dict(self) -> dict[str, np.ndarray]:
        """The bounds, for loading a checkpoint without the environment."""
        return {} if self.is_discrete else {"center": self.center, "half": self.half}

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over the bounds of a checkpoint, where it has some."""
        for name, bound in state.items():
            getattr(self, name)[:] = bound

    def to_environment(self, actions: np.ndarray) -> np.ndarray:
        """Actions (N, A) in the environment's bounds; choices (N,) as they are."""
        if self.is_discrete:
            return actions
        return (self.center + self.half * actions).astype(np.float32)

    def to_networks(self, actions: Tensor) -> Tensor:
        """Actions (B, A) in [-1, 1]; choices (B,) as they are."""
        if self.is_discrete:
            return actions
        return (actions - torch.from_numpy(self.center)) / torch.from_numpy(self.half)

    @property
    def random_dim(self) -> int:
        """How many random numbers a random action takes."""
        return 1 if self.is_discrete else self.dim

    def random(self, uniform: np.ndarray) -> np.ndarray:
        """Random actions from uniform numbers (N, random_dim) in [0, 1)."""
        if self.is_discrete:
            return (uniform[:, 0] * self.dim).astype(np.int64)
        return self.to_environment(2.0 * uniform - 1.0)
