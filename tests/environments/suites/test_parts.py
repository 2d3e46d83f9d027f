"""Observations of any space as vectors: Gymnasium's numbers, and a part for every one of them."""

from __future__ import annotations

import json
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces.utils import flatten, flatten_space, unflatten
from hypothesis import given, settings
from hypothesis import strategies as st

from environments.processes.spaces import describe_space, space_of
from environments.suites.parts import FlatSpace, component_names, flat_space, parts_of
from environments.suites.wrappers import VectorAction, is_plain
from registry.package.observation_parts import flatten_parts

SHAPES = st.lists(st.integers(1, 3), max_size=3).map(tuple)
NUMBERS = st.sampled_from(["float32", "float64", "uint8", "int8", "int32", "int64"])


def box(shape: tuple[int, ...], dtype: str) -> spaces.Space:
    low, high = (-np.inf, np.inf) if dtype.startswith("float") else (0, 100)
    return spaces.Box(low, high, shape, np.dtype(dtype).type)


def several(sizes: list[int], start: int) -> spaces.Space:
    return spaces.MultiDiscrete(sizes, start=[start] * len(sizes))


LEAVES = st.one_of(
    st.builds(box, SHAPES, NUMBERS),
    st.builds(
        lambda n, start: spaces.Discrete(n, start=start),
        st.integers(1, 5),
        st.integers(-3, 3),
    ),
    st.builds(several, st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(-2, 2)),
    st.builds(spaces.MultiBinary, st.lists(st.integers(1, 3), min_size=1, max_size=2)),
    st.builds(lambda n: spaces.Text(n, charset="abc"), st.integers(1, 4)),
)
NAMES = st.text("abxyz", min_size=1, max_size=3)
SPACES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(spaces.Dict),
        st.lists(inner, min_size=1, max_size=3).map(spaces.Tuple),
    ),
    max_leaves=6,
)


@given(space=SPACES, seed=st.integers(0, 2**31))
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_a_vector_is_gymnasiums_and_a_contract_tells_each_of_its_numbers_once(
    space: spaces.Space,
    seed: int,
) -> None:
    space.seed(seed)
    sample: Any = space.sample()
    flat, parts = flat_space(space), json.loads(json.dumps(parts_of(space)))
    vector = np.asarray(flatten(space, sample), flat.dtype)
    assert flat.shape == flatten_space(space).shape == vector.shape
    assert flat.contains(vector)
    if all(
        part["kind"] != "Text" for part in parts
    ):  # Gymnasium's own takes texts back from whole numbers alone
        np.testing.assert_array_equal(flatten(space, unflatten(space, vector)), vector)
    # by the contract, without Gymnasium; of one and of two at once
    np.testing.assert_array_equal(flatten_parts(parts, sample, flat.dtype), vector)
    covered = [
        place for part in parts for place in range(part["first"], part["first"] + part["size"])
    ]
    assert covered == list(range(len(vector)))
    names = component_names(flat)
    assert names is not None and len(names) == len(set(names)) == len(vector)
    again = space_of(describe_space(flat))
    assert isinstance(again, FlatSpace) and again == flat and again.parts == flat.parts


def test_numbers_keep_their_digits() -> None:
    """They were float32 whatever the environment gave."""
    wide = spaces.Dict(a=spaces.Box(-np.inf, np.inf, (2,), np.float64), b=spaces.Discrete(2))
    assert flat_space(wide).dtype == np.float64
    assert flat_space(spaces.Box(0, 2**40, (2, 2), np.int64)).dtype == np.float64
    assert flat_space(spaces.Box(0, 255, (2, 2), np.uint8)).dtype == np.float32
    assert flat_space(spaces.MultiDiscrete([2, 3])).dtype == np.float32


def test_a_batch_of_parts_is_a_batch_of_vectors() -> None:
    space = spaces.Dict(
        a=spaces.Box(-1, 1, (2, 2)),
        b=spaces.Discrete(3, start=1),
        c=spaces.Text(2),
    )
    samples: list[Any] = [space.sample() for _ in range(3)]
    batch = {name: [each[name] for each in samples] for name in "abc"}
    rows = np.stack([np.asarray(flatten(space, each)) for each in samples])
    np.testing.assert_array_equal(flatten_parts(parts_of(space), batch, np.dtype(float)), rows)


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        ({"b": 1}, "has no part a"),
        ({"a": np.zeros(3), "b": 1}, r"a is \(3,\), expected \(2, 2\)"),
        ({"a": np.zeros((2, 2)), "b": 4}, "b is 4, which is no choice"),
        ({"a": np.zeros((2, 2, 2)), "b": 1}, "not of one batch"),
        (np.zeros(3), "has no part a"),
    ],
)
def test_a_wrong_observation_is_told_by_its_part(observation: Any, words: str) -> None:
    space = spaces.Dict(a=spaces.Box(-1, 1, (2, 2)), b=spaces.Discrete(3, start=1))
    with pytest.raises(ValueError, match=words):
        flatten_parts(parts_of(space), observation, np.dtype(float))


class Taking(gymnasium.Env):
    """Keeps the last action."""

    def __init__(self, space: spaces.Space) -> None:
        self.action_space, self.observation_space = space, spaces.Discrete(2)
        self.taken: Any = None

    def step(self, action: Any) -> Any:
        self.taken = action
        return 0, 0.0, False, False, {}


@given(shape=SHAPES, dtype=NUMBERS, start=st.integers(-2, 2), kind=st.integers(0, 2))
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_an_action_of_any_form_reaches_the_environment_as_it_takes_it(
    shape: tuple[int, ...],
    dtype: str,
    start: int,
    kind: int,
) -> None:
    shape = shape or (2,)
    sizes = np.arange(2, 2 + np.prod(shape)).reshape(shape)
    space: spaces.Space = (
        box(shape, dtype),
        spaces.MultiDiscrete(sizes, start=np.full(shape, start)),
        spaces.MultiBinary(shape),
    )[kind]
    env = Taking(space)
    wrapped = env if is_plain(space) else VectorAction(env)
    assert is_plain(wrapped.action_space) and len(wrapped.action_space.shape or ()) == 1
    action: Any = wrapped.action_space.sample()
    wrapped.step(action)
    assert space.contains(env.taken)
    np.testing.assert_array_equal(np.ravel(env.taken), action)
