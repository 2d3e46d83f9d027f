"""Demonstrations as Minari datasets: ours there and back, those of others read, and none of them obeyed."""

from __future__ import annotations

import json
import sys

import h5py
import minari
import numpy as np
import pytest
from gymnasium.spaces import Discrete, MultiDiscrete

from helpers.demos.checks import check_demo
from helpers.demos.episode import Demo, Expected
from helpers.demos.formats.minari_writer import write_minari
from helpers.demos.hdf5 import demo_path, read_demo, same_bits, space_attributes, write_demo
from helpers.demos.load import find_demos, read_demos
from helpers.demos.report import export
from helpers.errors import ConfigurationError, StorageError
from tests.helpers.demos.cases import MADE_BY, settings, steps_of, write_demos

ID = "minari:hopper/expert-v0"
pytestmark = pytest.mark.filterwarnings(
    "ignore:.* is set to None:UserWarning",
)  # datasets of others


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


def loaded(path, **changes) -> list[Demo]:
    return list(read_demos(settings(expert_path=str(path), **changes), None).episodes)


def equal(left: Demo, right: Demo) -> bool:
    one, two = dict(left.arrays()), dict(right.arrays())
    return one.keys() == two.keys() and all(
        one[name].dtype == two[name].dtype and same_bits(one[name], two[name]) for name in one
    )


@pytest.mark.parametrize("space", [Discrete(4, start=-1), MultiDiscrete([3, 4], start=[0, -1])])
def test_choices_of_any_start_go_there_and_back_with_their_space(tmp_path, space):
    for i in range(2):
        steps = steps_of(i, 30, terminated=i == 1)
        space.seed(i)
        steps["actions"] = np.stack([space.sample() for _ in range(30)])
        write_demo(demo_path(tmp_path / "first", "Hopper-v5", i), steps, space_attributes(space))
    first = loaded(tmp_path / "first")
    export(ID, first)
    assert minari.load_dataset(ID.removeprefix("minari:")).action_space == space
    for one, two in zip(first, loaded(ID), strict=True):
        assert equal(one, two) and one.actions is not None and one.actions.dtype == np.int64


@pytest.mark.parametrize("discrete", [False, True])
def test_there_and_back_every_byte_is_the_same(tmp_path, discrete):
    origin = {name: value for name, value in MADE_BY.items() if not discrete or "low" not in name}
    for i in range(3):
        steps = steps_of(i, 30 + i, terminated=i == 1, discrete=discrete)
        write_demo(demo_path(tmp_path / "first", "Hopper-v5", i), steps, origin | {"seed": i})
    first = loaded(tmp_path / "first")
    export(ID, first)
    between = loaded(ID)
    export(str(tmp_path / "second"), between)
    second = loaded(tmp_path / "second")
    assert len(first) == len(between) == len(second) == 3
    for one, two, three in zip(first, between, second, strict=True):
        assert equal(one, two) and equal(two, three)
        assert one.sha256 == two.sha256 == three.sha256
        assert one.origin.keys() == two.origin.keys() == three.origin.keys()
        for name, value in one.origin.items():
            assert np.array_equal(value, three.origin[name]), name
            assert type(value) is type(three.origin[name])
    paths = [sorted((tmp_path / name).iterdir()) for name in ("first", "second")]
    assert [path.name for path in paths[0]] == [path.name for path in paths[1]]
    for left, right in zip(*paths, strict=True):
        assert left.read_bytes() == right.read_bytes()


def test_the_library_reads_what_is_written(tmp_path, root):
    import minari

    write_demos(tmp_path / "demos", 3)
    demos = loaded(tmp_path / "demos")
    assert write_minari(ID, demos) == root / "hopper" / "expert-v0"
    dataset = minari.load_dataset("hopper/expert-v0")
    assert dataset.total_episodes == 3 and dataset.total_steps == 40 + 41 + 42
    assert dataset.spec.env_spec.id == "Hopper-v5"
    assert dataset.action_space.high.tolist() == [1, 1, 1]
    assert minari.list_local_datasets()["hopper/expert-v0"]["requirements"] == ["mujoco==3.17.0"]
    for demo, episode in zip(demos, dataset.iterate_episodes(), strict=True):
        assert len(episode.observations) == demo.length + 1
        assert same_bits(episode.observations[:-1], demo.observations)
        assert same_bits(episode.observations[1:], demo.next_observations)
        assert same_bits(episode.actions, demo.actions) and same_bits(episode.rewards, demo.rewards)
        assert same_bits(episode.terminations, demo.terminated)
        assert same_bits(episode.truncations, demo.truncated)
    metadata = list(dataset.storage.get_episode_metadata([1]))[0]
    assert metadata["seed"] == 7 and metadata["milozero"]["run"] == "expert.seed00"


def test_states_alone_come_back_alone(tmp_path):
    write_demos(tmp_path / "demos", 2)
    export(ID, loaded(tmp_path / "demos", expert_state_only=True))
    assert all(demo.actions is None for demo in loaded(ID))
    whole = loaded(tmp_path / "demos")
    assert same_bits(loaded(ID)[1].observations, whole[1].observations)


@pytest.fixture()
def foreign(root):
    """A dataset that the library's own collector could have made, of an environment as float32."""
    import gymnasium
    import minari
    from minari.data_collector.episode_buffer import EpisodeBuffer

    buffers = []
    for i in range(2):
        steps = steps_of(i, 25, terminated=False)
        states = np.concatenate([steps["observations"], steps["next_observations"][-1:]])
        buffers.append(
            EpisodeBuffer(
                seed=40 + i,
                observations=states.astype(np.float32),
                actions=steps["actions"],
                rewards=list(steps["rewards"]),
                terminations=list(steps["terminated"]),
                truncations=list(steps["truncated"]),
                infos={"x": np.arange(26.0)},
            ),
        )
    minari.create_dataset_from_buffers(
        "D4RL/hopper/medium-v2",
        buffers,
        env=gymnasium.make("Hopper-v5"),
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (11,), np.float32),
        requirements=["mujoco==3.2.3", "gymnasium>=1.0"],
    )
    return root / "D4RL" / "hopper" / "medium-v2"


