"""Demonstrations written as a Minari dataset, by the package `minari`."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.demos.episode import Demo
from helpers.demos.formats.minari import OURS, dataset_folder, root
from helpers.demos.hdf5 import same_bits
from helpers.errors import ConfigurationError, StorageError

if TYPE_CHECKING:
    import gymnasium


def write_minari(name: str, demos: Sequence[Demo]) -> Path:
    """A new dataset `minari:<id>` of whole episodes; the folder it lies in.

    No environment is started: its bounds are those that the demonstrations name, else none.

    Raises:
        ConfigurationError: it is no id, or Minari's format cannot hold the episodes.
        StorageError: the dataset is there already, or cannot be written.
    """
    folder = dataset_folder(name)
    if folder.exists():
        raise StorageError(
            f"{folder} exists.",
            "Give another name or version: --convert_to=minari:ID.",
        )
    for demo in demos:
        if not same_bits(demo.next_observations[:-1], demo.observations[1:]):
            raise ConfigurationError(
                f"{demo.source}: some steps do not start in the state where the previous one ended.",
                "Minari datasets contain whole episodes: export them before subsampling.",
            )
    try:
        _write(folder, demos)
    except (OSError, ValueError, TypeError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise StorageError(
            f"{folder} cannot be written: {error}.",
            "Free some space, or choose another folder: MINARI_DATASETS_PATH=PATH.",
        ) from error
    return folder


def _write(folder: Path, demos: Sequence[Demo]) -> None:
    import minari
    from minari.data_collector.episode_buffer import EpisodeBuffer

    buffers = [
        EpisodeBuffer(
            seed=demo.origin.get("seed"),
            observations=np.concatenate([demo.observations, demo.next_observations[-1:]]),
            actions=_actions(demo),
            rewards=demo.rewards,
            terminations=demo.terminated,
            truncations=demo.truncated,
        )
        for demo in demos
    ]
    origins = [
        {f"{OURS}{key}": value for key, value in demo.origin.items()}
        | ({f"{OURS}states_alone": True} if demo.actions is None else {})
        for demo in demos
    ]
    first = demos[0].origin
    packages = {"mujoco": first.get("mujoco_version"), "gymnasium": first.get("gymnasium_version")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of authors and links that are not given
        dataset = minari.create_dataset_from_buffers(
            folder.relative_to(root()).as_posix(),
            buffers,
            env=_stub_environment(demos),
            requirements=[f"{package}=={said}" for package, said in packages.items() if said],
            algorithm_name=str(first.get("run", "unknown")),
            data_format="hdf5",
        )
        dataset.storage.update_episode_metadata(origins)


def _actions(demo: Demo) -> np.ndarray:
    """Actions; of states alone, zeros of one number, since Minari has no episodes without actions."""
    return np.zeros((demo.length, 1), np.float32) if demo.actions is None else demo.actions


def _stub_environment(demos: Sequence[Demo]) -> gymnasium.Env:
    """What Minari wants to know of an environment: its specification and spaces, and no simulator."""
    import gymnasium
    from gymnasium import spaces
    from gymnasium.envs.registration import registry

    first = demos[0]
    actions, observations = _actions(first), first.observations
    stub: gymnasium.Env = gymnasium.Env()
    stub.spec = registry.get(str(first.origin.get("env_id")))
    stub.observation_space = spaces.Box(-np.inf, np.inf, observations.shape[1:], np.float64)
    if actions.ndim == 1:
        count = 1 + max(int(_actions(demo).max()) for demo in demos)
        start = int(first.origin.get("action_start", 0))
        count = int(first.origin.get("action_count", count - start))
        stub.action_space = spaces.Discrete(count, start=start)
    elif actions.dtype.kind in "iu":
        stub.action_space = _choices_of(demos)
    else:
        shape, dtype = actions.shape[1:], actions.dtype
        low, high = first.origin.get("action_low"), first.origin.get("action_high")
        low = np.full(shape, -np.inf) if low is None or np.shape(low) != shape else low
        high = np.full(shape, np.inf) if high is None or np.shape(high) != shape else high
        stub.action_space = spaces.Box(
            np.asarray(low, dtype),
            np.asarray(high, dtype),
            dtype=dtype.type,
        )
    return stub


def _choices_of(demos: Sequence[Demo]) -> gymnasium.Space:
    """Several choices in an action: of as many as the first demonstration says, else as there were seen."""
    from gymnasium import spaces

    origin = demos[0].origin
    rows = np.concatenate([_actions(demo) for demo in demos])
    starts = np.asarray(origin.get("action_starts", np.minimum(rows.min(0), 0)))
    sizes = np.asarray(origin.get("action_counts", rows.max(0) + 1 - starts))
    return spaces.MultiDiscrete(sizes, start=starts)
