"""Demonstrations of an altered environment, in every format that can tell: what changes numbers is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
import pytest
from gymnasium import wrappers

from environments.expected import expected_of
from helpers.demos.load import read_demos
from helpers.demos.report import export
from helpers.demos.wrappers import Wrapper, executed
from helpers.errors import ConfigurationError
from tests.helpers.demos.cases import settings, steps_of, write_demos, write_plain

HERE = expected_of("Hopper-v5")
LOW, HIGH = np.full(3, -0.5, np.float32), np.full(3, 0.5, np.float32)


class Louder(gymnasium.Wrapper):
    """A wrapper of a user's own, which nobody here knows."""


class RecordEpisodeStatistics(gymnasium.Wrapper):
    """One that is called like a harmless one of Gymnasium's."""


PASS = {
    "plain": lambda env: env,
    "RecordEpisodeStatistics": wrappers.RecordEpisodeStatistics,
    "TimeLimit": lambda env: wrappers.TimeLimit(env, 500),
    "OrderEnforcing": wrappers.OrderEnforcing,
    "PassiveEnvChecker": wrappers.PassiveEnvChecker,
    "AddWhiteNoise": lambda env: wrappers.AddWhiteNoise(env, 0.5),
    "FlattenObservation": wrappers.FlattenObservation,
    "ReshapeObservation": lambda env: wrappers.ReshapeObservation(env, (11,)),
    "ClipAction": wrappers.ClipAction,  # within the bounds it changes nothing
}
REFUSE = {
    "RescaleAction": (lambda env: wrappers.RescaleAction(env, -0.5, 0.5), "--expert_convert"),
    "NormalizeObservation": (wrappers.NormalizeObservation, "--expert_mismatch=warn"),
    "NormalizeReward": (wrappers.NormalizeReward, "--expert_mismatch=warn"),
    "ClipReward": (lambda env: wrappers.ClipReward(env, -1, 1), "--expert_mismatch=warn"),
    "StickyAction": (lambda env: wrappers.StickyAction(env, 0.25), "--expert_mismatch=warn"),
    "RepeatAction": (lambda env: wrappers.RepeatAction(env, 2), "--expert_mismatch=warn"),
    "Louder": (Louder, "--expert_accept_wrappers=Louder"),
    "RecordEpisodeStatistics": (
        RecordEpisodeStatistics,
        "--expert_accept_wrappers=RecordEpisodeStatistics",
    ),
}


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


def written(wrap: Any, form: str, tmp_path: Any, **options: Any) -> str:
    """The place of two demonstrations of a wrapped environment."""
    import minari
    from minari.data_collector.episode_buffer import EpisodeBuffer

    env = wrap(gymnasium.make("Hopper-v5", **options))
    buffers = []
    for i in range(2):
        steps = steps_of(i, 25, terminated=False)
        states = np.concatenate([steps["observations"], steps["next_observations"][-1:]])
        states = states.astype(env.observation_space.dtype)
        space = env.action_space
        actions = np.clip(steps["actions"], space.low, space.high).astype(np.float32)
        ends = {"terminations": steps["terminated"], "truncations": steps["truncated"]}
        buffers.append(
            EpisodeBuffer(observations=states, actions=actions, rewards=steps["rewards"], **ends),
        )
    with pytest.warns(UserWarning):
        minari.create_dataset_from_buffers(
            "altered/hopper-v0",
            buffers,
            env=env,
            requirements=["mujoco==3.17.0"],
            data_format="hdf5" if form == "our HDF5" else form,
        )
    env.close()
    if form != "our HDF5":
        return "minari:altered/hopper-v0"
    folder = tmp_path / "files"
    demos = read_demos(settings(expert_path="minari:altered/hopper-v0"), None)
    export(str(folder), demos.episodes)
    return str(folder)


FORMATS = ("hdf5", "arrow", "our HDF5")


@pytest.mark.parametrize("form", FORMATS)
def test_what_changes_no_numbers_passes(tmp_path, form):
    for name, wrap in PASS.items():
        place = written(wrap, form, tmp_path / name)
        found = read_demos(settings(expert_path=place), HERE)
        assert len(found.episodes) == 2 and not found.warnings, (name, found.warnings)
        _again(tmp_path)


@pytest.mark.parametrize("form", FORMATS)
def test_what_changes_numbers_is_refused(tmp_path, form):
    silent = []
    for name, (wrap, remedy) in REFUSE.items():
        place = written(wrap, form, tmp_path / name)
        try:
            read_demos(settings(expert_path=place), HERE)
        except ConfigurationError as error:
            assert name in error.problem and remedy in error.remedy, error
        else:
            silent.append(name)
        _again(tmp_path)
    assert not silent, f"accepted without a word: {silent}"


def _again(tmp_path):
    shutil.rmtree(tmp_path / "minari")


def refused(place, expected=HERE, **changes) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        read_demos(settings(expert_path=str(place), **changes), expected)
    return caught.value


