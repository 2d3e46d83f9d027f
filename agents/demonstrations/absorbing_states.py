"""Absorbing states: what an episode's end leads to, so that a learned reward can value it.

Kostrikov et al., Discriminator-Actor-Critic, arXiv:1809.02925, section 4.2.
"""

from __future__ import annotations

import numpy as np

from agents.base import Transitions


def with_absorbing(transitions: Transitions) -> Transitions:
    """The same transitions in the task that never ends: termination leads to a state that nothing leaves.

    An observation gets one more entry, 0 in states of the task. The absorbing state is zero but for a 1
    there. A terminated step leads to it and terminates no more; from it every action, written as zeros,
    leads to it again, and the environment pays nothing. For each terminated step there is one such loop.
    A truncated step stays as it is: its value still bootstraps.

    As in the paper, but for where the loops are: there they are stored in the memory; here they are added
    to what was sampled, as many as its terminated steps, which is the same mixture in expectation and
    leaves the memory raw.

    Args:
        transitions: (B, ...) or (T, N, ...), observations (..., obs_dim).

    Returns:
        (B + terminated, ...) with observations (..., obs_dim + 1): first the given ones in their order
        (that of t * N + n), then the loops. None is terminated. Extras of loops are zero.
    """
    lead = transitions.rewards.ndim
    ended = transitions.terminated.reshape(-1).astype(np.bool_)
    count = int(ended.sum())

    def flatten(array: np.ndarray) -> np.ndarray:
        # (T, N, ...) or (B, ...) -> (B, ...); -1 would not know the rows of (B, 0)
        return array.reshape(len(ended), *array.shape[lead:])

    def with_loops(array: np.ndarray) -> np.ndarray:
        loops = np.zeros((count, *array.shape[lead:]), dtype=array.dtype)
        return np.concatenate([flatten(array), loops])

    def absorbing(rows: int) -> np.ndarray:
        states = np.zeros((rows, transitions.observations.shape[-1] + 1), dtype)
        states[:, -1] = 1
        return states

    def mark(array: np.ndarray) -> np.ndarray:
        rows = flatten(array)
        return np.concatenate([rows, np.zeros((len(rows), 1), dtype)], axis=1)

    dtype = transitions.observations.dtype
    successors = mark(transitions.next_observations)
    successors[ended] = absorbing(count)
    truncated = with_loops(transitions.truncated)
    truncated[: len(ended)] &= ~ended
    return Transitions(
        observations=np.concatenate([mark(transitions.observations), absorbing(count)]),
        actions=with_loops(transitions.actions),
        rewards=with_loops(transitions.rewards),
        next_observations=np.concatenate([successors, absorbing(count)]),
        terminated=np.zeros(len(ended) + count, dtype=transitions.terminated.dtype),
        truncated=truncated,
        extras={name: with_loops(array) for name, array in transitions.extras.items()},
    )
