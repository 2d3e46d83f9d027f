"""Between actions in a policy's units and as an environment takes them.

The unit of a policy is its environment's range: -1 is the lower bound of an action, 1 the upper one. What is kept
outside of networks (rollouts, memories, demonstrations) holds actions as the environment takes them.
"""

from __future__ import annotations

from collections.abc import Mapping

import gymnasium
import numpy as np
import torch
from torch import Tensor

from helpers.episodes import choice_sizes
from helpers.errors import CheckpointError, ConfigurationError

LARGEST_BOUND = 1e30  # some environments write the largest float where they mean infinity


def center_and_half(space: gymnasium.spaces.Box) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(whether it is bounded, the middle, half the range) of each number of an action, (A,) float64.

    Without bounds, or with no room between them, the unit is the environment's: half is 1.
    """
    low, high = (each.astype(np.float64) for each in (space.low, space.high))
    bounded = (np.abs(low) < LARGEST_BOUND) & (np.abs(high) < LARGEST_BOUND)
    center = (np.where(bounded, low, 0.0) + np.where(bounded, high, 0.0)) / 2
    half = np.where(bounded & (high > low), high - low, 2.0) / 2
    return bounded, center, half


class ActionScale:
    """The actions of a policy.

    Args:
        space: of one action.
        dtype: of the networks.
        squashes: whether the policy cannot leave the bounds, which it then needs.

    Attributes:
        is_discrete: whether they are choices, which have no scale; networks count them from 0.
        sizes: D, of how many each choice is; empty for vectors.
        starts: the first of each in the environment: () for one choice, (D,) for several.
        dim: A, the length of an action, or K, the number of choices, of several the sum.
        shape, dtype: of one action in the environment.
        center, half: (A,) of the bounds, in the networks' numbers; 0 and 1 where there are none; vectors only.
        bounded: (A,) whether there are.

    Raises:
        ConfigurationError: the space is neither a bounded vector nor of choices.
    """

    def __init__(self, space: gymnasium.Space, dtype: np.dtype, *, squashes: bool = True) -> None:
        self.sizes = choice_sizes(space)
        self.is_discrete = bool(self.sizes)
        self.squashes = squashes
        self.dim: int
        self.shape: tuple[int, ...]
        self.dtype: np.dtype
        if self.is_discrete:
            self.starts = np.asarray(getattr(space, "start"), dtype=np.int64)  # noqa: B009
            self.dim, self.shape = sum(self.sizes), tuple(space.shape or ())
            self.dtype = np.dtype(np.int64)
            return
        if not (isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1):
            raise ConfigurationError(
                f"actions {space} are not supported",
                "choose an environment with actions in Box, Discrete, MultiDiscrete or MultiBinary",
            )
        if squashes and not space.is_bounded():
            raise ConfigurationError(
                f"actions in {space} have no bounds for squashing",
                "choose an environment with bounded actions, or --algo=ppo",
            )
        self.dim, self.shape = space.shape[0], space.shape
        self.dtype = np.dtype(np.float32) if squashes else np.dtype(dtype)
        self.bounded, center, half = center_and_half(space)
        self.center, self.half = center.astype(dtype), half.astype(dtype)

    def state_dict(self) -> dict[str, np.ndarray]:
        """The bounds or the choices, for loading a checkpoint without the environment; of one choice from 0 nothing."""
        if self.is_discrete:
            if self.shape == () and not self.starts:
                return {}
            sizes = np.array(self.sizes, dtype=np.int64).reshape(self.shape)
            return {"sizes": sizes, "starts": self.starts.copy()}
        state = {"center": self.center, "half": self.half}
        return state if self.squashes else state | {"bounded": self.bounded}

    def load_state_dict(self, state: Mapping[str, np.ndarray] | None) -> None:
        """Take over the bounds of a checkpoint; choices are the environment's.

        Without any, it is of a policy that does not squash, from before such policies had units: its actions are as
        the environment takes them, and stay so.

        Raises:
            CheckpointError: the checkpoint is of other choices.
        """
        if self.is_discrete:
            mine, theirs = self.state_dict(), dict(state or {})
            if any(
                not np.array_equal(theirs[name], mine.get(name, np.empty(0))) for name in theirs
            ):
                raise CheckpointError(
                    f"the checkpoint chooses among {theirs}, the environment asks for {mine}",
                    "give the --env_id and --env_options of its run",
                )
            return
        if state is None:
            self.center[:], self.half[:] = 0.0, 1.0
            return
        for name, bound in state.items():
            getattr(self, name)[:] = bound

    @property
    def is_identity(self) -> bool:
        """Whether both are the same numbers, to the last bit."""
        if self.is_discrete:
            return not self.starts.any()
        return not (self.center.any() or (self.half != 1.0).any())

    def to_environment(self, actions: np.ndarray) -> np.ndarray:
        """Actions (N, A) in the environment's bounds; choices (N,) or (N, D) counted from its first ones."""
        if self.is_identity and (self.is_discrete or not self.squashes):
            return actions
        if self.is_discrete:
            return actions + self.starts
        return (self.center + self.half * actions).astype(self.dtype, copy=False)

    def to_networks(self, actions: Tensor) -> Tensor:
        """Actions (B, A) in units of the policy; choices (B,) or (B, D) counted from 0."""
        if self.is_identity and (self.is_discrete or not self.squashes):
            return actions
        if self.is_discrete:
            return actions - torch.from_numpy(self.starts)
        return (actions - torch.from_numpy(self.center)) / torch.from_numpy(self.half)

    @property
    def random_dim(self) -> int:
        """How many random numbers a random action takes."""
        return len(self.sizes) if self.is_discrete else self.dim

    def random(self, uniform: np.ndarray) -> np.ndarray:
        """Random actions from uniform numbers (N, random_dim) in [0, 1)."""
        if self.is_discrete:
            chosen = (uniform * np.array(self.sizes)).astype(np.int64)
            return self.to_environment(chosen.reshape(-1, *self.shape))
        return self.to_environment(2.0 * uniform - 1.0)
