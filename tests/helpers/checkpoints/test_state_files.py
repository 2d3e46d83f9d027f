"""State files: what goes in comes out, in the open format that they claim to be."""

from __future__ import annotations

import collections
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from helpers.checkpoints.state_files import pack, unpack
from tests.helpers.checkpoints.cases import assert_same, full_state
from tests.mpi.start import ROOT, clean_environment


def through_bytes(state: Any) -> Any:
    return unpack(bytearray(b"".join(pack(state))))


def test_everything_comes_back_bit_for_bit() -> None:
    assert_same(through_bytes(full_state()), full_state())


def test_what_comes_back_may_be_changed_and_shares_nothing() -> None:
    state = {"a": np.zeros(3), "b": torch.zeros(3)}
    first, second = through_bytes(state), through_bytes(state)
    first["a"] += 1
    first["b"].add_(1)
    assert first["a"].tolist() == first["b"].tolist() == [1, 1, 1]
    assert_same(second, state)
    assert_same(state, {"a": np.zeros(3), "b": torch.zeros(3)})


def test_a_bytes_generator_goes_on_where_it_was() -> None:
    rng = np.random.default_rng(3)
    rng.normal(size=7)
    other = np.random.default_rng()
    other.bit_generator.state = through_bytes({"rng": rng.bit_generator.state})["rng"]
    assert (other.normal(size=5) == rng.normal(size=5)).all()


def test_the_safetensors_library_reads_them() -> None:
    state: dict[str, Any] = {
        "actor": {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "on": np.array([True])},
        "memory": [np.arange(3, dtype=np.uint8), np.array(1.5)],
        "steps": 3,
        "half": torch.ones(3, dtype=torch.bfloat16),
    }
    tensors = safetensors.deserialize(b"".join(pack(state)))
    names = {name: (entry["dtype"], tuple(entry["shape"])) for name, entry in tensors}
    assert names == {
        "memory/1": ("F64", ()),
        "actor/w": ("F32", (2, 3)),
        "half": ("BF16", (3,)),
        "actor/on": ("BOOL", (1,)),
        "memory/0": ("U8", (3,)),
    }
    del state["half"]  # which numpy has no word for
    arrays = safetensors.numpy.load(b"".join(pack(state)))
    assert_same(arrays["actor/w"], state["actor"]["w"])
    assert_same(arrays["memory/1"], state["memory"][1])


def test_arrays_are_aligned_to_their_elements() -> None:
    state = {f"{i}": np.ones(3, dtype=t) for i, t in enumerate(("u1", "f4", "bool", "f8", "f2"))}
    assert all(array.flags.aligned for array in through_bytes(state).values())


class Weights(collections.UserList):
    """A list that is none."""


@pytest.mark.parametrize(
    "leaf",
    [
        (1, 2),
        {1, 2},
        b"bytes",
        1j,
        object(),
        Weights([1]),
        np.array([object()]),
        np.array(["text"]),
        np.array([1], dtype=">i8"),
        np.zeros(2, dtype=[("x", "f4")]),
        np.ma.array([1.0], mask=[True]),
        np.complex64(1),
        torch.zeros(2, dtype=torch.complex64),
    ],
    ids=lambda leaf: f"{type(leaf).__name__}-{getattr(leaf, 'dtype', '')}",
)
def test_what_would_not_come_back_exactly_is_refused(leaf: Any) -> None:
    with pytest.raises(TypeError, match=r"a state cannot hold .* \(at agent/leaf\)"):
        pack({"agent": {"leaf": leaf}})


@pytest.mark.parametrize("key", [1, None, ("a",), b"a"])
def test_keys_are_strings(key: Any) -> None:
    with pytest.raises(TypeError, match="keys of a state are strings"):
        pack({"a": {key: 1}})


def test_the_reserved_name_is_refused() -> None:
    with pytest.raises(TypeError, match="__metadata__"):
        pack({"__metadata__": np.ones(1)})
    assert_same(through_bytes({"__metadata__": 1}), {"__metadata__": 1})


def test_without_tensors_torch_is_not_imported() -> None:
    program = (
        "import sys, numpy as np\n"
        "from helpers.checkpoints.state_files import pack, unpack\n"
        "unpack(bytearray(b''.join(pack({'a': np.ones(2), 'b': [1]}))))\n"
        "assert 'torch' not in sys.modules"
    )
    environment = clean_environment()
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env=environment)
