"""Files that other libraries wrote themselves (written/): each read as the numbers that they were given.

`make_fixtures.py` beside them made those of imitation 1.0.1 (datasets 5.2.0) and Stable-Baselines3 2.9.2.
`robomimic_of_d4rl.hdf5` is what robomimic 0.3.0's `scripts/conversion/convert_d4rl.py` made of 15 random steps in
D4RL's columns, with stand-ins for the packages `gym` and `d4rl` that give it these columns.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from helpers.demos.load import find_demos, read_demos
from helpers.errors import ConfigurationError
from tests.helpers.demos.cases import settings

WRITTEN = Path(__file__).parent / "written"


def read(path):
    return read_demos(settings(expert_path=str(path)), None).episodes


@pytest.mark.parametrize("name", ["imitation", "imitation_choices"])
def test_imitations_trajectories_come_back_exactly(name):
    pytest.importorskip("pyarrow")
    with np.load(WRITTEN / f"{name}_arrays.npz") as given:
        for i, demo in enumerate(read(WRITTEN / name)):
            for found, wanted in (
                (demo.observations, given[f"obs{i}"][:-1]),
                (demo.next_observations, given[f"obs{i}"][1:]),
                (demo.actions, given[f"acts{i}"]),
                (demo.rewards, given[f"rews{i}"]),
            ):
                assert found.dtype == wanted.dtype
                np.testing.assert_array_equal(found, wanted)
            ends = bool(demo.terminated[-1]), bool(demo.truncated[-1])
            assert ends == (bool(given[f"terminal{i}"]), not given[f"terminal{i}"])
        assert i == 2


@pytest.mark.parametrize("name", ["sb3", "sb3_full"])
def test_a_replay_buffer_is_read_in_its_order(name):
    """Time limits of 7 steps: the ends are truncations, which `dones` alone does not say."""
    with np.load(WRITTEN / f"{name}.npz") as given:
        turn = -int(given["pos"]) if given["full"] else 0
        columns = {each: np.roll(given[each], turn, axis=0)[:, 0] for each in given.files[:6]}
    first = 0
    if name == "sb3_full":  # its oldest rows are the rest of an episode
        first = int(np.flatnonzero(columns["dones"])[0]) + 1
    demos = read(WRITTEN / f"{name}.npz")
    assert [demo.length for demo in demos] == [7, 7]
    for i, demo in enumerate(demos):
        rows = slice(first + 7 * i, first + 7 * i + 7)
        for each in ("observations", "next_observations", "actions", "rewards"):
            np.testing.assert_array_equal(getattr(demo, each), columns[each][rows], err_msg=each)
        assert demo.truncated[-1] and not demo.terminated.any()


def test_a_pickled_replay_buffer_is_refused():
    with pytest.raises(ConfigurationError, match="is a pickle"):
        find_demos(str(WRITTEN / "sb3.pkl"))


def test_a_copy_in_the_place_of_the_last_successor_is_not_learnt_from():
    """robomimic's converter of D4RL's files writes the last observation as its own successor."""
    path = WRITTEN / "robomimic_of_d4rl.hdf5"
    demos = read(path)
    with h5py.File(path) as file:
        for i, demo in enumerate(demos):
            group = file[f"data/demo_{i}"]
            states = group["obs/flat"][:]
            assert np.array_equal(group["next_obs/flat"][-1], states[-1])
            np.testing.assert_array_equal(demo.observations, states[:-1])
            np.testing.assert_array_equal(demo.next_observations, states[1:])
            np.testing.assert_array_equal(demo.actions, group["actions"][:-1])
            assert demo.truncated[-1] and not demo.terminated.any()
    assert len(demos) == 3 and "no true last next_obs" in find_demos(str(path)).notes[0]


def rows(path, **changes):
    """Three episodes of 5 steps in D4RL's columns: a terminal, a timeout, a terminal."""
    rng = np.random.default_rng(0)
    states = rng.normal(size=(3, 6, 3))
    ends = np.arange(15) % 5 == 4
    columns = {
        "observations": states[:, :-1].reshape(15, 3),
        "next_observations": states[:, 1:].reshape(15, 3),
        "actions": rng.uniform(-1, 1, size=(15, 2)),
        "rewards": rng.normal(size=15),
        "terminals": ends & (np.arange(15) // 5 != 1),
        "timeouts": ends & (np.arange(15) // 5 == 1),
    }
    columns |= {name: each for name, each in changes.items() if not callable(each)}
    columns |= {name: each(columns) for name, each in changes.items() if callable(each)}
    np.savez(path, **{name: each for name, each in columns.items() if each is not None})
    return path


def test_successors_moved_by_a_row_do_not_lead_into_the_next_episode(tmp_path):
    """As `observations[1:]` gives them: at an end they are the first state of the next episode."""
    path = rows(
        tmp_path / "x.npz",
        next_observations=lambda c: np.roll(c["observations"], -1, axis=0),
    )
    demos = read(path)
    assert [demo.length for demo in demos] == [4, 4, 4]
    for demo in demos:
        np.testing.assert_array_equal(demo.next_observations[:-1], demo.observations[1:])
        assert demo.truncated[-1] and not demo.terminated.any()
    (note,) = find_demos(str(path)).notes
    assert "next_observations at an end are the next row's observation" in note


def test_a_flat_file_with_copies_at_the_ends(tmp_path):
    def copied(columns):
        ends = np.arange(15)[:, None] % 5 == 4
        return np.where(ends, columns["observations"], columns["next_observations"])

    path = rows(tmp_path / "x.npz", next_observations=copied)
    assert [demo.length for demo in read(path)] == [4, 4, 4]
    assert "is a copy of its observation" in find_demos(str(path)).notes[0]


def test_an_end_without_a_reset_is_told(tmp_path):
    """As at a goal that does not end the recording; the other ends are followed by resets."""

    def going_on(columns):
        found = columns["next_observations"].copy()
        found[4] = columns["observations"][5]
        return found

    path = rows(tmp_path / "x.npz", next_observations=going_on)
    assert [demo.length for demo in read(path)] == [5, 5, 5]
    assert "after 1 of 2 ends the next row continues from there" in find_demos(str(path)).notes[0]
    assert find_demos(str(rows(tmp_path / "whole.npz"))).notes == ()


def test_without_any_sign_of_a_time_limit_a_file_is_refused(tmp_path):
    """D4RL's first files had no timeouts: two episodes would be read as one."""
    path = rows(tmp_path / "x.npz", timeouts=None, next_observations=None)
    with pytest.raises(ConfigurationError, match="has terminals alone") as caught:
        find_demos(str(path))
    assert str(caught.value).count("\n") == 1


def test_episodes_of_one_step_that_are_left_out_are_counted(tmp_path):
    """D4RL's antmaze marks each step at the goal as terminal."""
    path = rows(
        tmp_path / "x.npz",
        next_observations=None,
        terminals=np.isin(np.arange(15), [4, 5, 6, 14]),
    )
    assert [demo.length for demo in read(path)] == [4, 2, 4]
    assert "2 steps belong to no whole episode of two steps" in find_demos(str(path)).notes[0]
