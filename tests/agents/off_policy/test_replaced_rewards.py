"""Rewards that replace the environment's in a sampled batch: each of n steps, against a double loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.base import Transitions, environment_reward
from agents.replay.record_layout import COLUMNS
from tests.agents.builders import SPACES, random_rollout, small_agent, small_config
from tests.agents.replay.cases import DISCRETE, DOUBLE, assert_bytes_equal, filled, transitions

GAMMA = 0.9
NUMBERS = {"observation_dtype": "float64", "action_dtype": "float64", "dtype": "float64"}


def made_up(seen: Transitions) -> np.ndarray:
    """A reward of everything that a transition has, and of nothing else."""
    return (
        np.sin(seen.observations.astype(np.float64) % 7.0).sum(-1)
        + 3.0 * np.cos(seen.next_observations.astype(np.float64) % 5.0)[..., 0]
        + 0.1 * seen.actions.astype(np.float64).reshape(len(seen.rewards), -1).sum(-1) % 2.0
        + 10.0 * seen.terminated
        - 20.0 * seen.truncated
    )


def one(past: Transitions, step: int, environment: int) -> Transitions:
    """A transition as a batch of one."""
    fields = {name: getattr(past, name)[step, environment][None] for name in COLUMNS.values()}
    return Transitions(**fields)


def by_double_loop(past: Transitions, step: int, environment: int, *, n: int) -> float:
    """sum_i gamma^i r(s_i, a_i, s_i+1), to an end of either kind or the newest step."""
    total = 0.0
    for i in range(n):
        if step + i == len(past.rewards):
            break
        total += GAMMA**i * float(made_up(one(past, step + i, environment))[0])
        if past.terminated[step + i, environment] or past.truncated[step + i, environment]:
            break
    return total


@pytest.mark.parametrize("priority_exponent", [0.0, 0.7])
@pytest.mark.parametrize("kind", [NUMBERS, DISCRETE | {"dtype": "float64"}], ids=["box", "choice"])
@pytest.mark.parametrize("steps", [1, 7, 49, 50, 51, 120, 173])
@pytest.mark.parametrize("n", [1, 2, 5, 50])
def test_each_of_n_steps_gets_the_replaced_reward(
    n: int,
    steps: int,
    kind: dict[str, Any],
    priority_exponent: float,
) -> None:
    """Before the ring of 50 rows is full, when it just is, and after it has gone round thrice."""
    rng = np.random.default_rng([n, steps])
    sizes = kind | {"n_step": n, "gamma": GAMMA, "priority_exponent": priority_exponent}
    made, past = filled(rng, steps, **sizes)
    if steps > 40:
        assert past.terminated.any() and (past.truncated & ~past.terminated).any()
    batch = made.sample(rng.random((3, 64)))
    given = made.relabel_rewards(batch["index"], made_up)
    assert given.dtype == np.float64 and given.shape == (192,)
    oldest = steps - made.filled
    for i, index in enumerate(batch["index"]):
        row, environment = divmod(int(index), made.environments)
        step = oldest + (row - oldest) % made.rows  # the newest one that lies in this row
        expected = by_double_loop(past, step, environment, n=n)
        assert given[i] == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("n", [1, 3, 8])
@pytest.mark.parametrize("kind", [{}, DOUBLE, DISCRETE], ids=["box", "double", "choice"])
def test_the_environment_s_reward_replaced_by_itself_is_the_sampled_one_bit_for_bit(
    n: int,
    kind: dict[str, Any],
) -> None:
    made, _ = filled(np.random.default_rng(n), 130, n_step=n, gamma=GAMMA, **kind)
    batch = made.sample(np.random.default_rng(0).random((3, 100)))
    given = made.relabel_rewards(batch["index"], environment_reward)
    assert_bytes_equal(given, batch["reward"])


def test_a_reward_is_asked_once_and_only_for_what_belongs_to_a_sample() -> None:
    """Seen are transitions that were stored, whole, with no step beyond an end."""
    made, past = filled(np.random.default_rng(0), 173, n_step=5, gamma=GAMMA)
    batch = made.sample(np.random.default_rng(1).random((3, 64)))
    asked: list[Transitions] = []

    def keep(seen: Transitions) -> np.ndarray:
        asked.append(seen)
        return np.zeros(len(seen.rewards), np.float32)

    made.relabel_rewards(batch["index"], keep)
    (seen,) = asked
    assert seen.observations.shape == (5 * 192, 5) and seen.observations.flags.c_contiguous
    stored = {row.tobytes(): place for place, row in enumerate(past.observations.reshape(-1, 5))}
    places = [stored[row.tobytes()] for row in seen.observations]
    for field in COLUMNS.values():
        flat = getattr(past, field).reshape(173 * 3, *getattr(past, field).shape[2:])
        assert_bytes_equal(getattr(seen, field), flat[places])
    steps = np.array(places).reshape(5, 192) // 3
    ended = (seen.terminated | seen.truncated).reshape(5, 192)
    for i in range(1, 5):
        is_next = steps[i] == steps[i - 1] + 1
        stays = (steps[i] == steps[i - 1]) & (ended[i - 1] | (steps[i] == 172))
        assert (is_next | stays).all() and not (is_next & ended[i - 1]).any()
    made.add(transitions(np.random.default_rng(2), 50))  # what was seen stays as it was
    assert_bytes_equal(seen.rewards, past.rewards.reshape(-1)[places])


class Recorder:
    """A reward that changes from update to update, as a discriminator's does."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, seen: Transitions) -> np.ndarray:
        self.calls += 1
        return made_up(seen).astype(np.float32) * self.calls


@pytest.mark.parametrize("algo", ["sac", "td3", "ddpg", "crossq", "redq", "tqc", "dqn"])
@pytest.mark.parametrize("priority_exponent", [0.0, 0.6])
def test_a_learner_learns_from_the_reward_of_that_moment(
    algo: str,
    priority_exponent: float,
) -> None:
    """The last minibatch, whose tensors still lie there, holds the reward of the last call."""
    space = SPACES["discrete" if algo == "dqn" else "continuous"]
    config = small_config(algo, n_step=3, gamma=GAMMA, priority_exponent=priority_exponent)
    agent = small_agent(config, space)
    reward, indices = Recorder(), []
    sound = agent.batch.update_priorities

    def noted(index: np.ndarray) -> None:
        indices.append(index.copy())
        sound(index)

    agent.batch.update_priorities = noted
    for i in range(3):
        agent.update(random_rollout(agent, space, iteration=i), reward)
        expected = agent.memory.relabel_rewards(indices[-1], made_up).astype(np.float32)
        given = agent.batch.tensors["reward"].numpy()
        np.testing.assert_allclose(given, expected * reward.calls, rtol=1e-5, atol=1e-4)
    assert reward.calls == agent.updates == len(indices) > 0
    if priority_exponent:
        tree, errors = agent.memory._tree, agent.batch.tensors["error"].numpy()
        highest = np.zeros(tree.leaves.size)
        np.maximum.at(highest, indices[-1], (errors.astype(np.float64) + 1e-6) ** 0.6)
        places = np.unique(indices[-1])
        np.testing.assert_allclose(tree.leaves.reshape(-1)[places], highest[places])
        assert agent.batch.tensors["weight"].max() == 1.0
