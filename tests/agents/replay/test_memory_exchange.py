"""Memories through files and back: 20 random ones in each format, byte for byte."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.replay.files import MemoryColumns, export_memory, load_memories, memory_id
from agents.replay.memory import ReplayMemory
from helpers.errors import ConfigurationError
from tests.agents.replay.cases import (
    DISCRETE,
    DOUBLE,
    PIXELS,
    assert_same_memory,
    filled,
    memory,
    transitions,
)

FORMATS = ("pt", "np", "npz", "csv")


def random_kind(rng: np.random.Generator) -> dict[str, Any]:
    kind: dict[str, Any] = {
        "rows": int(rng.integers(1, 60)),
        "environments": int(rng.integers(1, 6)),
        "observation_shape": (int(rng.integers(1, 20)),),
        "action_shape": (int(rng.integers(1, 7)),),
    }
    variant = int(rng.integers(4))
    kind |= ({}, DISCRETE, PIXELS | DISCRETE, DOUBLE)[variant]
    if rng.random() < 0.5:
        kind |= {"n_step": 3}
    if rng.random() < 0.3:
        kind |= {"priority_exponent": 0.5}
    return kind


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("format_", FORMATS)
def test_a_memory_comes_back_byte_for_byte(format_: str, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    kind = random_kind(rng)
    steps = int(rng.choice([kind["rows"], rng.integers(1, kind["rows"] + 1)]))
    made, _ = filled(rng, steps, **kind)
    export_memory(made.columns(), tmp_path, format_=format_, id_=memory_id("a run", 0))
    back, _ = filled(rng, 3, **kind)  # what it held before is gone
    back.fill_from(load_memories(f"{tmp_path}/memories/*", num_envs=kind["environments"]))
    assert_same_memory(made, back)


ODD = [0.0, -0.0, 1.0, -1e-45, 3e38, np.inf, -np.inf, 16777217.0, 0.1, 1 / 3, 5e-324, 1.7e308]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("format_", FORMATS)
def test_numbers_at_the_edges_come_back(format_: str, dtype: str, tmp_path: Path) -> None:
    kind = {"environments": 2, "rows": 400, "observation_dtype": dtype, "dtype": dtype}
    kind |= {"action_dtype": dtype, "observation_shape": (12,), "action_shape": (12,)}
    rng = np.random.default_rng(0)
    part = transitions(rng, 400, **kind)
    with np.errstate(over="ignore", under="ignore"):
        part.observations[::2] = np.array(ODD).astype(dtype)
    bits = rng.integers(0, 2**63, part.actions.shape).astype(np.uint64)  # any pattern of bits
    actions = bits.view("float64") if dtype == "float64" else bits.astype("uint32").view("float32")
    part.actions[:] = np.where(np.isnan(actions), 0, actions)
    made, back = memory(**kind), memory(**kind)
    made.add(part)
    export_memory(made.columns(), tmp_path, format_=format_, id_=memory_id("a run", 0))
    back.fill_from(load_memories(f"{tmp_path}/memories/*", num_envs=2))
    assert_same_memory(made, back)


@pytest.mark.parametrize("format_", FORMATS)
def test_each_filling_of_each_worker_is_a_file_and_all_come_back(
    format_: str,
    tmp_path: Path,
) -> None:
    """Five environments on two workers, three fillings; one memory of five, and a share of it."""
    rng = np.random.default_rng(0)
    past = transitions(rng, 60, environments=5)
    whole = memory(environments=5, rows=60)
    whole.add(past)
    shares = [slice(0, 3), slice(3, 5)]
    for rank, share in enumerate(shares):
        worker = export_at_each_filling(tmp_path, format_, rank, share)
        fields = ("observations", "actions", "rewards", "next_observations")
        for start in range(0, 60, 6):
            rows = slice(start, start + 6)
            part = {name: getattr(past, name)[rows, share] for name in fields}
            ends = {name: getattr(past, name)[rows, share] for name in ("terminated", "truncated")}
            worker.add(type(past)(**part, **ends))
    files = sorted(path.name for path in (tmp_path / "memories").iterdir())
    assert len(files) == 6
    ending = {"pt": "pt", "csv": "csv"}.get(format_, "npz")
    name = rf"\d\d-\d\d-\d\d_\d\d-\d\d-\d\d-\d{{6}}_memory_0x[0-9a-f]{{8}}000[01]\.{ending}"
    assert all(re.fullmatch(name, file) for file in files)
    columns = load_memories(f"{tmp_path}/memories/*.{ending}", num_envs=5)
    back = memory(environments=5, rows=60)
    back.fill_from(columns)
    assert_same_memory(whole, back)
    for share in shares:
        part_of = memory(environments=share.stop - share.start, rows=70)
        part_of.fill_from(columns, environments=share)
        assert (part_of.columns()["rewards"] == whole.columns()["rewards"][:, share]).all()


def export_at_each_filling(folder: Path, format_: str, rank: int, share: slice) -> ReplayMemory:
    def export(full: ReplayMemory) -> None:
        export_memory(full.columns(), folder, format_=format_, id_=memory_id("a run", rank))

    return memory(environments=share.stop - share.start, rows=20, on_full=export)


def test_a_full_ring_comes_back_in_the_order_of_time() -> None:
    made, past = filled(np.random.default_rng(0), 73)
    back = memory()
    back.fill_from(MemoryColumns(made.columns()))
    assert (back.added, back.position) == (50, 0)
    assert (back.columns()["states"] == past.observations[-50:]).all()


# What does not fit


def columns_of(**changes: Any) -> dict[str, np.ndarray]:
    return filled(np.random.default_rng(0), 30, **changes)[0].columns()


def without(name: str) -> dict[str, np.ndarray]:
    return {key: array for key, array in columns_of().items() if key != name}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (without("truncated"), "m.pt has no column truncated, only states, actions, rewards"),
        (columns_of() | {"log_prob": np.zeros((30, 3, 1))}, "m.pt has a column log_prob, which"),
        (
            columns_of(observation_shape=(4,)),
            "m.pt has 4 numbers per step in states, but this run has 5",
        ),
        (
            columns_of(action_shape=(3,)),
            "m.pt has 3 numbers per step in actions, but this run has 2",
        ),
        (columns_of(environments=2), "m.pt holds 2 environments, but this run has others"),
        (columns_of(rows=80) | {}, None),
        (columns_of(**DOUBLE), "m.pt has float64 in states, but this run has float32"),
        (columns_of(**DISCRETE) | {}, "m.pt has 1 numbers per step in actions"),
        (
            columns_of() | {"terminated": np.zeros((30, 3, 1), np.float32)},
            "m.pt has float32 in terminated, but this run has bool",
        ),
        (
            {name: np.concatenate([array] * 2) for name, array in columns_of().items()},
            "m.pt holds 60 steps of each environment, but the replay buffer 50",
        ),
    ],
)
def test_columns_of_another_memory_are_refused(
    columns: dict[str, np.ndarray],
    words: str | None,
) -> None:
    made, _ = filled(np.random.default_rng(1), 20)
    same, _ = filled(np.random.default_rng(1), 20)
    if words is None:
        made.fill_from(MemoryColumns(columns, source="m.pt"))
        return
    with pytest.raises(ConfigurationError, match=words) as refusal:
        made.fill_from(MemoryColumns(columns, source="m.pt"))
    assert "\n" not in refusal.value.problem + refusal.value.remedy
    assert_same_memory(made, same)  # nothing of it was taken


@pytest.mark.parametrize(
    ("kind", "name", "value", "words"),
    [
        ({}, "states", 1e39, "numbers that are no float32 in states"),
        (DISCRETE, "actions", 0.5, "numbers that are no int64 in actions"),
        (DISCRETE, "actions", np.nan, "numbers that are no int64 in actions"),
        (PIXELS, "next_states", 256.0, "numbers that are no uint8 in next_states"),
        ({}, "terminated", 1.0, "float64 in terminated, but this run has bool"),
    ],
)
def test_numbers_of_a_text_that_are_none_of_this_memory_are_refused(
    kind: dict[str, Any],
    name: str,
    value: float,
    words: str,
) -> None:
    columns = {
        key: array if array.dtype == np.bool_ else array.astype(np.float64)
        for key, array in columns_of(**kind).items()
    }
    memory(**kind).fill_from(MemoryColumns(columns, from_text=True))
    columns[name] = columns[name].astype(np.float64)
    columns[name][3, 1, 0] = value
    with pytest.raises(ConfigurationError, match=words):
        memory(**kind).fill_from(MemoryColumns(columns, from_text=True))
