"""HDF5 files of other libraries: which format one has, D4RL's and robomimic's read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.demos.episode import Demo, Expected
from helpers.demos.formats.rows import (
    LAST_IS_LEFT_OUT,
    FlatEpisodes,
    are_rows,
    column_names,
    is_a_copy,
    open_rows,
    origin_by_name,
    without_last_step,
)
from helpers.demos.hdf5 import arrays_of, not_whole, plain_attributes
from helpers.demos.wrappers import origin_of_spec, parse_json
from helpers.errors import ConfigurationError

if TYPE_CHECKING:
    import h5py


def open_hdf5(path: Path) -> FlatEpisodes | RobomimicEpisodes | None:
    """The episodes of another library's HDF5 file; None of a file that is one demonstration of ours.

    Raises:
        ConfigurationError: it is no HDF5 file, or of no format that is known.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if "obs0" in file:
                return None
            if is_robomimic(file):
                return RobomimicEpisodes.open(path, file)
            if are_rows(file):
                return _open_flat(path, file)
            found = ", ".join(file) or "nothing"
    except (OSError, KeyError, RuntimeError) as error:
        raise not_whole(path, error) from error
    raise ConfigurationError(
        f"{path} is an HDF5 file of no format that is known: it holds {found}.",
        "Files are read with obs0, acs, obs1, dones1, env_rews; D4RL's observations, actions, rewards, terminals, "
        "timeouts; robomimic's data/demo_0 (docs/demos.md).",
    )


def _open_flat(path: Path, file: h5py.File) -> FlatEpisodes:
    import h5py

    names = column_names(file)
    for name, theirs in names.items():
        if not isinstance(file[theirs], h5py.Dataset):
            raise ConfigurationError(
                f"{path}: {theirs} is not an array of numbers in this file.",
                f"Flatten {name} into one array, and write the file again.",
            )
    attributes = plain_attributes(file.attrs)
    origin = origin_by_name(path) | origin_of_spec(attributes.get("env_spec"))
    if isinstance(attributes.get("env_id"), str):
        origin["env_id"] = attributes["env_id"]
    for name in ("env_wrappers", "env_options", "mujoco_version"):
        if isinstance(attributes.get(name), str):
            origin[name] = attributes[name]
    return open_rows(
        path,
        kind="a flat HDF5 file as D4RL's",
        shapes={name: tuple(file[theirs].shape) for name, theirs in names.items()},
        rows=partial(_read_rows, path, names),
        origin=origin | {"format": "D4RL"},
    )


def _read_rows(
    path: Path,
    names: Mapping[str, str],
    name: str,
    start: int,
    stop: int,
    environment: int | None,
) -> np.ndarray:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            found = arrays_of(
                file,
                [names[name]],
                required=[names[name]],
                where=str(path),
                rows=slice(start, stop),
            )[names[name]]
    except (OSError, KeyError, RuntimeError) as error:
        raise not_whole(path, error) from error
    return found if environment is None else found[:, environment]


def is_robomimic(file: h5py.File) -> bool:
    """Whether a file is laid out as robomimic's: a group `data` of groups `demo_0`, `demo_1` ..."""
    group = file.get("data")
    return hasattr(group, "keys") and any(name.startswith("demo") for name in group)


