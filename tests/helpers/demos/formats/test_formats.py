"""Files of other libraries: tiny ones in their layouts, each read as the episodes that were written."""

from __future__ import annotations

import json

import gymnasium
import h5py
import numpy as np
import pytest

from environments.expected import expected_of
from helpers.demos.episode import Expected
from helpers.demos.load import find_demos, read_demos
from helpers.demos.origins import convert
from helpers.demos.report import export
from helpers.errors import ConfigurationError, StorageError
from tests.helpers.demos.cases import settings, steps_of

EPISODES = [steps_of(i, 6 + i, terminated=i == 1) for i in range(3)]
NAMES = ("observations", "actions", "rewards", "next_observations", "terminated", "truncated")


def together(name: str) -> np.ndarray:
    return np.concatenate([each[name] for each in EPISODES])


def flat(**changes):
    """D4RL's columns of all episodes and of two steps of a fourth."""
    columns = {name: together(name) for name in NAMES}
    columns = {
        name: np.concatenate([each, np.zeros_like(each[:2])]) for name, each in columns.items()
    }
    columns["terminals"], columns["timeouts"] = columns.pop("terminated"), columns.pop("truncated")
    return {name: each for name, each in (columns | changes).items() if each is not None}


def d4rl(path, **changes):
    with h5py.File(path, "w") as file:
        for name, each in flat(**changes).items():
            file[name] = each
    return path


def d4rl_npz(path):
    np.savez(path, **flat())
    return path


def replay_buffer(path, *, full=False, told=True, bound=1.0):
    """Of two environments; the second has the same episodes, and zeros behind them."""
    columns = flat()
    ends = columns.pop("terminals"), columns["timeouts"]
    columns["dones"] = ends[0] | ends[1]
    size = len(columns["rewards"]) - 2
    columns = {name: np.stack([each[:size]] * 2, axis=1) for name, each in columns.items()}
    columns["actions"] = columns["actions"] / bound
    if full:  # written over from the second episode on
        columns = {name: np.roll(each, 6, axis=0) for name, each in columns.items()}
    else:
        rest = {name: np.zeros_like(each[:5]) for name, each in columns.items()}
        columns = {name: np.concatenate([each, rest[name]]) for name, each in columns.items()}
    told_columns = {"pos": 6 if full else size, "full": full} if told else {}
    np.savez(path, **columns, **told_columns)
    return path


def imitation_npz(path):
    states = [np.concatenate([e["observations"], e["next_observations"][-1:]]) for e in EPISODES]
    lengths = [len(each["rewards"]) for each in EPISODES]
    np.savez(
        path,
        obs=np.concatenate(states),
        acts=together("actions"),
        rews=together("rewards"),
        infos=np.array([{"pickled": True}] * sum(lengths), dtype=object),
        terminal=np.array([False, True, False]),
        indices=np.cumsum(lengths)[:-1],
    )
    return path


def imitation_folder(folder):
    """As `datasets` saves it: one Arrow stream, its state beside it."""
    import pyarrow
    from pyarrow import ipc

    folder.mkdir()
    states = [np.concatenate([e["observations"], e["next_observations"][-1:]]) for e in EPISODES]
    columns = {
        "obs": [each.tolist() for each in states],
        "acts": [each["actions"].astype(float).tolist() for each in EPISODES],
        "infos": [['{"py/object": "os.system"}'] * len(each["rewards"]) for each in EPISODES],
        "terminal": [False, True, False],
        "rews": [each["rewards"].tolist() for each in EPISODES],
    }
    table = pyarrow.table(columns)
    with ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), table.schema) as stream:
        stream.write_table(table)
    files = [{"filename": "data-00000-of-00001.arrow"}]
    (folder / "state.json").write_text(json.dumps({"_data_files": files}))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def robomimic(path, *, successors=True):
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps({"env_name": "Lift", "type": 1, "env_kwargs": {}})
        for i in (2, 10, 1):  # in the order of numbers
            steps = EPISODES[(1, 2, 10).index(i)]
            group = data.create_group(f"demo_{i}")
            group["actions"], group["rewards"] = steps["actions"], steps["rewards"]
            group["dones"] = steps["terminated"]
            for name, whole in (("obs", "observations"), ("next_obs", "next_observations")):
                if name == "obs" or successors:
                    group[f"{name}/b"], group[f"{name}/a"] = (
                        steps[whole][:, 4:],
                        steps[whole][:, :4],
                    )
                    group[f"{name}/image"] = np.zeros((len(steps["rewards"]), 2, 2, 3), np.uint8)
    return path


