"""Environments that cannot be saved exactly: found by a trial, resumed with new episodes, the same ones each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from environments.factory import make_vector_env
from environments.ids import resolve_env_id
from helpers.checkpoints.state_files import pack, unpack

FAULTY = "tests.environments.checking.faulty:Faulty-v0"


def _walk(envs: Any, steps: int, seed: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    seen = []
    for _ in range(steps):
        actions = generator.uniform(-1, 1, (envs.num_envs, 1)).astype(np.float32)
        observations, rewards, *_ = envs.step(actions)
        seen.append(np.column_stack([observations, rewards]))
    return seen


def _of(fault: str, processes: int = 0) -> Any:
    options = {"fault": fault}
    envs = make_vector_env(
        resolve_env_id(FAULTY),
        seeds=[3, 4, 5],
        options=options,
        processes=processes,
    )
    envs.reset()
    return envs


@pytest.mark.parametrize("fault", ["state in a dict", "global randomness", "none"])
def test_a_trial_tells_whether_a_state_goes_on(fault: str) -> None:
    envs = _of(fault)
    assert ("" if fault == "none" else "of step 1") in envs.inexact_because
    assert bool(envs.inexact_because) == (fault != "none")
    assert not make_vector_env("Pendulum-v1", seeds=[0]).inexact_because


@pytest.mark.parametrize("processes", [0, 2])
def test_an_inexact_state_begins_new_episodes_always_the_same(processes: int) -> None:
    envs = _of("state in a dict", processes)
    _walk(envs, 17, seed=0)
    state = unpack(bytearray(b"".join(bytes(part) for part in pack(envs.state_dict()))))
    assert len(state["environments"]) == 3
    resumed = []
    for count in (0, processes):
        fresh = _of("state in a dict", count)
        fresh.load_state_dict(state)
        first = fresh.observations
        assert (np.abs(first[:, 0]) < 0.5).all() and (first != envs.observations).all()
        assert fresh.inexact_because
        resumed.append([first, *_walk(fresh, 60, seed=1)])
        again = fresh.state_dict()["environments"]
        assert again != state["environments"], "a later save begins other episodes"
        fresh.close()
    for one, other in zip(*resumed, strict=True):
        np.testing.assert_array_equal(one, other)
    envs.close()
