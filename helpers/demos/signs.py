"""What the numbers of demonstrations show of an altered environment, where their file says nothing of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from helpers.demos.episode import Demo, Expected

_REMEDY = "Record them without it, or use them nevertheless: --expert_mismatch=warn."
# Share of an observation's numbers that have mean 0 and standard deviation 1 under NormalizeObservation: 83% to 100%
# in Gymnasium's MuJoCo tasks under a random policy; of plain ones with nine numbers and more at most 36%.
_STANDARDISED = 0.8
_FEWEST_NUMBERS, _FEWEST_STEPS = 9, 100
_EDGE = 0.02  # of half the range: an edge is where the extremes of all numbers of an action agree this well
_INSIDE = 0.9  # of half the range: where an edge is not the environment's own


def signs_of_alteration(demos: Sequence[Demo], expected: Expected) -> list[tuple[str, str]]:
    """(problem, remedy) of observations and actions that the plain environment does not give.

    Args:
        demos: at least one, of one form.
        expected: the environment; nothing is concluded where its sizes or bounds are not known.
    """
    if not demos:
        return []
    where = demos[0].source if len(demos) == 1 else f"{demos[0].source} and {len(demos) - 1} more"
    found = []
    if _is_standardised(demos, expected):
        found.append(
            (
                f"{where}: the observations have mean 0 and standard deviation 1 as under NormalizeObservation; those "
                f"of {expected.env_id} have not.",
                _REMEDY,
            ),
        )
    edges = _inner_edges(demos, expected)
    if edges:
        found.append(
            (
                f"{where}: all actions end at {edges[0]:.3g} and {edges[1]:.3g} of the environment's range -1 to 1, as "
                "under RescaleAction.",
                _REMEDY,
            ),
        )
    if _is_another_unit(demos, expected):
        found.append(
            (
                f"{where}: most actions are beyond the bounds of {expected.env_id}: they are of another unit.",
                "Divide them by that unit and write them again, or use them nevertheless: --expert_mismatch=warn.",
            ),
        )
    return found


def _is_standardised(demos: Sequence[Demo], expected: Expected) -> bool:
    size = expected.observation_size
    if expected.mujoco_version is None or size is None or size < _FEWEST_NUMBERS:
        return False
    if any(demo.observations.shape[1:] != (size,) for demo in demos):
        return False
    states = np.concatenate([demo.observations for demo in demos]).astype(np.float64)
    if len(states) < _FEWEST_STEPS:
        return False
    mean, sd = states.mean(axis=0), states.std(axis=0)
    varies = sd > 1e-6
    is_standard = (np.abs(mean) < 0.5) & (sd > 0.5) & (sd < 2.0)
    return bool(varies.sum() >= _FEWEST_NUMBERS and is_standard[varies].mean() >= _STANDARDISED)


def _shares(demos: Sequence[Demo], expected: Expected) -> np.ndarray | None:
    """Actions (B, act_dim) in units of the environment's range, whose bounds are -1 and 1; None where unknown."""
    low, high = expected.action_low, expected.action_high
    if low is None or high is None or not np.isfinite([low, high]).all():
        return None
    if any(demo.actions is None or demo.actions.shape[1:] != low.shape for demo in demos):
        return None
    actions = np.concatenate([demo.actions for demo in demos if demo.actions is not None])
    return np.asarray((actions.astype(np.float64) - (low + high) / 2) / ((high - low) / 2))


def _inner_edges(demos: Sequence[Demo], expected: Expected) -> tuple[float, float] | None:
    """Where the actions end inside of the bounds, all numbers at the same places, as a policy's own do not."""
    shares = _shares(demos, expected)
    if shares is None or shares.shape[1] < 2 or len(shares) < _FEWEST_STEPS:
        return None
    bottoms, tops = shares.min(axis=0), shares.max(axis=0)
    if np.ptp(bottoms) > _EDGE or np.ptp(tops) > _EDGE or tops.mean() - bottoms.mean() < _EDGE:
        return None
    if tops.mean() > _INSIDE and bottoms.mean() < -_INSIDE:
        return None
    if tops.mean() > 1 + _EDGE or bottoms.mean() < -1 - _EDGE:
        return None  # beyond the bounds, which another check reports
    return float(bottoms.mean()), float(tops.mean())


def _is_another_unit(demos: Sequence[Demo], expected: Expected) -> bool:
    shares = _shares(demos, expected)
    return shares is not None and shares.size > 0 and bool(np.mean(np.abs(shares) > 1.01) > 0.5)