WRITERS = {
    "D4RL": (d4rl, "halfcheetah_medium-v2.hdf5", "a flat HDF5 file as D4RL's"),
    "D4RL, NPZ": (d4rl_npz, "rows.npz", "a flat NPZ file"),
    "replay buffer": (replay_buffer, "buffer.npz", "a replay buffer as Stable-Baselines3's"),
    "imitation, NPZ": (imitation_npz, "old.npz", "trajectories of imitation, an NPZ file"),
    "imitation": (imitation_folder, "trajectories", "trajectories of imitation, a Hugging Face"),
    "robomimic": (robomimic, "low_dim.hdf5", "a file of robomimic"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_of_another_library_is_the_episodes_that_were_written(tmp_path, name):
    write, file_name, kind = WRITERS[name]
    place = write(tmp_path / file_name)
    source = find_demos(str(place))
    assert source.kind.startswith(kind)
    demos = read_demos(settings(expert_path=str(place)), None).episodes
    wanted = EPISODES * 2 if name == "replay buffer" else EPISODES
    assert len(demos) == len(wanted)
    for demo, steps in zip(demos, wanted, strict=True):
        found = dict(demo.arrays())
        for each in NAMES[:4]:
            np.testing.assert_array_equal(found[each], steps[each], err_msg=each)
        is_told = name != "robomimic"  # its recordings stop, whatever the task
        assert found["terminated"][-1] == (steps["terminated"][-1] and is_told)
        assert (found["terminated"] | found["truncated"]).sum() == 1
    files = export(str(tmp_path / "ours"), demos)
    back = read_demos(settings(expert_path=str(tmp_path / "ours")), None).episodes
    assert len(files) == len(back) == len(wanted)
    for demo, again in zip(demos, back, strict=True):
        assert np.array_equal(demo.observations, again.observations)
    with pytest.raises(StorageError, match="exists"):
        export(str(tmp_path / "ours"), demos)


def test_what_is_no_whole_episode_is_left_out_and_said(tmp_path):
    source = find_demos(str(d4rl(tmp_path / "rows.hdf5")))
    assert len(source.names) == 3 and "2 steps belong to no whole episode" in source.notes[0]
    ring = find_demos(str(replay_buffer(tmp_path / "ring.npz", full=True)))
    assert len(ring.names) == 2 * 3 - 2  # nobody knows whether the oldest row follows a reset
    untold = find_demos(str(replay_buffer(tmp_path / "untold.npz", told=False)))
    assert len(untold.names) == 2 * 3


def test_without_successors_the_last_step_is_left_out_and_said(tmp_path):
    for place in (
        d4rl(tmp_path / "rows.hdf5", next_observations=None),
        robomimic(tmp_path / "low_dim.hdf5", successors=False),
    ):
        demos = read_demos(settings(expert_path=str(place)), None).episodes
        for demo, steps in zip(demos, EPISODES, strict=True):
            assert demo.length == len(steps["rewards"]) - 1 and demo.truncated[-1]
            np.testing.assert_array_equal(demo.observations, steps["observations"][:-1])
            np.testing.assert_array_equal(demo.next_observations, steps["observations"][1:])


def test_without_timeouts_an_episode_is_cut_where_the_next_begins(tmp_path):
    place = d4rl(tmp_path / "rows.hdf5", timeouts=None)
    demos = read_demos(settings(expert_path=str(place)), None).episodes
    assert [demo.length for demo in demos] == [6, 7, 8]
    assert [bool(demo.terminated[-1]) for demo in demos] == [False, True, False]


def test_a_replay_buffers_actions_are_scaled_and_mapped_back(tmp_path):
    """Stable-Baselines3 keeps them in [-1, 1]; Humanoid's bounds are 0.4."""
    place = replay_buffer(tmp_path / "buffer.npz", bound=1.0)
    low = np.full(3, -0.4, np.float32)
    here = Expected("Mine-v0", action_size=3, action_low=low, action_high=-low)
    with pytest.raises(ConfigurationError, match="between -1 and 1, the environment between -0.4"):
        read_demos(settings(expert_path=str(place)), here)
    demos = read_demos(settings(expert_path=str(place), expert_convert=True), here).episodes
    np.testing.assert_allclose(demos[0].actions, 0.4 * EPISODES[0]["actions"], rtol=1e-6)
    assert convert(demos, here)[0].actions is demos[0].actions  # once


def test_a_file_by_name_shows_its_environment(tmp_path):
    place = d4rl(tmp_path / "hopper_medium-v2.hdf5")
    with pytest.raises(ConfigurationError, match="shows Hopper-v2, not Hopper-v5"):
        read_demos(settings(expert_path=str(place)), expected_of("Hopper-v5"))


@pytest.mark.parametrize("form", ["hdf5", "arrow"])
def test_observations_of_several_parts_are_flattened_as_gymnasium_does(tmp_path, monkeypatch, form):
    import minari
    from gymnasium import spaces
    from minari.data_collector.episode_buffer import EpisodeBuffer

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    space = spaces.Dict(
        {
            "z": spaces.Box(-9, 9, (3,), np.float64),
            "a": spaces.Dict({"m": spaces.Box(-9, 9, (2, 2), np.float64)}),
            "k": spaces.Discrete(3, start=1),
        },
    )
    space.seed(0)
    seen = [space.sample() for _ in range(6)]
    parts = {
        "z": np.array([each["z"] for each in seen]),
        "a": {"m": np.array([each["a"]["m"] for each in seen])},
        "k": np.array([each["k"] for each in seen]),
    }
    ends = np.arange(5) == 4
    buffer = EpisodeBuffer(
        observations=parts,
        actions=np.zeros((5, 2), np.float32),
        rewards=np.ones(5),
        terminations=ends & False,
        truncations=ends,
    )
    actions = spaces.Box(-1, 1, (2,), np.float32)
    options = {"observation_space": space, "action_space": actions, "data_format": form}
    with pytest.warns(UserWarning):
        minari.create_dataset_from_buffers("parts/mine-v0", [buffer], env=None, **options)
    (demo,) = read_demos(settings(expert_path="minari:parts/mine-v0"), None).episodes
    wanted = np.array([gymnasium.spaces.flatten(space, each) for each in seen])
    np.testing.assert_array_equal(demo.observations, wanted[:-1])
    np.testing.assert_array_equal(demo.next_observations, wanted[1:])


def bad(tmp_path, how):
    if how == "pickle":
        (tmp_path / "buffer.pkl").write_bytes(b"\x80\x04.")
        return tmp_path / "buffer.pkl"
    if how == "unknown":
        with h5py.File(tmp_path / "x.hdf5", "w") as file:
            file["weights"] = np.ones(3)
        return tmp_path / "x.hdf5"
    if how == "pickled":
        np.savez(tmp_path / "x.npz", observations=np.array([{}], dtype=object), dones=np.ones(1))
        return tmp_path / "x.npz"
    if how == "no end":
        return d4rl(tmp_path / "x.hdf5", terminals=np.zeros(23), timeouts=np.zeros(23))
    if how == "lengths":
        return d4rl(tmp_path / "x.hdf5", rewards=np.zeros(5))
    folder = imitation_folder(tmp_path / "cut")
    path = folder / "data-00000-of-00001.arrow"
    path.write_bytes(path.read_bytes()[:-300])
    return folder


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("pickle", "is a pickle"),
        ("unknown", "no format that is known: it holds weights"),
        ("pickled", "not a complete NPZ file of arrays of numbers"),
        ("no end", "holds no whole episode"),
        ("lengths", "columns of different lengths"),
        ("cut", "not a complete Arrow file"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, how, words):
    with pytest.raises(ConfigurationError) as caught:
        read_demos(settings(expert_path=str(bad(tmp_path, how))), None)
    assert words in str(caught.value) and str(caught.value).count("\n") == 1
