"""The replay memory: what it holds, what it gives, and that it is a function of the uniforms alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.base import Transitions
from agents.replay.memory import ReplayMemory
from agents.replay.record_layout import COLUMNS
from helpers.errors import ConfigurationError, StorageError
from tests.agents.replay.cases import (
    DISCRETE,
    DOUBLE,
    PIXELS,
    assert_bytes_equal,
    filled,
    memory,
    transitions,
)

KINDS: dict[str, dict[str, Any]] = {
    "vectors": {},
    "pixels, discrete": PIXELS | DISCRETE,
    "double": DOUBLE,
    "one environment, odd sizes": {
        "environments": 1,
        "observation_shape": (7,),
        "action_shape": (1,),
    },
}


def every_row(made: ReplayMemory) -> np.ndarray:
    """Uniforms (N, filled) that pick each row of each environment once, in order."""
    row = (np.arange(made.filled) + 0.5) / made.filled
    return np.broadcast_to(row, (made.environments, made.filled))


def age_order(made: ReplayMemory) -> np.ndarray:
    """The rows of the ring, oldest first."""
    return (made.position - made.filled + np.arange(made.filled)) % made.rows


@pytest.mark.parametrize("steps", [1, 49, 50, 51, 137, 200])
@pytest.mark.parametrize("kind", KINDS)
def test_it_holds_the_newest_rows(kind: str, steps: int) -> None:
    made, past = filled(np.random.default_rng(steps), steps, **KINDS[kind])
    assert made.filled == min(steps, 50) and made.position == steps % 50
    assert made.capacity == 50 * made.environments
    assert made.ends == past.terminated[-made.filled :].sum()
    batch = made.sample(every_row(made))
    order = age_order(made)
    places = {
        "observation": "observations",
        "action": "actions",
        "reward": "rewards",
        "next_observation": "next_observations",
        "terminated": "terminated",
        "truncated": "truncated",
    }
    for name, field in places.items():
        expected = getattr(past, field)[-made.filled :].swapaxes(0, 1)  # (T, N, ..) -> (N, T, ..)
        given = batch[name].reshape(made.environments, made.filled, *batch[name].shape[1:])
        assert_bytes_equal(given[:, order], expected)
    columns = made.columns()
    assert list(columns) == [
        "states",
        "actions",
        "rewards",
        "next_states",
        "terminated",
        "truncated",
    ]
    for name, field in COLUMNS.items():
        expected = getattr(past, field)[-made.filled :]
        assert_bytes_equal(columns[name], expected.reshape(*expected.shape[:2], -1))


def test_one_add_may_be_longer_than_the_ring() -> None:
    made = memory()
    past = transitions(np.random.default_rng(0), 173)
    made.add(past)
    assert_bytes_equal(made.columns()["states"], past.observations[-50:])


def test_a_row_is_the_share_of_a_uniform_and_the_index_says_where() -> None:
    made, past = filled(np.random.default_rng(0), 20)
    batch = made.sample(np.array([[0.0, 0.5], [0.049, 0.05], [0.999, 1 - 2**-53]]))
    rows, environments = np.divmod(batch["index"], 3)
    assert rows.tolist() == [0, 10, 0, 1, 19, 19] and environments.tolist() == [0, 0, 1, 1, 2, 2]
    assert_bytes_equal(batch["observation"], past.observations[rows, environments])


def test_samples_do_not_depend_on_how_environments_are_spread() -> None:
    rng = np.random.default_rng(5)
    whole, past = filled(rng, 80, environments=4)
    uniforms = rng.random((4, 16))
    batch = whole.sample(uniforms)
    shares = []
    for share in (slice(0, 1), slice(1, 4)):
        part = memory(environments=share.stop - share.start)
        fields = {name: getattr(past, name)[:, share] for name in COLUMNS.values()}
        part.add(Transitions(**fields))
        shares.append(part.sample(uniforms[share]))
    for name in set(batch) - {"index"}:
        assert_bytes_equal(batch[name], np.concatenate([share[name] for share in shares]))


def test_arrays_that_are_given_are_filled_and_others_not_made() -> None:
    made, _ = filled(np.random.default_rng(0), 30)
    uniforms = np.random.default_rng(1).random((3, 4))
    expected = made.sample(uniforms)
    into = {
        "observation": np.empty((12, 5), np.float32),
        "discount": np.empty(12, np.float32),
        "terminated": np.empty(12, np.float32),
    }
    batch = made.sample(uniforms, into)
    assert set(batch) == {*into, "index"} and all(batch[name] is into[name] for name in into)
    for name in ("observation", "discount", "index"):
        assert_bytes_equal(batch[name], expected[name])
    assert (into["terminated"] == expected["terminated"]).all()


def test_a_batch_is_not_changed_by_the_next_one() -> None:
    made, _ = filled(np.random.default_rng(0), 30, n_step=2, priority_exponent=0.5)
    rng = np.random.default_rng(1)
    batch = made.sample(rng.random((3, 4)))
    before = {name: array.copy() for name, array in batch.items()}
    made.sample(rng.random((3, 4)))
    for name, array in batch.items():
        assert_bytes_equal(array, before[name])


def test_only_a_task_that_ended_has_no_value_beyond() -> None:
    made, past = filled(np.random.default_rng(2), 50, gamma=0.9)
    batch = made.sample(every_row(made))
    assert past.terminated.any() and (past.truncated & ~past.terminated).any()
    expected = np.where(past.terminated, 0, 0.9).T.reshape(-1).astype(np.float32)
    assert_bytes_equal(batch["discount"], expected)


@pytest.mark.parametrize("steps", [3, 49, 50, 120, 150])
@pytest.mark.parametrize(("n", "kind"), [(2, "vectors"), (5, "vectors"), (5, "double")])
def test_n_steps_are_summed_as_the_formula_says(n: int, kind: str, steps: int) -> None:
    made, past = filled(np.random.default_rng(steps), steps, n_step=n, gamma=0.9, **KINDS[kind])
    batch = made.sample(every_row(made))
    order = age_order(made).tolist()
    first = steps - made.filled  # the step that the oldest row holds
    for i, index in enumerate(batch["index"]):
        row, environment = divmod(int(index), made.environments)
        start = step = first + order.index(row)
        total = 0.0
        while True:
            total += 0.9 ** (step - start) * float(past.rewards[step, environment])
            ended = past.terminated[step, environment] or past.truncated[step, environment]
            if ended or step + 1 == steps or step + 1 == start + n:
                break
            step += 1
        count = step + 1 - start
        assert batch["reward"][i] == pytest.approx(total, rel=1e-6, abs=1e-6)
        terminated = past.terminated[step, environment]
        assert batch["discount"][i] == pytest.approx(0 if terminated else 0.9**count)
        assert_bytes_equal(batch["next_observation"][i], past.next_observations[step, environment])
        assert_bytes_equal(batch["observation"][i], past.observations[start, environment])
        assert batch["terminated"][i] == terminated
        assert batch["truncated"][i] == past.truncated[step, environment]


@pytest.mark.parametrize("steps", [10, 50, 77])
def test_n_steps_end_where_episodes_were_cut(steps: int) -> None:
    generator = np.random.default_rng(steps)
    made, past = filled(generator, steps, n_step=3, gamma=0.9)
    before = {name: shard.version for name, shard in made.shards().items()}
    newest = (made.position - 1) % made.rows
    made.cut()
    after = {name: shard.version for name, shard in made.shards().items()}
    assert all(after[name] != version for name, version in before.items())
    made.add(transitions(generator, 4))
    uniforms = np.full((made.environments, 1), (newest + 0.5) / made.filled)
    batch = made.sample(uniforms)
    rows = batch["index"] // made.environments
    assert (rows == newest).all()
    assert_bytes_equal(batch["reward"], past.rewards[-1].astype(np.float32))
    assert (batch["truncated"] | batch["terminated"]).all()
    assert_bytes_equal(batch["terminated"], past.terminated[-1])


def test_it_says_when_it_is_full_before_anything_is_lost() -> None:
    seen: list[dict[str, np.ndarray]] = []

    def keep(ring: ReplayMemory) -> None:
        seen.append({name: array.copy() for name, array in ring.columns().items()})

    made = memory(on_full=keep)
    rng = np.random.default_rng(0)
    parts = [transitions(rng, count) for count in (20, 29, 1, 30, 95, 30)]
    counts = []
    for part in parts:
        made.add(part)
        counts.append(len(seen))
    assert counts == [0, 0, 1, 1, 3, 4]
    rewards = np.concatenate([part.rewards for part in parts])
    for i, columns in enumerate(seen):
        assert_bytes_equal(columns["rewards"][..., 0], rewards[50 * i : 50 * (i + 1)])


def test_what_does_not_fit_is_refused() -> None:
    made = memory()
    with pytest.raises(ValueError, match="empty memory"):
        made.sample(np.zeros((3, 1)))
    with pytest.raises(ValueError, match="4 environments for a memory of 3"):
        made.add(transitions(np.random.default_rng(0), 2, environments=4))
    with pytest.raises(ValueError, match="samples uniformly"):
        made.update_priorities(np.zeros(1, np.int64), np.zeros(1))


# Room


def test_more_than_there_is_is_refused_with_the_arithmetic() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        memory(rows=10**12, observation_shape=(17,), action_shape=(6,))
    what = "takes 1,000,000,000,000 steps x 3 environments x 168 bytes = 458.4 TiB, but "
    assert what in refusal.value.problem and refusal.value.problem.endswith("of memory are free.")
    assert "--mem_size" in refusal.value.remedy
    with pytest.raises(ConfigurationError, match=r"\+ [\d,]+ bytes of priorities, x 8 workers of"):
        memory(rows=10**12, priority_exponent=0.5, workers_here=8)


def test_more_than_the_disk_holds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"TiB are free on the disk of|GiB are free on"):
        memory(rows=10**12, folder=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StorageError,
        match="file/ring cannot hold the replay buffer: Not a directory",
    ):
        memory(folder=tmp_path / "file" / "ring")


@pytest.mark.parametrize("kind", KINDS)
def test_a_ring_on_a_disk_is_the_same_ring_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "ring"
    in_memory, past = filled(np.random.default_rng(3), 70, **KINDS[kind])
    on_disk = memory(folder=folder, **KINDS[kind])
    on_disk.add(past)
    uniforms = np.random.default_rng(0).random((in_memory.environments, 20))
    batches = in_memory.sample(uniforms), on_disk.sample(uniforms)
    for name, array in batches[0].items():
        assert_bytes_equal(array, batches[1][name])
        assert type(batches[1][name]) is np.ndarray  # not a piece of a mapped file
    assert not list(folder.iterdir())
