"""Orders of samples, and advantages in the unit of their minibatch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from agents.on_policy.minibatches import sample_orders, standardise
from helpers.parallel.workers import Workers
from helpers.seeding import Streams

LENGTH = 16


def steps_of(environments: range, iteration: int = 3) -> np.ndarray:
    """The order of each environment's steps, (epochs, M, N, T / M)."""
    orders = sample_orders(
        Streams(0),
        environments=environments,
        iteration=iteration,
        epochs=2,
        rollout_len=LENGTH,
        count=4,
    )
    count = len(environments)
    shaped = orders.numpy().reshape(2, 4, count, LENGTH // 4)
    assert (shaped % count == np.arange(count)[:, None]).all()
    return np.asarray(shaped // count)


def test_environments_epochs_and_iterations_have_orders_of_their_own() -> None:
    found, later = steps_of(range(4)), steps_of(range(4), iteration=4)
    orders = [
        each[e, :, n].tobytes() for each in (found, later) for e in range(2) for n in range(4)
    ]
    assert len(set(orders)) == 16


def test_an_environment_has_the_same_order_on_whichever_worker() -> None:
    whole = steps_of(range(4))
    np.testing.assert_array_equal(steps_of(range(2, 4)), whole[:, :, 2:])
    np.testing.assert_array_equal(steps_of(range(1)), whole[:, :, :1])


class Other(Workers):
    """This worker's sums, and those that another has brought."""

    def __init__(self, theirs: torch.Tensor) -> None:
        super().__init__(None, last_words=None)
        self.theirs = theirs

    def sum_(self, array: Any) -> None:
        array += self.theirs


def test_advantages_are_in_the_unit_of_the_minibatch_of_all_workers() -> None:
    """By hand: each minibatch of 8, of which this worker has 4, less its mean, over its deviation."""
    rng = np.random.default_rng(0)
    mine, theirs = rng.normal(2.0, 3.0, LENGTH), rng.normal(-5.0, 1.0, (4, 4))
    order = rng.permutation(LENGTH).reshape(4, 4)
    sums = torch.from_numpy(np.stack([theirs.sum(1), np.square(theirs).sum(1)]))
    found = standardise(
        torch.from_numpy(mine),
        torch.from_numpy(order),
        batch_size=8,
        workers=Other(sums),
    ).numpy()
    for rows, others in zip(order, theirs, strict=True):
        both = np.concatenate([mine[rows], others])
        np.testing.assert_allclose(found[rows], (mine[rows] - both.mean()) / both.std(), rtol=1e-6)