@pytest.mark.parametrize("form", FORMATS)
def test_rescaled_and_cut_actions_are_mapped_back_on_request(tmp_path, form):
    def wrap(env):
        return wrappers.ClipAction(wrappers.RescaleAction(env, -0.5, 0.5))

    place = written(wrap, form, tmp_path)
    raw = read_demos(settings(expert_path=place, expert_mismatch="warn"), HERE)
    assert "RescaleAction" in raw.warnings[0]
    found = read_demos(settings(expert_path=place, expert_convert=True), HERE).episodes
    for demo, before in zip(found, raw.episodes, strict=True):
        wanted = 2 * np.clip(before.actions, -0.5, 0.5)
        np.testing.assert_allclose(demo.actions, wanted, rtol=1e-6)
        assert demo.sha256 != before.sha256 and demo.origin["action_high"].tolist() == [1, 1, 1]
    export(str(tmp_path / "plain"), found)
    again = read_demos(settings(expert_path=str(tmp_path / "plain")), HERE)
    assert not again.warnings and np.array_equal(again.episodes[0].actions, found[0].actions)


def test_the_map_is_the_wrappers_own():
    env = gymnasium.make("Pusher-v5")
    plain, wrapped = env.unwrapped, wrappers.RescaleAction(env, -3.0, 1.0)
    given = np.random.default_rng(0).uniform(-3, 1, (20, 7))
    spec = Wrapper("RescaleAction", "", {"min_action": -3.0, "max_action": 1.0})
    assert isinstance(plain.action_space, gymnasium.spaces.Box)
    low, high = plain.action_space.low, plain.action_space.high
    made = executed(given, [spec], low, high)
    for action, ours in zip(given, made, strict=True):
        np.testing.assert_allclose(wrapped.action(action.astype(np.float32)), ours, atol=1e-5)
    env.close()


def test_a_wrapper_passes_by_its_name_knowingly(tmp_path):
    place = written(Louder, "hdf5", tmp_path)
    config = settings(expert_path=place, expert_accept_wrappers="Quieter,Louder")
    assert not read_demos(config, HERE).warnings
    refused(place, expert_accept_wrappers="Quieter")


def test_options_are_compared_with_the_environments_defaults(tmp_path):
    place = written(lambda env: env, "hdf5", tmp_path, ctrl_cost_weight=1e-3, width=64)
    assert not read_demos(
        settings(expert_path=place),
        HERE,
    ).warnings  # the default, and a picture's
    _again(tmp_path)
    place = written(lambda env: env, "hdf5", tmp_path, ctrl_cost_weight=0.5)
    assert 'env_options {"ctrl_cost_weight": 0.5}, here are none' in refused(place).problem
    same = expected_of("Hopper-v5", {"ctrl_cost_weight": 0.5})
    assert not read_demos(settings(expert_path=place), same).warnings


def test_another_maker_of_the_same_id_is_refused(tmp_path):
    write_demos(tmp_path, 2, entry_point="my_tasks.hopper:Hopper")
    assert "made by my_tasks.hopper:Hopper" in refused(tmp_path).problem


def test_bounds_that_a_file_names_are_compared(tmp_path):
    write_demos(tmp_path, 2, action_low=LOW, action_high=HIGH)
    error = refused(tmp_path)
    assert "between -0.5 and 0.5, the environment between -1 and 1" in error.problem
    assert "--expert_convert" in error.remedy


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s | {"actions": s["actions"] / 2}, "as under RescaleAction"),
        (lambda s: s | {"actions": s["actions"] * 100}, "they are of another unit"),
        (lambda s: s | {"observations": s["observations"] / 3}, "as under NormalizeObservation"),
    ],
    ids=["actions", "unit", "observations"],
)
@pytest.mark.parametrize("form", ["HDF5", "D4RL", "NPZ"])
def test_what_a_file_does_not_say_its_numbers_show(tmp_path, change, words, form):
    episodes = [change(steps_of(i, 80)) for i in range(3)]
    if form == "HDF5":
        for i, steps in enumerate(episodes):
            write_plain(tmp_path / f"Hopper-v5_demo{i:03d}.h5", steps)
        assert words in refused(tmp_path).problem
        return
    columns = {name: np.concatenate([each[name] for each in episodes]) for name in episodes[0]}
    columns |= {"terminals": columns.pop("terminated"), "timeouts": columns.pop("truncated")}
    if form == "D4RL":
        with h5py.File(tmp_path / "rows.hdf5", "w") as file:
            for name, each in columns.items():
                file[name] = each
    else:
        np.savez(tmp_path / "rows.npz", **columns)
    assert words in refused(tmp_path).problem


@pytest.mark.parametrize("env_id", ["Hopper-v5", "HalfCheetah-v5", "Walker2d-v5", "Ant-v5"])
def test_real_experts_show_nothing(env_id):
    path = Path(__file__).parents[3] / "data" / "demos" / env_id
    found = read_demos(settings(expert_path=str(path)), expected_of(env_id))
    assert not found.warnings
