"""Trajectories of the library imitation: a folder of Hugging Face's `datasets`, or an NPZ file of older versions.

A trajectory has one observation more than actions; `terminal` says whether the task ended it. Nothing pickled or
jsonpickled is read (`infos`). The folders' Arrow files are read by pyarrow, without the library `datasets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.demos.episode import Demo, Expected
from helpers.demos.formats.arrow_files import read_table
from helpers.demos.wrappers import parse_json
from helpers.errors import ConfigurationError

_STATE = "state.json"
_NEEDED = ("obs", "acts", "terminal")


@dataclass(frozen=True)
class Trajectory:
    """One trajectory: observations (T + 1, ...), actions (T, ...), rewards (T,) or None."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray | None
    terminal: bool


@dataclass(frozen=True)
class Trajectories:
    """The episodes of a folder or a file of imitation.

    Attributes:
        path: of it.
        kind: what it is, for a reader.
        found: the trajectories.
        origin: what it says of its recording.
    """

    path: Path
    kind: str
    found: tuple[Trajectory, ...]
    origin: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing is left out."""
        return ()

    @property
    def names(self) -> list[str]:
        """Of the episodes, in their order."""
        return [f"{self.path}, episode {index}" for index in range(len(self.found))]

    def read(self, index: int, *, expected: Expected | None = None) -> Demo:
        """One episode, not checked yet.

        Raises:
            ConfigurationError: there is not one observation more than actions.
        """
        del expected  # an episode says by itself how it ended
        each, where, origin = self.found[index], self.names[index], dict(self.origin)
        count = len(each.actions)
        if len(each.observations) != count + 1:
            raise ConfigurationError(
                f"{where} has {len(each.observations)} observations for {count} actions.",
                "There is one before each action and one after the last: write it again with imitation.",
            )
        rewards = each.rewards
        if rewards is None:
            rewards, origin["rewards"] = np.zeros(count), "not recorded: zeros"
        states = each.observations.reshape(count + 1, -1)
        ended, none = np.arange(count) == count - 1, np.zeros(count, np.bool_)
        return Demo(
            observations=states[:-1],
            actions=each.actions,
            rewards=rewards,
            next_observations=states[1:],
            terminated=ended if each.terminal else none,
            truncated=none if each.terminal else ended,
            source=where,
            origin=origin,
        )


def is_trajectories(folder: Path) -> bool:
    """Whether a folder was written by `datasets`."""
    return (folder / _STATE).is_file() and (folder / "dataset_info.json").is_file()


def open_trajectories(folder: Path) -> Trajectories:
    """The trajectories of a folder.

    Raises:
        ConfigurationError: pyarrow is missing, the folder is damaged, or holds something else.
    """
    path = folder / _STATE
    state = parse_json(path.read_text(encoding="utf-8"), dict)
    files = [
        str(each.get("filename", ""))
        for each in state.get("_data_files") or ()
        if isinstance(each, dict)
    ]
    if not files or any(Path(name).name != name for name in files):
        raise ConfigurationError(
            f"{path} does not name the files of its dataset.",
            "Write the trajectories again: imitation.data.serialize.save.",
        )
    found: list[Trajectory] = []
    for name in files:
        table = read_table(folder / name, [*_NEEDED, "rews"])
        missing = [each for each in _NEEDED if each not in table.column_names]
        if missing:
            raise ConfigurationError(
                f"{folder} is a dataset without the columns {', '.join(missing)}, so not imitation's trajectories.",
                "Write trajectories: imitation.data.serialize.save.",
            )
        columns = {each: table.column(each) for each in table.column_names}
        found += [_of_row(columns, row, folder) for row in range(table.num_rows)]
    return Trajectories(
        folder,
        "trajectories of imitation, a Hugging Face dataset",
        tuple(found),
        {},
    )


def _of_row(columns: Mapping[str, Any], row: int, folder: Path) -> Trajectory:
    rewards = columns["rews"][row] if "rews" in columns else None
    return Trajectory(
        _array(columns["obs"][row], folder),
        _array(columns["acts"][row], folder),
        None if rewards is None or not rewards.is_valid else _array(rewards, folder),
        bool(columns["terminal"][row].as_py()),
    )


def _array(scalar: Any, folder: Path) -> np.ndarray:
    """The array of a nested list, in the type of its numbers.

    Raises:
        ConfigurationError: it is none of numbers, or its rows are of different lengths.
    """
    shape, values = [], scalar.values
    while hasattr(values, "flatten") and hasattr(values.type, "value_type"):
        lengths = set(values.value_lengths().to_pylist())
        if len(lengths) != 1:
            raise ConfigurationError(
                f"{folder} has rows of different lengths in one trajectory.",
                "Write vectors of one length: imitation.data.serialize.save.",
            )
        shape.append(lengths.pop())
        values = values.flatten()
    numbers = np.asarray(values.to_numpy(zero_copy_only=False))
    if numbers.dtype.kind not in "fiub":
        raise ConfigurationError(
            f"{folder} has observations or actions that are no numbers.",
            "Flatten dictionaries into vectors before imitation.data.serialize.save.",
        )
    return numbers.reshape(-1, *shape)


def trajectories_of_arrays(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    origin: Mapping[str, Any],
) -> Trajectories:
    """The trajectories of an NPZ file: arrays of all of them, and `indices`, where those behind the first begin.

    Raises:
        ConfigurationError: the indices are none of the actions'.
    """
    indices = arrays["indices"].astype(np.int64).reshape(-1)
    acts, obs, terminal = (arrays[name] for name in ("acts", "obs", "terminal"))
    count = len(terminal)
    cuts = indices if len(indices) == count - 1 else indices[:-1]
    is_sorted = bool((np.diff([0, *cuts.tolist(), len(acts)]) > 0).all())
    if len(cuts) != count - 1 or not is_sorted or len(obs) != len(acts) + count:
        raise ConfigurationError(
            f"{path}: its indices do not divide {len(acts)} actions and {len(obs)} observations into {count} "
            "trajectories.",
            "Write the trajectories again: imitation.data.serialize.save.",
        )
    rewards = np.split(arrays["rews"], cuts) if "rews" in arrays else [None] * count
    pieces = zip(
        np.split(obs, cuts + np.arange(1, count)),
        np.split(acts, cuts),
        rewards,
        terminal.reshape(-1).astype(bool).tolist(),
        strict=True,
    )
    found = tuple(Trajectory(*each) for each in pieces)
    return Trajectories(path, "trajectories of imitation, an NPZ file", found, origin)
