"""Infos and states of the shares of some environments, put together as if there were one share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from environments.same_step import State

_EACH = "environments"  # states by number, from "000" on


def join_infos(shares: Sequence[tuple[slice, Mapping[str, Any]]], count: int) -> dict[str, Any]:
    """Infos of `count` environments from those of shares: zero, and without their mark, where a share has none."""
    joined: dict[str, Any] = {}
    for part, infos in shares:
        for name, value in infos.items():
            if isinstance(value, Mapping):
                continue
            if name not in joined:
                empty = None if value.dtype == object else 0
                joined[name] = np.full((count, *value.shape[1:]), empty, dtype=value.dtype)
            joined[name][part] = value
    nested = {name for _, infos in shares for name, v in infos.items() if isinstance(v, Mapping)}
    for name in nested:
        joined[name] = join_infos([(p, i[name]) for p, i in shares if name in i], count)
    return joined


def join_states(states: Sequence[State]) -> State:
    """The state of all environments from those of their shares, in order."""
    joined = dict(states[0])
    for name, value in joined.items():
        if isinstance(value, np.ndarray):
            joined[name] = np.concatenate([each[name] for each in states])
    joined["num_envs"] = sum(each["num_envs"] for each in states)
    every = [own[name] for own in (each[_EACH] for each in states) for name in sorted(own)]
    joined[_EACH] = {f"{index:03d}": each for index, each in enumerate(every)}
    return joined


def cut_state(state: State, part: slice) -> State:
    """The state of some environments from that of all."""
    cut = {k: v[part] if isinstance(v, np.ndarray) else v for k, v in state.items()}
    cut["num_envs"] = part.stop - part.start
    each = state[_EACH]
    cut[_EACH] = {
        f"{index - part.start:03d}": each[f"{index:03d}"] for index in range(part.start, part.stop)
    }
    return cut
