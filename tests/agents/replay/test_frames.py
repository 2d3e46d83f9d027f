"""A memory that keeps each stacked frame once gives what one that keeps whole observations gives."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from agents.algorithms import ALGORITHMS
from agents.base import Transitions
from agents.checks import record_of
from agents.replay.memory import ReplayMemory
from helpers.pictures import Picture, PictureSpace

FRAMES, PIXELS, ROWS, ENVIRONMENTS = 3, 5, 20, 2


def steps_of_games(count: int, seed: int = 0) -> Transitions:
    """T steps of N environments with stacked frames, episodes of 1 to 6 steps, half of which are truncated."""
    rng = np.random.default_rng(seed)
    fields: dict[str, Any] = {
        "observations": np.zeros((count, ENVIRONMENTS, FRAMES * PIXELS), np.uint8),
        "next_observations": np.zeros((count, ENVIRONMENTS, FRAMES * PIXELS), np.uint8),
        "actions": rng.integers(4, size=(count, ENVIRONMENTS)),
        "rewards": rng.normal(size=(count, ENVIRONMENTS)).astype(np.float32),
        "terminated": np.zeros((count, ENVIRONMENTS), bool),
        "truncated": np.zeros((count, ENVIRONMENTS), bool),
    }
    for n in range(ENVIRONMENTS):
        stack, left = [], 0
        for t in range(count):
            if not left:
                stack, left = [rng.integers(256, size=PIXELS)] * FRAMES, int(rng.integers(1, 7))
            fields["observations"][t, n] = np.concatenate(stack)
            stack = [*stack[1:], rng.integers(256, size=PIXELS)]
            fields["next_observations"][t, n] = np.concatenate(stack)
            left -= 1
            if not left:
                fields["terminated" if rng.random() < 0.5 else "truncated"][t, n] = True
    return Transitions(**fields)


def memory(frames: int, n_step: int = 1) -> ReplayMemory:
    return ReplayMemory(
        rows=ROWS,
        environments=ENVIRONMENTS,
        observation_shape=(FRAMES * PIXELS,),
        observation_dtype=np.uint8,
        action_shape=(),
        action_dtype=np.int64,
        dtype=np.float32,
        n_step=n_step,
        frames=frames,
    )


def part(whole: Transitions, start: int, stop: int) -> Transitions:
    return Transitions(**{k: v[start:stop] for k, v in vars(whole).items() if k != "extras"})


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("count", [7, ROWS, 53])
def test_stacks_are_put_together_again(count: int, n_step: int) -> None:
    steps, apart, whole = steps_of_games(count), memory(FRAMES, n_step), memory(1, n_step)
    for start in range(0, count, 4):
        for each in (apart, whole):
            each.add(part(steps, start, min(start + 4, count)))
    uniforms = np.random.default_rng(1).random((ENVIRONMENTS, 200))
    found = apart.sample(uniforms)
    into = {"observation": np.zeros_like(found["observation"])}
    np.testing.assert_array_equal(apart.sample(uniforms, into)["observation"], found["observation"])
    kept = whole.transitions_at(found["index"])
    np.testing.assert_array_equal(found["observation"], kept.observations)
    again = apart.transitions_at(found["index"])
    np.testing.assert_array_equal(again.observations, kept.observations)
    np.testing.assert_array_equal(again.next_observations, kept.next_observations)
    if n_step == 1:
        np.testing.assert_array_equal(found["next_observation"], kept.next_observations)
        np.testing.assert_array_equal(found["reward"], kept.rewards)
    else:
        # the last of the summed steps, in the memory that keeps all of it
        _, _, end = whole._look_ahead(found["index"])
        wanted = whole.transitions_at(end).next_observations
        np.testing.assert_array_equal(found["next_observation"], wanted)
    rows = np.unique(found["index"] // ENVIRONMENTS)
    lost = {(apart.position + i) % ROWS for i in range(FRAMES - 1)} if count > ROWS - 1 else set()
    assert set(rows.tolist()) == set(range(min(count, ROWS))) - lost


def test_a_cut_episode_is_no_part_of_the_next() -> None:
    steps, apart = steps_of_games(6, seed=4), memory(FRAMES)
    steps.terminated[:], steps.truncated[:] = False, False
    apart.add(part(steps, 0, 2))
    apart.cut()
    fresh = part(steps, 2, 3)
    fresh.observations[:] = np.tile(fresh.observations[..., -PIXELS:], FRAMES)
    apart.add(fresh)
    found = apart.transitions_at(np.array([2 * ENVIRONMENTS]))
    np.testing.assert_array_equal(found.observations[0], fresh.observations[0, 0])


def test_a_restored_memory_is_the_same() -> None:
    steps, one, other = steps_of_games(31), memory(FRAMES), memory(FRAMES)
    one.add(steps)
    shards = {name: np.array(each.array) for name, each in one.shards().items()}
    other.load(one.state_dict(), shards)
    uniforms = np.random.default_rng(1).random((ENVIRONMENTS, 50))
    for name, each in one.sample(uniforms).items():
        np.testing.assert_array_equal(other.sample(uniforms)[name], each)


def test_bytes_of_a_hundred_thousand_pictures() -> None:
    """84 x 84, four frames, in grey: 1.4 GB where whole observations take 5.6 GB, and floats 22.6 GB."""
    spaces = PictureSpace(Picture(4, 84, 84, 4)), gymnasium.spaces.Discrete(6)
    kind: Any = ALGORITHMS["dqn"]
    settings = {"algo": "dqn", "q_perception_stack": "nature_cnn", "frame_stack": 4}
    apart = record_of(kind(**settings), spaces).itemsize
    whole = record_of(kind(**settings, priority_exponent=0.6), spaces).itemsize
    assert (apart, whole) == (2 * 7056 + 16, 8 * 7056 + 16)
