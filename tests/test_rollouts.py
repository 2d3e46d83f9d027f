"""What a rollout holds of the steps that were taken: states, successors, ends of both kinds."""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.parallel.stopwatch import Stopwatch
from orchestrator import RolloutState, rollout_generator
from tests.probes.environments import Probe

LENGTH = 12


class Counting(Probe):
    """The state is the number of the step since the environment was made; every third ends, every fourth is cut."""

    def observe(self) -> np.ndarray:
        return self.number[:, None].astype(np.float32)

    def start(self, which: np.ndarray) -> None:
        if not hasattr(self, "number"):
            self.number = np.zeros(self.num_envs)
        self.number[which] += 1000  # where the next episode begins

    def pay(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.number += 1
        self.time_limit = 4
        return 10.0 * actions, self.number % 3 == np.arange(self.num_envs) % 3


class Naming:
    """Acts by the state, so that an action tells of which."""

    rollout_len = LENGTH

    def predict(
        self,
        observations: np.ndarray,
        *,
        explore: bool,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        assert explore
        return (observations[:, 0] % 1000).astype(np.int64), {}


def test_each_row_is_one_step_with_its_true_successor() -> None:
    environment = Counting()
    state = RolloutState.start(environment.reset()[0])
    made = rollout_generator(
        environment, Naming(), state, dtype=np.dtype(np.float32), stopwatch=Stopwatch(),
    )  # fmt: skip
    first, second = next(made), next(made)
    ends = {"terminated": 0, "truncated": 0}
    for rollout in (first, second):
        now, after = rollout.observations[..., 0], rollout.next_observations[..., 0]
        np.testing.assert_array_equal(rollout.actions, now % 1000)
        np.testing.assert_array_equal(rollout.rewards, 10.0 * (now % 1000))
        np.testing.assert_array_equal(after, now + 1)  # also where the next row begins an episode
        ended = rollout.terminated | rollout.truncated
        np.testing.assert_array_equal(now[1:], after[:-1] + 1000 * ended[:-1])
        np.testing.assert_array_equal(rollout.terminated, after % 3 == np.arange(4) % 3)
        ends["terminated"] += int(rollout.terminated.sum())
        ends["truncated"] += int((rollout.truncated & ~rollout.terminated).sum())
    last = first.terminated[-1] | first.truncated[-1]
    np.testing.assert_array_equal(
        second.observations[0], first.next_observations[-1] + 1000 * last[:, None],
    )  # fmt: skip
    assert ends["terminated"] and ends["terminated"] < 2 * LENGTH * 4
    lengths = [length for _, length in state.finished]
    assert len(lengths) == ends["terminated"] + ends["truncated"] and max(lengths) <= 4
