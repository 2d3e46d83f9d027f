"""The vocabulary of learning: transitions, agents, learners, rewards. Types only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from helpers.checkpoints.shards import Shard
from helpers.trackers.skrl_metrics import Tracking

Metrics = Mapping[str, float]
State = Mapping[str, Any]
FINGERPRINTS = (
    "demonstrations",
    "expert",
)  # in a state: sha256 of the files that it was learned from


@dataclass(frozen=True)
class Transitions:
    """T steps of N environments, arrays (T, N, ...), or a batch, arrays (B, ...).

    Attributes:
        observations: (T, N, obs_dim), raw: never normalised in storage.
        actions: (T, N, act_dim) or (T, N) int64, as sampled by the policy, before any clipping.
        rewards: (T, N), the environment's.
        next_observations: (T, N, obs_dim), the true successor: the final observation where an
            episode ended, not the first one of the next.
        terminated: bool (T, N), the task ended the episode: no value beyond it.
        truncated: bool (T, N), a limit ended the episode: its value still bootstraps.
        extras: further arrays by name, (T, N, ...).
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    next_observations: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def empty(
        cls,
        steps: int,
        observations: np.ndarray,
        action: Any,
        dtype: np.dtype,
    ) -> Transitions:
        """Of `steps` steps, to be filled, observations and rewards in the learner's numbers; bytes stay bytes.

        Args:
            steps: T.
            observations: (N, obs_dim), of one step.
            action: has the shape and the dtype of one action: an array, or a space.
            dtype: of the learner.
        """
        lead = (steps, len(observations))
        seen = observations.dtype if observations.dtype == np.uint8 else dtype
        return cls(
            observations=np.empty((steps, *observations.shape), seen),
            actions=np.empty((*lead, *(action.shape or ())), action.dtype),
            rewards=np.empty(lead, dtype),
            next_observations=np.empty((steps, *observations.shape), seen),
            terminated=np.empty(lead, np.bool_),
            truncated=np.empty(lead, np.bool_),
        )

    def rows_with_own_successor(self) -> np.ndarray:
        """bool (T, N): where the true successor is not the observation of the next row."""
        own = np.ones(self.rewards.shape, dtype=np.bool_)
        own[:-1] = (self.next_observations[:-1] != self.observations[1:]).any(-1)
        return own


class RewardFunction(Protocol):
    """Maps transitions to the rewards, same leading shape, that a learner maximises."""

    def __call__(self, transitions: Transitions) -> np.ndarray: ...


def environment_reward(transitions: Transitions) -> np.ndarray:
    """The reward the environment paid."""
    return transitions.rewards


class Agent(Protocol):
    """What acts and learns. Agents return metrics and do not know which trackers show them."""

    rollout_len: int  # steps of each environment between two updates; 0: none, an update is a step
    rollouts_per_iteration: int  # updates until metrics are reported, and a run can be saved
    tracking: Tracking  # what it gathers for skrl's metrics, and a user for his own
    # begin(): where steps are compiled, let that begin, before the first rollout
    # cut_episodes(): where it keeps steps across rollouts: the newest of each environment has no next one
    # is_done: bool, where an agent can know that it has nothing more to learn; without it, never

    def predict(
        self,
        observations: np.ndarray,
        *,
        explore: bool,
    ) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        """Actions (N, ...) for raw observations (N, obs_dim), and extras to store beside them."""

    def update(self, rollout: Transitions) -> Metrics:
        """Learn from a rollout. Collective: every worker calls it, equally often."""

    def models(self) -> Mapping[str, Any]:
        """Networks as they leave a run, torch modules by name, the policy first (agents/nn/models.py)."""

    def state_dict(self) -> State:
        """All that `load_state_dict` needs for bitwise the same next update."""

    def load_state_dict(self, state: State) -> None:
        """Take over what `state_dict` gave."""

    def local_state_dict(self) -> State:
        """What this worker alone has, beside its large arrays."""

    def shards(self) -> Mapping[str, Shard]:
        """This worker's large arrays, for a checkpoint that writes what has changed."""

    def load_local_state_dict(
        self,
        state: State,
        shards: Mapping[str, np.ndarray],
    ) -> None:
        """Take over what `local_state_dict` and `shards` gave."""

    def synchronised_arrays(self) -> Mapping[str, np.ndarray]:
        """What must be equal, bit for bit, on every worker: parameters, moments, normalisers."""


class Learner(Agent, Protocol):
    """An agent whose reward can be replaced."""

    def update(
        self,
        rollout: Transitions,
        reward: RewardFunction = environment_reward,
    ) -> Metrics:
        """Learn from a rollout under a reward; collective."""
