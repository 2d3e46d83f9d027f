"""Demonstrations as files: what is written is read, what cannot be trusted is refused, what is chosen is known."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import h5py
import numpy as np
import pytest

from environments.expected import expected_of
from environments.factory import make_vector_env
from environments.gymnasium_envs.registered import MUJOCO_NAMES
from helpers.demos.checks import check_demo, check_spaces, check_together
from helpers.demos.episode import Expected
from helpers.demos.hdf5 import demo_path, read_datasets, read_demo, same_bits, write_demo
from helpers.demos.load import find_demos, read_demos, select_indices, subsample_steps
from helpers.demos.summary import figures_of
from helpers.errors import ConfigurationError, StorageError
from tests.helpers.demos.cases import MADE_BY, settings, steps_of, write_demos, write_plain

HOPPER = Expected(
    "Hopper-v5",
    version("mujoco"),
    1000,
    11,
    3,
    simulator="MuJoCo",
    simulator_package="mujoco",
    states_are_raw=True,
)


def refused(action, *words: str, error: type[Exception] = ConfigurationError) -> None:
    with pytest.raises(error) as caught:
        action()
    assert str(caught.value).count("\n") == 1
    for word in words:
        assert word in str(caught.value), caught.value


# Files


@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize("terminated", [False, True])
def test_what_is_written_is_read_bit_for_bit(tmp_path, terminated, discrete):
    steps = steps_of(1, terminated=terminated, discrete=discrete)
    path = demo_path(tmp_path, "Hopper-v5", 3)
    write_demo(path, steps, MADE_BY)
    demo = read_demo(path)
    check_demo(demo)
    for name, array in demo.arrays():
        assert array.dtype == steps[name].dtype and same_bits(array, steps[name]), name
    assert {name: demo.origin[name] for name in MADE_BY if "action" not in name} == {
        name: value for name, value in MADE_BY.items() if "action" not in name
    }
    assert type(demo.origin["seed"]) is int and type(demo.origin["deterministic"]) is bool
    assert demo.origin["action_low"].tolist() == [-1, -1, -1]
    assert [each.name for each in tmp_path.iterdir()] == [path.name]  # nothing unfinished beside it


def test_states_are_stored_once_and_read_as_the_field_reads_them(tmp_path):
    steps = steps_of(1, 1000)
    path = tmp_path / "a_demo000.h5"
    write_demo(path, steps, MADE_BY)
    assert path.stat().st_size < 0.8 * sum(array.nbytes for array in steps.values())
    with h5py.File(path) as file:
        assert file["obs0"].is_virtual and file["obs1"].is_virtual
        assert np.array_equal(file["obs0"][3:5], steps["observations"][3:5])
        assert np.array_equal(file["obs1"][-1], steps["next_observations"][-1])
        assert file["ep_lens"][()] == 1000 and file["acs"].dtype == np.float32
        assert file["ep_env_rets"][()] == steps["rewards"].sum()
    path.rename(tmp_path / "moved.h5")
    assert same_bits(read_datasets(tmp_path / "moved.h5")[0]["obs1"], steps["next_observations"])


def test_the_same_content_is_the_same_file_at_any_time(tmp_path):
    for name in ("now", "later"):
        write_demo(
            tmp_path / name,
            steps_of(1),
            dict(sorted(MADE_BY.items(), reverse=name == "now")),
        )
        time.sleep(1.1)  # HDF5 keeps times in seconds
    assert (tmp_path / "now").read_bytes() == (tmp_path / "later").read_bytes()


def test_steps_that_do_not_follow_one_another_keep_their_successors(tmp_path):
    steps = {name: array[::7] for name, array in steps_of(1, 50).items()}
    steps["terminated"][-1] = True
    write_demo(tmp_path / "a_demo000.h5", steps, {})
    demo = read_demo(tmp_path / "a_demo000.h5")
    assert same_bits(demo.next_observations, steps["next_observations"])
    assert same_bits(demo.observations, steps["observations"])


def test_actions_keep_what_float32_would_lose(tmp_path):
    steps = steps_of(1)
    exact = steps["actions"].astype(np.float64)
    write_demo(tmp_path / "narrow.h5", steps | {"actions": exact}, {})
    write_demo(tmp_path / "wide.h5", steps | {"actions": exact + 1e-12}, {})
    narrow = read_demo(tmp_path / "narrow.h5").actions
    assert narrow is not None and narrow.dtype == np.float32
    assert same_bits(read_demo(tmp_path / "wide.h5").actions, exact + 1e-12)


def test_states_alone(tmp_path):
    steps = steps_of(1)
    del steps["actions"]
    write_demo(tmp_path / "a_demo000.h5", steps, MADE_BY)
    demo = read_demo(tmp_path / "a_demo000.h5")
    check_demo(demo)
    assert demo.actions is None
    assert figures_of([demo], [range(50)])["actions"] is None


def test_a_file_is_never_replaced(tmp_path):
    path = write_demos(tmp_path, 1)[0]
    before = path.read_bytes()
    refused(lambda: write_demo(path, steps_of(9), {}), "exists", error=StorageError)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("limit", "is_cut"), [(50, True), (51, False), (1000, False)])
def test_files_of_other_code_bases_end_as_their_length_says(tmp_path, limit, is_cut):
    path = write_plain(tmp_path / "Hopper-v3_demo000.h5", steps_of(1))
    demo = read_demo(path, expected=Expected("Hopper-v5", time_limit=limit))
    check_demo(demo)
    assert bool(demo.truncated[-1]) is is_cut and bool(demo.terminated[-1]) is not is_cut
    assert demo.origin["env_id"] == "Hopper-v3" and str(limit) in demo.origin["ends"]
    refused(lambda: read_demo(path), "does not say", "--env_id")


def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path):
    path = write_demos(tmp_path, 1)[0]
    whole = path.read_bytes()
    for length in (0, 10, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(lambda: read_demo(path), path.name, "not a complete HDF5 file", "Record it again")


def test_altered_numbers_are_found(tmp_path):
    path = tmp_path / "a_demo000.h5"
    write_demo(path, steps_of(1, 500), {})
    with h5py.File(path) as file:
        chunk = file["observations"].id.get_chunk_info(0)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 1
    path.write_bytes(data)
    refused(lambda: read_demo(path), "not a complete HDF5 file")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"obs1": None}, ["no dataset obs1"]),
        ({"env_rews": None}, ["no dataset env_rews"]),
        ({"ep_lens": np.int64(49)}, ["ep_lens is 49", "50"]),
        ({"ep_env_rets": np.float64(1e6)}, ["ep_env_rets is 1000000.0"]),
        ({"obs0": np.zeros((50, 11, 2))}, ["wrong shapes", "(50, 11, 2)"]),
        ({"obs0": np.zeros((49, 11))}, ["wrong shapes", "(49, 11)"]),
        ({"obs1": np.zeros((50, 12))}, ["wrong shapes", "(50, 12)"]),
        ({"acs": np.zeros(50, np.float32)}, ["wrong shapes", "actions (50,)"]),
        ({"acs": np.zeros((49, 3), np.float32)}, ["wrong shapes", "actions (49, 3)"]),
        ({"acs": np.zeros((50, 1), np.int64)}, ["wrong shapes", "actions (50, 1)"]),
        ({"dones1": np.zeros(50, bool)}, ["ends nowhere"]),
        ({"dones1": np.arange(50) == 10}, ["ends in step 10 of 50"]),
        ({"dones1": np.ones(50, bool)}, ["ends in step 0 of 50"]),
        ({"obs0": "a text"}, ["obs0 is not an array of numbers"]),
        ({"obs0": h5py.ExternalLink("other.h5", "obs0")}, ["obs0 is not an array of numbers"]),
        ({"obs0": h5py.SoftLink("/obs1")}, ["obs0 is not an array of numbers"]),
    ],
    ids=str,
)
def test_what_is_no_episode_is_refused(tmp_path, changes, words):
    path = write_plain(tmp_path / "Hopper-v5_demo000.h5", steps_of(1), **changes)
    refused(lambda: check_demo(read_demo(path, expected=HOPPER)), "Hopper-v5_demo000.h5", *words)


@pytest.mark.parametrize("name", ["observations", "actions", "rewards", "next_observations"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(tmp_path, name, value):
    steps = steps_of(1)
    steps = {key: array.copy() for key, array in steps.items()}
    steps[name][17] = value
    write_demo(tmp_path / "a_demo000.h5", steps, {})
    demo = read_demo(tmp_path / "a_demo000.h5")
    refused(lambda: check_demo(demo), f"{name} is not finite in 1 steps, first in step 17")


def test_a_file_cannot_have_another_one_read(tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(50 * 11 * 8))
    path = write_plain(tmp_path / "Hopper-v5_demo000.h5", steps_of(1), obs0=None)
    with h5py.File(path, "a") as file:
        file.create_dataset("obs0", (50, 11), "f8", external=[(str(secret), 0, 50 * 11 * 8)])
    refused(
        lambda: read_demo(path, expected=HOPPER),
        "obs0 is not an array of numbers in this file",
    )
    other = write_plain(tmp_path / "other.h5", steps_of(2))
    path = write_plain(tmp_path / "Hopper-v5_demo001.h5", steps_of(1), obs0=None)
    with h5py.File(path, "a") as file:
        layout = h5py.VirtualLayout((50, 11), "f8")
        layout[:] = h5py.VirtualSource(other, "obs0", (50, 11))
        file.create_virtual_dataset("obs0", layout)
    refused(
        lambda: read_demo(path, expected=HOPPER),
        "obs0 is not an array of numbers in this file",
    )


def test_a_file_that_claims_more_than_there_is_memory_is_refused_before_it_is_read(tmp_path):
    path = write_plain(tmp_path / "Hopper-v5_demo000.h5", steps_of(1), obs0=None)
    with h5py.File(path, "a") as file:
        file.create_dataset("obs0", (10**10, 11), "f8", chunks=(1000, 11))
    refused(lambda: read_demo(path, expected=HOPPER), "unpacked", "memory are free")


# Which are meant, and which fit


def test_a_path_is_a_folder_a_file_or_the_only_folder_below(tmp_path):
    paths = write_demos(tmp_path / "Hopper-v5" / "run.seed00", 3)
    (paths[0].parent / ".tmp-1.h5").write_bytes(b"")
    for place in (tmp_path, tmp_path / "Hopper-v5", paths[0].parent):
        assert find_demos(str(place)).names == [str(path) for path in paths]
    assert find_demos(str(paths[1])).names == [str(paths[1])]
    write_demos(tmp_path / "Hopper-v5" / "run.seed01", 1)
    refused(lambda: find_demos(str(tmp_path)), "2 runs", "run.seed00")
    write_demos(tmp_path, 1)
    assert len(find_demos(str(tmp_path)).names) == 1


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (None, ["--expert_path, the folder of the demonstrations, is not given"]),
        ("nowhere", ["nowhere is not a folder or file", "--save_traj"]),
        (".", ["has no demonstration"]),
        ("minari:x", ["minari:x is not a Minari dataset"]),
        ("minari:../../etc-v0", ["is not a Minari dataset"]),
        ("minari:demos/none-v0", ["is not a Minari dataset", "minari download"]),
    ],
)
def test_a_path_without_demonstrations_is_refused(tmp_path, monkeypatch, path, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    refused(lambda: find_demos(path), *words)


def test_a_thousand_files_are_in_order(tmp_path):
    for i in (1000, 2, 999, 10):
        demo_path(tmp_path, "Hopper-v5", i).touch()
    assert [Path(name).stem[14:] for name in find_demos(str(tmp_path)).names] == [
        "002",
        "010",
        "999",
        "1000",
    ]


def test_which_are_used_depends_on_the_settings_alone(tmp_path):
    write_demos(tmp_path, 8)
    source = find_demos(str(tmp_path))

    def used(num_demos, choice, seed):
        chosen = {"num_demos": num_demos, "expert_demo_choice": choice, "seed": seed}
        return select_indices(source, settings(**chosen))

    assert used(3, "first", 5) == (0, 1, 2)
    assert used(None, "first", 5) == tuple(range(8))
    drawn = {used(3, "seed", seed) for seed in range(30)}
    assert len(drawn) > 10 and all(len(set(each)) == 3 for each in drawn)
    assert {index for each in drawn for index in each} == set(range(8))
    assert used(3, "seed", 5) == used(3, "seed", 5)
    assert set(used(3, "seed", 5)) < set(used(4, "seed", 5))
    refused(lambda: used(9, "first", 0), "--num_demos=9", "holds 8")


def test_steps_are_kept_from_an_offset_that_the_seed_draws():
    config = settings(seed=3)
    kept = subsample_steps(config, 4, 1000)
    assert kept == subsample_steps(config, 4, 1000) and len(kept) == 50
    assert all(step % 20 == kept[0] for step in kept) and 0 <= kept[0] < 20 and kept[-1] >= 980
    offsets = Counter(subsample_steps(settings(seed=s), 0, 1000)[0] for s in range(2000))
    assert (
        set(offsets) == set(range(20))
        and max(offsets.values()) < 160
        and min(offsets.values()) > 50
    )
    assert len({subsample_steps(config, index, 1000)[0] for index in range(16)}) > 5
    assert subsample_steps(settings(expert_demo_subsample=False), 0, 7) == range(7)
    for length in range(1, 30):
        assert len(subsample_steps(config, 2, length)) >= 1


def test_demonstrations_of_the_run_are_loaded(tmp_path):
    write_demos(tmp_path, 4)
    demos = read_demos(settings(expert_path=str(tmp_path), num_demos=2), HOPPER)
    assert demos.indices == (0, 1) and [demo.length for demo in demos.episodes] == [40, 41]
    assert demos.warnings == ()
    alone = read_demos(settings(expert_path=str(tmp_path), expert_state_only=True), HOPPER)
    assert all(demo.actions is None for demo in alone.episodes)
    assert read_demos(settings(num_demos=0), HOPPER).episodes == ()


@pytest.mark.parametrize(
    ("changes", "expected", "words"),
    [
        ({"env_id": "Hopper-v4"}, HOPPER, ["shows Hopper-v4, not Hopper-v5", "--env_id=Hopper-v4"]),
        ({"mujoco_version": "2.3.0"}, HOPPER, ["MuJoCo 2.3.0", "mujoco==2.3.0", "expert_mismatch"]),
    ],
)
def test_strangers_are_refused_or_warned_of(tmp_path, changes, expected, words):
    write_demos(tmp_path, 2, **changes)
    config = settings(expert_path=str(tmp_path))
    refused(lambda: read_demos(config, expected), *words)
    config.expert_mismatch = "warn"
    (warning,) = read_demos(config, expected).warnings
    assert words[0] in warning
    without_mujoco = dataclasses.replace(
        expected,
        simulator_version=None,
        env_id=changes.get("env_id", "Hopper-v5"),
    )
    assert read_demos(settings(expert_path=str(tmp_path)), without_mujoco).warnings == ()


def test_sizes_are_those_of_the_environment_and_of_one_another(tmp_path):
    paths = write_demos(tmp_path, 2)
    demos = [read_demo(path) for path in paths]
    wider = dataclasses.replace(HOPPER, observation_size=17)
    refused(lambda: check_together(demos, wider), "11 numbers", "17 numbers")
    other = dataclasses.replace(demos[1], actions=np.zeros((41, 4), np.float32))
    refused(lambda: check_together([demos[0], other], None), "4 numbers", "3 numbers")
    check_spaces(demos, observation_shape=(11,), action_shape=(3,))
    refused(lambda: check_spaces(demos, observation_shape=(12,), action_shape=(3,)), "(12,)")
    refused(lambda: check_spaces(demos, observation_shape=(11,), action_shape=()), "actions (3,)")


def test_the_same_episode_twice_is_said_whatever_file_it_lies_in(tmp_path):
    write_demos(tmp_path, 2)
    write_plain(tmp_path / "Hopper-v5_demo002.h5", steps_of(1, 41, terminated=False))
    demos = [
        read_demo(p, expected=dataclasses.replace(HOPPER, time_limit=41))
        for p in sorted(tmp_path.iterdir())
    ]
    lines = check_together(demos, None)
    assert (
        len(lines) == 1
        and "demo002.h5 is the same episode as" in lines[0]
        and "demo001" in lines[0]
    )


@pytest.mark.parametrize("name", MUJOCO_NAMES)
def test_what_is_expected_is_what_the_environment_has(name):
    environment = make_vector_env(f"{name}-v5", seeds=[0])
    expected = expected_of(name)
    assert environment.single_observation_space.shape == (expected.observation_size,)
    assert environment.single_action_space.shape == (expected.action_size,)
    assert expected.env_id == f"{name}-v5" and expected.simulator_version == version("mujoco")
    limit = {"Pusher": 100, "Reacher": 50}.get(name, 1000)
    assert expected.time_limit == limit
    environment.close()


def test_what_is_expected_of_other_suites():
    assert expected_of("cheetah-run").time_limit == 1000
    assert expected_of("cheetah-run").simulator_version
    assert expected_of("CartPole-v1") == Expected("CartPole-v1", None, 500, 4, 0, (2,), (0,))
    assert expected_of("Pendulum-v1") == Expected("Pendulum-v1", None, 200, 3, 1)
    assert expected_of("docs/examples/cart.py:Cart").observation_size is None


def test_whole_numbers_are_no_vectors(tmp_path):
    write_demos(tmp_path, 1)
    demos = [read_demo(path) for path in tmp_path.iterdir()]
    whole = dataclasses.replace(HOPPER, action_size=0)
    refused(lambda: check_together(demos, whole), "actions of 3 numbers", "one whole number")
