"""Two workers learn what one learns, as two threads of this process: a second in place of a launch of MPI.

What MPI itself does to it, more workers and more settings: test_workers_agree.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from helpers.parallel.workers import Workers, _buffer
from tests.agents.builders import SPACES, random_rollout, small_agent, small_config
from tests.agents.cloning.cases import sources
from tests.agents.imitation.cases import IMITATING, demonstrations
from tests.patience import patience

REDUCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "SUM": lambda arrays: np.sum(arrays, axis=0),
    "MAX": lambda arrays: np.max(arrays, axis=0),
    "MIN": lambda arrays: np.min(arrays, axis=0),
}


class Thread(Workers):
    """One of several threads that are workers."""

    def __init__(self, rank: int, arrays: list[Any], barrier: threading.Barrier) -> None:
        super().__init__(None, last_words=None)
        self.rank, self.size = rank, len(arrays)
        self.arrays, self.gate = arrays, barrier

    def everyone(self, mine: np.ndarray) -> np.ndarray:
        """What each worker has brought, (size, ...)."""
        self.arrays[self.rank] = mine.copy()
        self.gate.wait()
        found = np.stack(self.arrays)
        self.gate.wait()  # nobody brings anything new while others look
        return found

    def _reduce_(self, array: Any, operation: str) -> None:
        buffer = _buffer(array)
        buffer[...] = REDUCTIONS[operation](self.everyone(buffer))

    def broadcast_(self, array: Any, root: int = 0) -> None:
        buffer = _buffer(array)
        buffer[...] = self.everyone(buffer)[root]


def learnt(workers: Workers, algo: str, kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """What all workers must agree on after three iterations."""
    further = sources(algo, kind)
    if algo in IMITATING:
        further |= {"expert_path": str(demonstrations(kind))}
    config = small_config(algo, precision="float64", compile=False, **further | settings)
    agent = small_agent(config, SPACES[kind], workers=workers)
    for i in range(3 * agent.rollouts_per_iteration):
        agent.update(random_rollout(agent, SPACES[kind], iteration=i))
    return dict(agent.synchronised_arrays())


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("ppo", "continuous", {"clip_norm": 0.1, "target_kl": 0.1, "optim_epochs_per_iter": 2}),
    ("sac", "continuous", {"batch_norm_all": True, "n_step": 2, "priority_exponent": 0.6}),
    ("crossq", "continuous", {"renorm_warm_up": 5, "policy_delay": 1}),
    ("dqn", "discrete", {"learning_starts": 64}),
    ("gail", "continuous", {"wrap_absorb": True, "use_purl": True, "d_moments": "both"}),
    ("airl", "continuous", {"learner": "sac", "updates_per_step": 0.05}),
    ("red", "continuous", {}),
    ("maad", "continuous", {"idm_steps": 3}),
    ("bc", "continuous", {"batch_size": 20, "steps_per_iteration": 4}),
    ("dagger", "continuous", {"num_demos": 2}),
]


@pytest.mark.parametrize(("algo", "kind", "settings"), CASES, ids=[case[0] for case in CASES])
def test_two_threads_learn_what_one_learns(algo: str, kind: str, settings: dict[str, Any]) -> None:
    alone = learnt(Workers.solo(), algo, kind, settings)
    arrays: list[Any] = [None, None]
    barrier = threading.Barrier(
        2,
        timeout=patience(20.0),
    )  # seconds for one to come to a collective

    def work(rank: int) -> dict[str, Any]:
        try:
            return learnt(Thread(rank, arrays, barrier), algo, kind, settings)
        except BaseException:
            barrier.abort()  # the other one does not wait for what will not come
            raise

    with ThreadPoolExecutor(2) as pool:
        found = [each.result() for each in [pool.submit(work, rank) for rank in range(2)]]
    assert alone.keys() == found[0].keys() == found[1].keys()
    for name, wanted in alone.items():
        np.testing.assert_array_equal(found[0][name], found[1][name], err_msg=name)
        limit = 1e-11 * max(1.0, float(np.abs(wanted).max(initial=0.0)))
        np.testing.assert_allclose(found[0][name], wanted, rtol=0, atol=limit, err_msg=name)
