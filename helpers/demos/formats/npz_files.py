"""NPZ files: imitation's trajectories, replay buffers, and flat files as D4RL's. Nothing pickled in them is read."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from helpers.demos.formats.imitation import Trajectories, trajectories_of_arrays
from helpers.demos.formats.rows import (
    FlatEpisodes,
    are_rows,
    column_names,
    open_rows,
    origin_by_name,
)
from helpers.demos.wrappers import origin_of_spec
from helpers.errors import ConfigurationError
from helpers.free_space import require_memory

_TEXTS = ("env_id", "env_wrappers", "env_options", "mujoco_version")


def open_npz(path: Path) -> FlatEpisodes | Trajectories:
    """The episodes of an NPZ file.

    Raises:
        ConfigurationError: it is damaged, or of no format that is known.
    """
    arrays, origin = _read(path)
    if {"obs", "acts", "indices", "terminal"} <= arrays.keys():
        return trajectories_of_arrays(path, arrays, origin)
    if not are_rows(arrays):
        raise ConfigurationError(
            f"{path} is an NPZ file of no format that is known: it holds {', '.join(arrays) or 'no numbers'}.",
            "Files are read with observations, actions, rewards, next_observations, terminals (or dones), timeouts; "
            "imitation's obs, acts, rews, terminal, indices (docs/demos.md).",
        )
    names = column_names(arrays)
    columns = {name: arrays[theirs] for name, theirs in names.items()}
    columns, begins_whole = _in_order(columns, arrays)
    is_buffer = columns["observations"].ndim >= 3
    if is_buffer:
        origin = _bounds_of_buffer(columns) | origin
    return open_rows(
        path,
        kind="a replay buffer as Stable-Baselines3's" if is_buffer else "a flat NPZ file",
        shapes={name: array.shape for name, array in columns.items()},
        rows=partial(_rows, columns),
        origin=origin_by_name(path) | origin,
        begins_whole=begins_whole,
    )


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(arrays of numbers, what the file says of its recording)."""
    try:
        with zipfile.ZipFile(path) as archive:
            require_memory(
                sum(each.file_size for each in archive.infolist()),
                what=f"{path} unpacked",
                remedy="Split the file, or use a machine with more memory.",
            )
        arrays, origin = {}, {}
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                if name in ("infos", "info"):
                    continue  # pickled objects, which nobody here needs
                array = file[name]
                if array.dtype.kind in "fiub":
                    arrays[name] = array
                elif array.dtype.kind == "U" and array.size == 1:
                    origin[name] = str(array.item())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, FileNotFoundError):
            raise ConfigurationError(f"{path} does not exist.", "Check --expert_path.") from error
        raise ConfigurationError(
            f"{path} is not a complete NPZ file of arrays of numbers: {' '.join(str(error).split())}.",
            "Write it again with numpy.savez_compressed, each array of one type of numbers.",
        ) from error
    kept = {name: origin[name] for name in _TEXTS if name in origin}
    return arrays, origin_of_spec(origin.get("env_spec")) | kept


def _in_order(
    columns: Mapping[str, np.ndarray],
    arrays: Mapping[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], bool]:
    """(columns from the oldest row to the newest, whether the oldest follows a reset).

    A ring that is full is turned by `pos`; of one that is not, the rows behind `pos` are empty. A file that says
    neither has what is zero at its end cut off.
    """
    size = len(columns["observations"])
    if "pos" in arrays and "full" in arrays:
        place = int(arrays["pos"].item())
        if bool(arrays["full"].item()):
            return {name: np.roll(each, -place, axis=0) for name, each in columns.items()}, False
        return {name: each[:place] for name, each in columns.items()}, True
    if "dones" not in columns:
        return dict(columns), True
    filled = np.zeros(size, np.bool_)
    for each in columns.values():
        filled |= each.reshape(len(each), -1).any(axis=1) if len(each) == size else True
    last = int(np.flatnonzero(filled)[-1]) + 1 if filled.any() else 0
    return {name: each[:last] for name, each in columns.items()}, True


def _bounds_of_buffer(columns: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The bounds of a buffer's actions: Stable-Baselines3 keeps them scaled to [-1, 1], whatever bounds are."""
    actions = columns.get("actions")
    if actions is None or actions.dtype.kind != "f" or np.abs(actions).max(initial=0.0) > 1.0:
        return {}
    ones = np.ones(actions.shape[2:], np.float64)
    return {"action_low": -ones, "action_high": ones}


def _rows(
    columns: Mapping[str, np.ndarray],
    name: str,
    start: int,
    stop: int,
    environment: int | None,
) -> np.ndarray:
    found = columns[name][start:stop]
    return found if environment is None else found[:, environment]
