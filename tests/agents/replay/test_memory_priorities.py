"""Prioritised samples: proportions, new rows, the tree."""

from __future__ import annotations

import numpy as np
import pytest

from agents.replay.memory import PRIORITY_FLOOR
from agents.replay.sum_tree import SumTree
from helpers.errors import NumericalError
from tests.agents.replay.cases import filled, transitions


def uniforms(count: int, environments: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((environments, count))


def rebuilt(tree: SumTree) -> np.ndarray:
    """All nodes, summed from the leaves."""
    other = SumTree(tree.rows, tree.leaves.shape[1])
    other.fill(0, tree.leaves)
    return other._nodes


@pytest.mark.parametrize("rows", [1, 2, 7, 8, 9, 1000])
def test_nodes_are_the_sums_of_their_leaves_whatever_was_done(rows: int) -> None:
    rng = np.random.default_rng(rows)
    tree = SumTree(rows, 3)
    assert tree._nodes.nbytes == SumTree.bytes_for(rows, 3)
    for _ in range(20):
        start = int(rng.integers(rows))
        count = int(rng.integers(0, rows - start + 1))
        tree.fill(start, rng.random((count, 3)))
        tree.set(rng.integers(0, rows * 3, 16), rng.random(16))
        assert tree._nodes.tobytes() == rebuilt(tree).tobytes()
        np.testing.assert_allclose(tree._nodes[1], tree.leaves.sum(0))


@pytest.mark.parametrize("rows", [1, 5, 64, 100])
def test_rows_come_in_proportion_to_their_masses(rows: int) -> None:
    rng = np.random.default_rng(rows)
    masses = rng.random((rows, 2)) * (rng.random((rows, 2)) < 0.7)
    masses[0] += 0.1
    tree = SumTree(rows, 2)
    tree.fill(0, masses)
    drawn, probability = tree.draw(uniforms(5000, environments=2))
    for environment in range(2):
        share = masses[:, environment] / masses[:, environment].sum()
        counts = np.bincount(drawn[environment], minlength=rows)
        # strata of equal mass: a row misses or gains at most the strata at its two ends
        assert (np.abs(counts - 5000 * share) <= 2).all()
        assert (counts[share == 0] == 0).all()
        np.testing.assert_allclose(probability[environment], share[drawn[environment]])


def test_a_row_without_mass_is_never_drawn_whatever_rounding_does() -> None:
    rng = np.random.default_rng(0)
    tree = SumTree(1000, 1)
    for _ in range(50):
        masses = rng.random((1000, 1)) * 10.0 ** rng.integers(-12, 12, (1000, 1))
        masses[rng.random((1000, 1)) < 0.5] = 0.0
        tree.fill(0, masses)
        rows, _ = tree.draw(np.full((1, 256), 1 - 2**-53))
        assert (masses[rows[0], 0] > 0).all()


def test_of_equal_places_the_largest_counts() -> None:
    tree = SumTree(4, 2)
    tree.set(np.array([3, 3, 3, 0]), np.array([1.0, 5.0, 2.0, 7.0]))
    assert tree.leaves.tolist() == [[7, 0], [0, 5], [0, 0], [0, 0]]


def test_new_rows_get_the_largest_priority_of_their_environment() -> None:
    made, _ = filled(np.random.default_rng(0), 30, priority_exponent=0.6)
    batch = made.sample(uniforms(8))
    assert np.allclose(batch["probability"], 1 / 30)
    errors = np.zeros(24)
    errors[[2, 9]] = 4.0, -9.0  # of environments 0 and 1
    made.update_priorities(batch["index"], np.abs(errors))
    made.add(transitions(np.random.default_rng(1), 1))
    assert made._tree is not None
    newest = made._tree.leaves[30]
    np.testing.assert_allclose(
        newest,
        [(4 + PRIORITY_FLOOR) ** 0.6, (9 + PRIORITY_FLOOR) ** 0.6, 1],
    )
    again = made.sample(uniforms(8, seed=1))
    rows, environments = np.divmod(again["index"], 3)
    mass = made._tree.leaves
    expected = mass[rows, environments] / mass.sum(0)[environments]
    np.testing.assert_allclose(again["probability"], expected)


def test_rows_that_are_not_filled_are_never_drawn() -> None:
    made, _ = filled(np.random.default_rng(0), 3, priority_exponent=1.0)
    for seed in range(20):
        batch = made.sample(uniforms(16, seed=seed))
        assert batch["index"].max() < 9
        made.update_priorities(batch["index"], np.random.default_rng(seed).random(48) * 1e6)


def test_a_priority_that_is_not_finite_is_refused_before_it_spoils_the_tree() -> None:
    made, _ = filled(np.random.default_rng(0), 30, priority_exponent=0.6)
    batch = made.sample(uniforms(1))
    assert made._tree is not None
    before = made._tree._nodes.copy()
    with pytest.raises(NumericalError, match="TD error"):
        made.update_priorities(batch["index"], np.array([1.0, np.nan, 2.0]))
    assert (made._tree._nodes == before).all()
