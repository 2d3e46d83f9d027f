"""Absorbing states, against the words of the paper."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from agents.demonstrations.absorbing_states import with_absorbing
from tests.agents.replay.cases import DISCRETE, transitions


@pytest.mark.parametrize("changes", [{}, DISCRETE])
@pytest.mark.parametrize("seed", range(3))
def test_an_end_leads_to_a_state_that_nothing_leaves(seed: int, changes: dict) -> None:
    given = transitions(np.random.default_rng(seed), 12, **changes)
    given = dataclasses.replace(given, extras={"weight": np.ones((12, 3, 2))})
    before = {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
    copies = {name: np.copy(array) for name, array in before.items() if name != "extras"}
    made = with_absorbing(given)
    absorbing = np.array([0, 0, 0, 0, 0, 1], np.float32)
    count = given.terminated.sum()
    assert count and (given.truncated & ~given.terminated).any()
    assert len(made.rewards) == 36 + count
    assert made.observations.dtype == given.observations.dtype
    i = 0
    for t in range(12):
        for n in range(3):
            assert made.observations[i].tolist() == [*given.observations[t, n].tolist(), 0]
            assert (made.actions[i] == given.actions[t, n]).all()
            assert made.rewards[i] == given.rewards[t, n]
            if given.terminated[t, n]:
                assert (made.next_observations[i] == absorbing).all()
                assert not made.truncated[i]
            else:
                expected = [*given.next_observations[t, n].tolist(), 0]
                assert made.next_observations[i].tolist() == expected
                assert made.truncated[i] == given.truncated[t, n]
            i += 1
    assert (made.observations[36:] == absorbing).all()
    assert (made.next_observations[36:] == absorbing).all()
    assert not made.actions[36:].any() and not made.rewards[36:].any()
    assert not made.truncated[36:].any() and not made.terminated.any()
    assert made.extras["weight"].shape == (36 + count, 2)
    assert all((array == before[name]).all() for name, array in copies.items())


def test_a_batch_without_ends_only_gets_the_entry() -> None:
    given = transitions(np.random.default_rng(0), 4)
    fields = {name: getattr(given, name)[:, 0] for name in ("observations", "actions", "rewards")}
    batch = dataclasses.replace(
        given,
        **fields,
        next_observations=given.next_observations[:, 0],
        terminated=np.zeros(4, np.bool_),
        truncated=np.ones(4, np.bool_),
    )
    made = with_absorbing(batch)
    assert made.observations.shape == (4, 6) and made.truncated.all()
    assert (made.next_observations[:, :-1] == batch.next_observations).all()
