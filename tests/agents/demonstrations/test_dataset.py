"""Demonstrations as learners get them: true successors, equal shares, absorbing states, nothing drawn twice."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from agents.base import Transitions
from agents.demonstrations.dataset import (
    LOOP,
    Demonstrations,
    flatten_demos,
    minibatch_rows,
    take_rows,
)
from helpers.demos.hdf5 import demo_path, write_demo
from helpers.demos.load import read_demos
from helpers.errors import ConfigurationError
from helpers.parallel.workers import Workers
from tests.helpers.demos.cases import MADE_BY, settings, steps_of, write_demos

OBSERVATIONS = Box(-np.inf, np.inf, (11,), np.float64)
ACTIONS = Box(-1, 1, (3,), np.float32)


def load(folder, **changes) -> Demonstrations:
    config = settings(expert_path=str(folder), **changes)
    return flatten_demos(
        read_demos(config, None),
        config,
        observation_space=OBSERVATIONS,
        action_space=ACTIONS,
    )


def worker(rank: int, size: int) -> Workers:
    workers = Workers.solo()
    workers.rank, workers.size = rank, size
    return workers


def minibatch(made: Demonstrations, index: int, batch_size: int, workers: Workers) -> Transitions:
    rows = minibatch_rows(made.seed, len(made), index, batch_size=batch_size, workers=workers)
    return take_rows(made.transitions, rows)


def whole_episodes(count: int = 4):
    return [steps_of(i, 40 + i, terminated=i % 2 == 0) for i in range(count)]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("rate", [1, 3, 20])
def test_each_transition_is_one_of_the_file_with_its_true_successor(tmp_path, rate, precision):
    write_demos(tmp_path)
    made = load(tmp_path, precision=precision, expert_demo_subsample_rate=rate, seed=5)
    rows, episodes = made.transitions, whole_episodes()
    assert len(made) == sum(len(each["steps"]) for each in made.record)
    assert (
        rows.observations.dtype == rows.actions.dtype == rows.rewards.dtype == np.dtype(precision)
    )
    assert rows.terminated.dtype == rows.truncated.dtype == bool
    for i in range(len(made)):
        source, step = episodes[rows.extras["episode"][i]], rows.extras["step"][i]
        for name in ("observations", "actions", "rewards", "next_observations"):
            assert np.array_equal(getattr(rows, name)[i], source[name][step].astype(precision))
        assert rows.terminated[i] == source["terminated"][step]
        assert rows.truncated[i] == source["truncated"][step]
    for each, source in zip(made.record, episodes, strict=True):
        length = len(source["rewards"])
        assert each["steps"] == list(range(each["offset"], length, rate))
        assert (
            rows.extras["step"][rows.extras["episode"] == each["episode"]] == each["steps"]
        ).all()
    if rate == 1:
        assert len(made) == 40 + 41 + 42 + 43 and rows.terminated.sum() == rows.truncated.sum() == 2


def test_an_episode_is_thinned_the_same_way_whatever_others_are_used(tmp_path):
    write_demos(tmp_path)
    one, all_ = load(tmp_path, num_demos=1, seed=5), load(tmp_path, seed=5)
    assert one.record[0] == all_.record[0]
    drawn = load(tmp_path, num_demos=2, expert_demo_choice="seed", seed=5)
    assert {each["episode"]: each["steps"] for each in drawn.record}.items() <= {
        each["episode"]: each["steps"] for each in all_.record
    }.items()


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_shares_of_workers_are_the_whole(tmp_path, size):
    write_demos(tmp_path)
    made = load(tmp_path, expert_demo_subsample_rate=3)
    shares = [made.share(worker(rank, size)) for rank in range(size)]
    joined = np.concatenate([share.observations for share in shares])
    assert np.array_equal(joined, made.transitions.observations)
    lengths = [len(share.rewards) for share in shares]
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("absorb", [False, True])
@pytest.mark.parametrize("batch_size", [12, 60, 300])
def test_minibatches_are_the_same_for_any_number_of_workers(tmp_path, batch_size, absorb):
    write_demos(tmp_path)
    made = load(tmp_path, expert_demo_subsample_rate=3, wrap_absorb=absorb)
    for index in (0, 1, 7, 1000):
        alone = minibatch(made, index, batch_size, Workers.solo())
        assert len(alone.rewards) == batch_size
        for size in (2, 3, 4):
            parts = [minibatch(made, index, batch_size, worker(rank, size)) for rank in range(size)]
            assert {len(part.rewards) for part in parts} == {batch_size // size}
            for name in ("observations", "actions", "next_observations", "rewards"):
                together = np.concatenate([getattr(part, name) for part in parts])
                assert np.array_equal(together, getattr(alone, name))


def test_every_transition_comes_once_a_shuffle(tmp_path):
    write_demos(tmp_path)
    made = load(tmp_path, expert_demo_subsample=False)
    places = {(e, s): i for i, (e, s) in enumerate(identities(made.transitions))}
    batches = [minibatch(made, i, 10, Workers.solo()) for i in range(3 * len(made) // 10 + 1)]
    seen = [places[each] for batch in batches for each in identities(batch)]
    shuffles = [seen[i * len(made) : (i + 1) * len(made)] for i in range(3)]
    assert all(sorted(each) == list(range(len(made))) for each in shuffles)
    assert shuffles[0] != shuffles[1] != shuffles[2] and shuffles[0] != sorted(shuffles[0])
    other = load(tmp_path, expert_demo_subsample=False, seed=1)
    assert identities(minibatch(other, 0, 10, Workers.solo())) != identities(batches[0])
    again = load(tmp_path, expert_demo_subsample=False)
    assert identities(minibatch(again, 11, 10, Workers.solo())) == identities(batches[11])


def identities(transitions):
    extras = transitions.extras
    return list(zip(extras["episode"].tolist(), extras["step"].tolist(), strict=True))


def test_a_minibatch_that_workers_cannot_share_is_refused(tmp_path):
    write_demos(tmp_path)
    with pytest.raises(
        ConfigurationError,
        match="7 demonstrated .* 2 workers.\nGive --batch_size=8",
    ):
        minibatch(load(tmp_path), 0, 7, worker(0, 2))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rate", [1, 7])
def test_a_terminated_episode_goes_on_in_an_absorbing_state(tmp_path, rate, seed):
    write_demos(tmp_path)
    plain = load(tmp_path, expert_demo_subsample_rate=rate, seed=seed)
    made = load(tmp_path, expert_demo_subsample_rate=rate, seed=seed, wrap_absorb=True)
    rows, loops = made.transitions, made.transitions.extras["step"] == LOOP
    absorbing = np.eye(12)[11]
    assert loops.sum() == 2 and rows.extras["episode"][loops].tolist() == [0, 2]
    assert (rows.observations[loops] == absorbing).all()
    assert (rows.next_observations[loops] == absorbing).all()
    assert not rows.actions[loops].any() and not rows.terminated.any()
    kept = take_rows(rows, ~loops)
    assert identities(kept) == identities(plain.transitions)
    assert np.array_equal(kept.observations[:, :-1], plain.transitions.observations)
    assert not kept.observations[:, -1].any()
    ended = plain.transitions.terminated
    assert (kept.next_observations[ended] == absorbing).all()
    assert np.array_equal(
        kept.next_observations[~ended][:, :-1],
        plain.transitions.next_observations[~ended],
    )
    assert np.array_equal(kept.truncated, plain.transitions.truncated)
    assert np.array_equal(kept.actions, plain.transitions.actions)


def test_states_alone_have_no_actions_to_learn_from(tmp_path):
    write_demos(tmp_path)
    made = load(tmp_path, expert_state_only=True, wrap_absorb=True)
    assert made.transitions.actions.shape == (len(made), 0)
    assert load(tmp_path).transitions.actions.shape[1:] == (3,)


@pytest.mark.parametrize("absorb", [False, True])
def test_no_demonstrations_are_demonstrations_too(absorb):
    made = load("nowhere", num_demos=0, wrap_absorb=absorb)
    assert len(made) == 0 and made.record == ()
    batch = made.share(worker(1, 2))
    assert batch.observations.shape == (0, 11 + absorb) and batch.actions.shape == (0, 3)


def test_discrete_actions_stay_whole_numbers(tmp_path):
    for i in range(2):
        path = demo_path(tmp_path, "CartPole-v1", i)
        write_demo(path, steps_of(i, discrete=True), {"env_id": "CartPole-v1"})
    config = settings(expert_path=str(tmp_path), wrap_absorb=True, precision="float32")
    spaces = {"observation_space": OBSERVATIONS, "action_space": Discrete(3)}
    made = flatten_demos(read_demos(config, None), config, **spaces)
    assert made.transitions.actions.dtype == np.int64 and made.transitions.actions.ndim == 1
    with pytest.raises(ConfigurationError, match="actions"):
        load(tmp_path)


def test_whole_episodes_are_held_out(tmp_path):
    write_demos(tmp_path)
    made = load(tmp_path, expert_demo_subsample_rate=2, wrap_absorb=True)
    learn, judge = made.split_held_out(1)
    left, held = (set(each.transitions.extras["episode"].tolist()) for each in (learn, judge))
    assert len(left) == 3 and len(held) == 1 and not left & held
    assert len(learn) + len(judge) == len(made)
    assert {each["episode"] for each in judge.record} == held
    drawn = {
        tuple(load(tmp_path, seed=s).split_held_out(1)[1].transitions.extras["episode"][:1])
        for s in range(20)
    }
    assert len(drawn) == 4
    assert len(made.split_held_out(0)[1]) == 0
    with pytest.raises(ConfigurationError, match="4 of 4 .* held out"):
        made.split_held_out(4)


def test_spaces_of_another_environment_are_refused(tmp_path):
    write_demos(tmp_path, 2, **MADE_BY)
    config = settings(expert_path=str(tmp_path))
    wide, demos = Box(-np.inf, np.inf, (17,), np.float64), read_demos(config, None)
    with pytest.raises(ConfigurationError, match=r"observations \(11,\), the environment \(17,\)"):
        flatten_demos(demos, config, observation_space=wide, action_space=ACTIONS)
