"""DAgger: who acts, what is labelled, what is kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.cloning.aggregate import ROUNDS_A_SHARD
from helpers.errors import CheckpointError
from tests.agents.builders import OBSERVATION_DIM, SPACES, random_rollout, transplant
from tests.agents.cloning.cases import LENGTH, expert_run
from tests.agents.cloning.test_cloner import bc, dagger

CONTINUOUS = SPACES["continuous"]


@pytest.mark.parametrize("kind", ["continuous", "discrete"])
def test_the_first_round_acts_as_the_expert_and_labels_are_its_actions(kind):
    agent = dagger(kind)
    seen = np.random.default_rng(3).normal(1.0, 3.0, (4, OBSERVATION_DIM))
    raw = agent.expert.agent.predict(seen, explore=False)[0]
    expected = raw if kind == "discrete" else np.clip(raw, -1, 1)
    assert np.array_equal(agent.predict(seen, explore=True)[0], expected)
    assert not np.array_equal(agent.predict(seen, explore=False)[0], expected)
    assert kind == "discrete" or abs(raw).max() > 1.0  # so that labels had to be clipped
    for i in range(2):
        rollout = random_rollout(agent, SPACES[kind], iteration=i)
        agent.update(rollout)
        visited, labels = agent.rounds.last_round()
        flat = rollout.observations.reshape(-1, OBSERVATION_DIM)
        assert np.array_equal(visited, flat)
        raw = agent.expert.agent.predict(flat, explore=False)[0]
        assert np.array_equal(labels, raw if kind == "discrete" else np.clip(raw, -1, 1))
    dataset, _ = agent._dataset()
    assert len(dataset) == 2 * 64 and agent.beta == pytest.approx(0.7**2)


def test_without_a_share_of_the_expert_later_rounds_act_as_the_policy():
    agent = dagger(beta_decay=0.0)
    assert agent.beta == 1.0
    agent.update(random_rollout(agent, CONTINUOUS))
    assert agent.beta == 0.0
    for seed in range(3):
        seen = np.random.default_rng(seed).normal(1.0, 3.0, (4, OBSERVATION_DIM))
        mode = agent.predict(seen, explore=False)[0]
        assert np.array_equal(agent.predict(seen, explore=True)[0], mode)


def test_the_mixture_takes_the_expert_as_often_as_it_should():
    agent = dagger(rollout_len=4000, beta_decay=0.3, updates_per_round=1)
    agent.rounds._own.append(np.empty(0))  # as after one round
    seen = np.random.default_rng(0).normal(1.0, 3.0, (4, OBSERVATION_DIM))
    by_expert, mode = agent.expert(seen), agent.predict(seen, explore=False)[0]
    shares = []
    for _ in range(1000):
        actions = agent.predict(seen, explore=True)[0]
        is_experts = (actions == by_expert).all(-1)
        assert ((actions == mode).all(-1) | is_experts).all()
        shares.append(is_experts)
    assert np.mean(shares) == pytest.approx(0.3, abs=0.03)  # 4 standard deviations
    assert np.std(np.mean(shares, 0)) < 0.04  # every environment draws


def test_the_dataset_begins_with_demonstrations_and_grows_by_each_round():
    agent = dagger(num_demos=2)
    rows = [agent.update(random_rollout(agent, CONTINUOUS, iteration=i)) for i in range(2)]
    assert [row["dataset/transitions"] for row in rows] == [2 * LENGTH + 64, 2 * LENGTH + 128]
    assert [row["expert/beta"] for row in rows] == [1.0, 0.7]
    seen, made = agent._dataset()
    shown = bc(num_demos=2, held_out_demos=0)._train_rows
    assert torch.equal(seen[: 2 * LENGTH], shown[0])
    torch.testing.assert_close(made[: 2 * LENGTH], shown[1], rtol=0, atol=1e-7)
    assert agent.cloner.observation_normalizer.count == len(seen)


def test_rounds_are_saved_in_shards_that_do_not_change_once_they_are_full():
    first = dagger(updates_per_round=1)
    for i in range(ROUNDS_A_SHARD):
        first.update(random_rollout(first, CONTINUOUS, iteration=i))
    full = first.shards()
    assert list(full) == ["visited.0000"]
    first.update(random_rollout(first, CONTINUOUS, iteration=99))
    more = first.shards()
    assert [shard.version for shard in more.values()] == [str(ROUNDS_A_SHARD), "1"]
    assert full["visited.0000"].version == more["visited.0000"].version
    assert np.array_equal(full["visited.0000"].array, more["visited.0000"].array)
    second = dagger(updates_per_round=1)
    transplant(first, second)
    for one, other in zip(first._dataset(), second._dataset(), strict=True):
        assert torch.equal(one, other)


def test_an_expert_of_other_sizes_is_refused():
    run = str(expert_run("discrete"))
    with pytest.raises(CheckpointError, match="does not fit this environment"):
        dagger(expert_policy=run)
