"""Demonstrations of an altered environment, in every format that can tell: what changes numbers is refused."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import wrappers

from environments.expected import expected_of
from helpers.demos.load import read_demos
from helpers.demos.report import export
from helpers.errors import ConfigurationError
from tests.helpers.demos.cases import settings, steps_of

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
    "RescaleObservation": (lambda env: env, "--expert_mismatch=warn"),
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
del REFUSE["RescaleObservation"]  # Gymnasium refuses it for unbounded observations itself


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
    import shutil

    shutil.rmtree(tmp_path / "minari")
