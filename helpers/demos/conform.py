"""One form of an episode's arrays, whatever types a file has for the same numbers.

All algorithms get demonstrations in this form, so that no file is good for one of them and not for another.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from helpers.demos.episode import Demo, Expected

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def conform(demo: Demo, expected: Expected | None = None) -> Demo:
    """The same episode in the types of `Demo`; what cannot be brought there is left to the checks.

    Columns (T, 1) of rewards and ends become (T,). Floats keep their precision, whole numbers and half precision
    become float64. Where the environment chooses, actions are int64 (T,) or (T, D), also from floats that are
    whole; where it takes vectors, floats (T, act_dim), also from (T,) of one number and from whole numbers. Where that
    is not known yet, one whole number is a choice; this function is asked again when it is
    (`agents/demonstrations/dataset.py`). Actions of other shapes are laid out as a vector, in C order.

    Args:
        demo: as it was read.
        expected: its environment.
    """
    return replace(
        demo,
        observations=_floats(demo.observations),
        next_observations=_floats(demo.next_observations),
        actions=(
            None
            if demo.actions is None
            else _actions(
                demo.actions,
                expected,
                says_several="action_counts" in demo.origin,
            )
        ),
        rewards=_floats(_column(demo.rewards)),
        terminated=_flags(_column(demo.terminated)),
        truncated=_flags(_column(demo.truncated)),
    )


def _floats(array: np.ndarray) -> np.ndarray:
    native = array.dtype.newbyteorder("=")
    if native in _FLOATS:
        return array if array.dtype.isnative else array.astype(native)
    return array.astype(np.float64)


def _flags(array: np.ndarray) -> np.ndarray:
    return array.astype(np.bool_, copy=False)


def _column(array: np.ndarray) -> np.ndarray:
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _actions(
    actions: np.ndarray,
    expected: Expected | None,
    *,
    says_several: bool,
) -> np.ndarray:
    size = expected.action_size if expected else None
    is_whole = actions.dtype.kind in "iub"
    if actions.ndim > 2:
        actions = actions.reshape(len(actions), -1)
    if says_several or (expected and expected.choices and size):
        is_whole = is_whole or np.array_equal(actions, np.trunc(actions))
        rows = actions.reshape(len(actions), -1)
        return rows.astype(np.int64) if is_whole else _floats(rows)
    if size is None:
        size = 0 if is_whole and _column(actions).ndim == 1 else actions[:1].size
    if size == 0:
        column = _column(actions)
        if is_whole or (column.ndim == 1 and np.array_equal(column, np.trunc(column))):
            return column.astype(np.int64)
        return _floats(column)
    return _floats(actions[:, None] if actions.ndim == 1 else actions)