def test_a_dataset_of_others_is_read(foreign):
    for place in (str(foreign), "minari:D4RL/hopper/medium-v2"):
        demos = loaded(place)
        assert [demo.length for demo in demos] == [25, 25]
        assert demos[0].origin["env_id"] == "Hopper-v5" and demos[1].origin["seed"] == 41
        assert demos[0].origin["mujoco_version"] == "3.2.3"
        assert demos[0].origin["action_high"].tolist() == [1, 1, 1]
        assert demos[0].observations.dtype == np.float32 and demos[0].truncated[-1]
        assert same_bits(demos[0].rewards, steps_of(0, 25)["rewards"])
    here = Expected(
        "Hopper-v5",
        "3.17.0",
        simulator="MuJoCo",
        simulator_package="mujoco",
    )
    with pytest.raises(ConfigurationError, match="MuJoCo 3.2.3, here is 3.17.0"):
        read_demos(settings(expert_path=str(foreign)), here)


def test_numbers_of_a_foreign_dataset_survive_as_files(foreign, tmp_path):
    demos = loaded(foreign)
    export(str(tmp_path / "files"), demos)
    for demo, path in zip(demos, sorted((tmp_path / "files").iterdir()), strict=True):
        back = read_demo(path)
        assert np.array_equal(back.observations, demo.observations)
        assert same_bits(back.actions, demo.actions)


def test_a_dataset_is_read_and_not_obeyed(foreign, tmp_path, monkeypatch):
    """Without spaces the library would import and call what the dataset names as its environment."""
    (tmp_path / "trap_of_a_dataset.py").write_text("raise SystemExit('the dataset was obeyed')\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = foreign / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    specification = json.loads(metadata["env_spec"]) | {
        "entry_point": "trap_of_a_dataset:Environment",
    }
    metadata["env_spec"] = json.dumps(specification)
    for name in ("observation_space", "action_space"):
        del metadata[name]
    path.write_text(json.dumps(metadata))
    assert len(loaded(foreign)) == 2
    assert "trap_of_a_dataset" not in sys.modules


def damage(foreign, how):
    path = foreign / "data" / "main_data.hdf5"
    metadata = foreign / "data" / "metadata.json"
    if how == "cut off":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "no JSON":
        metadata.write_text("{")
    elif how in ("arrow", "zarr"):
        metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"data_format": how}))
    elif how == "too many":
        metadata.write_text(json.dumps(json.loads(metadata.read_text()) | {"total_episodes": 3}))
    else:
        with h5py.File(path, "a") as file:
            episode = file["episode_1"]
            if how == "in parts":
                del episode["observations"]
                episode["observations/achieved"] = np.zeros((26, 3))
            elif how == "one too few":
                observations = episode["observations"][:-1]
                del episode["observations"]
                episode["observations"] = observations
            elif how == "no end":
                episode["truncations"][:] = False


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("cut off", "not a complete HDF5 file"),
        ("no JSON", "not a description of a Minari dataset"),
        ("zarr", "in the format zarr"),
        ("arrow", "has 0 files *.arrow"),
        ("too many", "episode_2 is missing"),
        ("in parts", "observations in several parts"),
        ("one too few", "(25, 11) for 25 rewards"),
        ("no end", "episode 1: the episode ends nowhere"),
    ],
)
def test_a_dataset_that_cannot_be_used_is_refused(foreign, how, words):
    damage(foreign, how)
    with pytest.raises(ConfigurationError) as caught:
        loaded(foreign)
    assert words in str(caught.value) and str(caught.value).count("\n") == 1


def test_what_cannot_be_a_dataset_is_refused_and_leaves_nothing(tmp_path, root):
    write_demos(tmp_path / "demos", 2)
    demos = loaded(tmp_path / "demos")
    write_minari(ID, demos)
    before = sorted(root.rglob("*"))
    with pytest.raises(StorageError, match="exists"):
        write_minari(ID, demos)
    with pytest.raises(ConfigurationError, match="is not a Minari dataset"):
        write_minari("minari:h/x-v0", demos)
    thinned = {name: array[::7] for name, array in dict(demos[0].arrays()).items()}
    with pytest.raises(
        ConfigurationError,
        match="do not start in the state where the previous one ended",
    ):
        write_minari("minari:hopper/thin-v0", [Demo(**thinned)])
    wider = {name: np.tile(array, 2) for name, array in thinned.items() if array.ndim == 2}
    assert wider and sorted(root.rglob("*")) == before


def test_an_export_that_fails_leaves_nothing(tmp_path, root, monkeypatch):
    import minari

    def fail(*_, **__):
        (root / "hopper" / "expert-v0" / "data").mkdir(parents=True)
        raise OSError(28, "No space left on device")

    write_demos(tmp_path / "demos", 1)
    monkeypatch.setattr(minari, "create_dataset_from_buffers", fail)
    with pytest.raises(StorageError, match="No space left"):
        write_minari(ID, loaded(tmp_path / "demos"))
    assert not (root / "hopper" / "expert-v0").exists()


def test_all_is_checked_in_a_dataset_too(tmp_path):
    write_demos(tmp_path / "demos", 2)
    export(ID, loaded(tmp_path / "demos"))
    for name in find_demos(ID).names:
        assert name.endswith(("episode 0", "episode 1"))
    check_demo(find_demos(ID).read(0))
