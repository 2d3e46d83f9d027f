"""One episode of a Minari dataset's files: HDF5, Arrow or Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.demos.formats.arrow_files import read_columns
from helpers.demos.formats.spaces import Column
from helpers.demos.hdf5 import arrays_of, not_whole, plain_attributes
from helpers.demos.wrappers import parse_json
from helpers.errors import ConfigurationError

if TYPE_CHECKING:
    import h5py

FORMS = ("hdf5", "arrow", "parquet")
_HDF5 = "main_data.hdf5"
_COLUMNS = ("observations", "actions", "rewards", "terminations", "truncations")
Episode = tuple[dict[str, Column], dict[str, Any]]


def read_hdf5_episode(folder: Path, index: int, *, form: str, where: str) -> Episode:
    """(columns, attributes) of an episode in `main_data.hdf5`.

    Raises:
        ConfigurationError: the file is damaged, or lacks the episode or a column.
    """
    del form
    import h5py

    path, name = folder / _HDF5, f"episode_{index}"
    try:
        with h5py.File(path, "r") as file:
            if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                raise KeyError(f"{name} is missing")
            group = file[name]
            columns = {each: _column(group, each, where) for each in _COLUMNS}
            return columns, plain_attributes(group.attrs)
    except (OSError, KeyError, RuntimeError) as error:
        raise not_whole(path, error) from error


def _column(group: h5py.Group, name: str, where: str) -> Column:
    """An array, or parts of it by their names; those of a Tuple are `_index_0` ..."""
    import h5py

    link, found = group.get(name, getlink=True), group.get(name)
    if isinstance(link, h5py.HardLink) and isinstance(found, h5py.Group):
        return {each.removeprefix("_index_"): _column(found, each, where) for each in found}
    return arrays_of(group, [name], required=[name], where=where)[name]


def read_arrow_episode(folder: Path, index: int, *, form: str, where: str) -> Episode:
    """(columns, attributes) of an episode in `<index>/part-0.arrow`, whose last row has an observation alone.

    Raises:
        ConfigurationError: the file is damaged, or lacks a column.
    """
    place = folder / str(index)
    parts = sorted(place.glob(f"*.{form}")) if place.is_dir() else []
    if len(parts) != 1:
        raise ConfigurationError(
            f"{where}: {place} has {len(parts)} files *.{form}, not one.",
            "Download the dataset again, or write it again with minari.",
        )
    found = read_columns(parts[0])
    missing = [name for name in _COLUMNS if name not in found]
    if missing:
        raise ConfigurationError(
            f"{where} has no column {', '.join(missing)}.",
            "Download the dataset again, or write it again with minari.",
        )
    columns = {name: found[name] for name in _COLUMNS}
    for name in _COLUMNS[1:]:
        columns[name] = _without_last(columns[name])
    path = place / "metadata.json"
    text = path.read_text(encoding="utf-8") if path.is_file() else "{}"
    attributes: Mapping[str, Any] = parse_json(text, dict)
    return columns, dict(attributes)


def _without_last(column: Column) -> Column:
    if isinstance(column, np.ndarray):
        return column[:-1]
    return {name: _without_last(each) for name, each in column.items()}