@dataclass(frozen=True)
class RobomimicEpisodes:
    """The episodes of a file of robomimic (arXiv:2108.03298; robomimic.github.io/docs/datasets/overview.html).

    Observations are vectors by names; they are taken in the order of their names. Pictures are left out.

    Attributes:
        path: of the file.
        demos: names of its groups, in the order of their numbers.
        keys: names of the observations that are vectors.
        pictures: names of those that are not.
        origin: what the file says of its environment.
        knows_last: whether it has the true successor of the last step of an episode.
    """

    path: Path
    demos: tuple[str, ...]
    keys: tuple[str, ...]
    pictures: tuple[str, ...]
    origin: Mapping[str, Any]
    knows_last: bool

    @classmethod
    def open(cls, path: Path, file: h5py.File) -> RobomimicEpisodes:
        """Look at a file.

        Raises:
            ConfigurationError: it has no observations that are vectors.
        """
        data = file["data"]
        demos = sorted((name for name in data if name.startswith("demo")), key=_number)
        observations = data[demos[0]].get("obs")
        if observations is None or not hasattr(observations, "keys"):
            raise ConfigurationError(
                f"{path} is a file of robomimic without observations: it holds states of its simulator alone.",
                "Extract them with robomimic/scripts/dataset_states_to_obs.py.",
            )
        found = sorted(observations)
        keys = tuple(name for name in found if len(observations[name].shape) <= 2)
        if not keys:
            raise ConfigurationError(
                f"{path} has no observations that are vectors, only {', '.join(found)}.",
                "Extract low-dimensional ones with robomimic/scripts/dataset_states_to_obs.py.",
            )
        arguments = parse_json(data.attrs.get("env_args"), dict)
        origin: dict[str, Any] = {"format": "robomimic"}
        if isinstance(arguments.get("env_name"), str):
            origin["env_id"] = arguments["env_name"]
        if isinstance(arguments.get("env_kwargs"), dict) and arguments["env_kwargs"]:
            origin["env_options"] = json.dumps(arguments["env_kwargs"], sort_keys=True)
        for name in ("env_wrappers", "additional_wrappers"):
            if isinstance(arguments.get(name), list) and arguments[name]:
                origin["env_wrappers"] = json.dumps(arguments[name], sort_keys=True)
        pictures = tuple(name for name in found if name not in keys)
        knows_last = all("next_obs" in data[name] for name in demos) and not all(
            _is_copied(data[name], keys, str(path)) for name in demos
        )
        return cls(path, tuple(demos), keys, pictures, origin, knows_last)

    @property
    def folder(self) -> Path:
        """Of the file."""
        return self.path.parent

    @property
    def kind(self) -> str:
        """What it is, for a reader."""
        return f"a file of robomimic: observations {', '.join(self.keys)}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is left out."""
        notes = []
        if self.pictures:
            left = ", ".join(self.pictures)
            notes.append(f"{self.path}: {left} are no vectors, and left out of observations.")
        if not self.knows_last:
            notes.append(f"{self.path} has no true last next_obs{LAST_IS_LEFT_OUT}")
        return tuple(notes)

    @property
    def names(self) -> list[str]:
        """Of the episodes, in their order."""
        return [f"{self.path}, {name}" for name in self.demos]

    def read(self, index: int, *, expected: Expected | None = None) -> Demo:
        """One episode, not checked yet. Its end is that of the recording: a truncation.

        Raises:
            ConfigurationError: the file is damaged, or the episode lacks a part.
        """
        del expected  # a recording is cut where the task is done; none of its states is absorbing
        import h5py

        where = self.names[index]
        try:
            with h5py.File(self.path, "r") as file:
                group = file["data"][self.demos[index]]
                found = arrays_of(group, ["actions", "rewards"], required=["actions"], where=where)
                states = _vectors(group["obs"], self.keys, where)
                successors = (
                    _vectors(group["next_obs"], self.keys, where) if self.knows_last else states
                )
        except (OSError, KeyError, RuntimeError) as error:
            raise not_whole(self.path, error) from error
        count, origin = len(found["actions"]), dict(self.origin)
        if "rewards" not in found:
            found["rewards"], origin["rewards"] = np.zeros(count), "not recorded: zeros"
        demo = Demo(
            observations=states,
            actions=found["actions"],
            rewards=found["rewards"],
            next_observations=successors,
            terminated=np.zeros(count, np.bool_),
            truncated=np.arange(count) == count - 1,
            source=where,
            origin=origin | {"ends": "cut: the recording stops"},
        )
        return demo if self.knows_last else without_last_step(demo)


def _vectors(group: h5py.Group, keys: tuple[str, ...], where: str) -> np.ndarray:
    """(T, obs_dim) of the parts of an observation."""
    parts = arrays_of(group, keys, required=keys, where=where)
    return np.concatenate([parts[key].reshape(len(parts[key]), -1) for key in keys], axis=1)


def _is_copied(demo: h5py.Group, keys: tuple[str, ...], where: str) -> bool:
    return is_a_copy(*(_vectors(demo[name], keys, where) for name in ("obs", "next_obs")))


def _number(name: str) -> tuple[int, str]:
    digits = name.rpartition("_")[2]
    return (int(digits) if digits.isdecimal() else -1, name)
