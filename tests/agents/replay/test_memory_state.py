"""Saving a memory: restored exactly, also when mapped; and a block's version tells when it changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.replay import memory as memory_module
from agents.replay.memory import ReplayMemory
from helpers.errors import CheckpointError
from tests.agents.replay.cases import (
    DISCRETE,
    DOUBLE,
    PIXELS,
    assert_same_memory,
    filled,
    memory,
    transitions,
)

KINDS: dict[str, dict[str, Any]] = {
    "uniform": {},
    "prioritised": {"priority_exponent": 0.6},
    "n steps, pixels": {"n_step": 3, **PIXELS, **DISCRETE},
    "double, prioritised": {"priority_exponent": 1.0, "n_step": 2, **DOUBLE},
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "_SMALLEST", 1000)


def learn(made: ReplayMemory, seed: int) -> None:
    if made._tree is not None:
        rng = np.random.default_rng(seed)
        batch = made.sample(rng.random((made.environments, 8)))
        made.update_priorities(batch["index"], rng.random(8 * made.environments))


def saved(made: ReplayMemory) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    return made.state_dict(), {n: shard.array.copy() for n, shard in made.shards().items()}


@pytest.mark.parametrize("is_mapped", [False, True], ids=["in memory", "mapped"])
@pytest.mark.parametrize("steps", [1, 30, 50, 77])
@pytest.mark.parametrize("kind", KINDS)
def test_it_goes_on_as_if_it_had_not_stopped(
    kind: str,
    steps: int,
    is_mapped: bool,
    tmp_path: Path,
) -> None:
    made, _ = filled(np.random.default_rng(steps), steps, **KINDS[kind])
    learn(made, 0)
    state, shards = saved(made)
    assert len(shards) > (steps > 20)
    restored = memory(**KINDS[kind], folder=tmp_path if is_mapped else None)
    restored.load(state, shards)
    for seed in range(5):
        assert_same_memory(made, restored)
        part = transitions(np.random.default_rng(seed), 7, **KINDS[kind])
        for each in (made, restored):
            each.add(part)
            learn(each, seed)
    assert {n: s.version for n, s in made.shards().items()} == {
        n: s.version for n, s in restored.shards().items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_equal_versions_mean_equal_bytes_and_few_change(kind: str) -> None:
    rng = np.random.default_rng(0)
    made = memory(**KINDS[kind])
    before: dict[str, tuple[str, bytes]] = {}
    changed = []
    for step in range(180):
        made.add(transitions(rng, int(rng.integers(1, 4)), **KINDS[kind]))
        learn(made, step)
        now = {n: (s.version, s.array.tobytes()) for n, s in made.shards().items()}
        for name in now.keys() & before.keys():
            is_equal = now[name][1] == before[name][1]
            is_one_version = now[name][0] == before[name][0]
            assert is_equal or not is_one_version, name
            assert is_one_version or not is_equal or "priorities" in name, name
        ring = [name for name in now if "transitions" in name]
        changed.append(sum(now[name] != before.get(name) for name in ring))
        before = now
    assert len(ring) > 4 and max(changed) <= 3  # blocks under the last rows, however long it ran


def test_an_import_changes_every_version() -> None:
    from agents.replay.files import MemoryColumns

    made, _ = filled(np.random.default_rng(0), 50)
    before = made.shards()
    columns = MemoryColumns(filled(np.random.default_rng(1), 50)[0].columns())
    made.fill_from(columns)
    after = made.shards()
    assert before.keys() == after.keys()
    assert all(before[name].version != after[name].version for name in before)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            {"environments": 2},
            r"holds a row of \(3,\) x 56 bytes; this replay buffer needs a row of \(2,\) x 56",
        ),
        ({"observation_shape": (6,)}, "this replay buffer needs"),
        (DOUBLE, "this replay buffer needs"),
        ({"priority_exponent": 0.5}, "memory.priorities.0000 is missing"),
    ],
)
def test_a_memory_of_another_shape_is_refused(other: dict[str, Any], words: str) -> None:
    state, shards = saved(filled(np.random.default_rng(0), 30)[0])
    with pytest.raises(CheckpointError, match=words):
        memory(**other).load(state, shards)
    with pytest.raises(CheckpointError, match="has 49 rows, but 50 in the checkpoint"):
        memory(rows=49).load(state, shards)
    del shards["memory.transitions.0002"]
    with pytest.raises(CheckpointError, match="memory.transitions.0002 is missing"):
        memory().load(state, shards)
