"""Demonstrations as HDF5 files, one an episode, in the format that the field's code bases read.

Datasets: `obs0` (T, obs_dim), `acs` (T, act_dim) float32, or int64 (T,) or (T, choices), `obs1` the true successors,
`dones1` bool, true at the last step alone, `env_rews` (T,), scalars `ep_lens` and `ep_env_rets`. Beside them, for those
who tell a death from a time limit: `terminated`, `truncated`. A file without `acs` holds states alone. The
file's attributes say where it comes from.

`obs0` and `obs1` share all but one row. They are stored once, as `observations` (T + 1, obs_dim), of which both
are views (HDF5 virtual datasets, which any HDF5 since 1.10 reads as if they were stored).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers import durable
from helpers.demos.episode import Demo, Expected
from helpers.demos.wrappers import origin_of_spec
from helpers.episodes import choice_sizes, first_choices
from helpers.errors import ConfigurationError, StorageError
from helpers.free_space import require_memory

if TYPE_CHECKING:
    import h5py

FORMAT = "milozero-demo-1"
ENDING = ".h5"
_REQUIRED = ("obs0", "obs1", "env_rews", "dones1")
_READ = (
    "obs0",
    "acs",
    "obs1",
    "env_rews",
    "dones1",
    "terminated",
    "truncated",
    "ep_lens",
    "ep_env_rets",
)
_NAME = re.compile(r"(?P<env_id>.+)_demo\d+")
_LONGEST_NAME = 160  # bytes of an id in a file's name; file systems end at 255
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_AGAIN = "Record it again: python main.py --task=eval --model_path=RUN --save_traj; or omit it."


def demo_path(folder: Path, env_id: str, index: int) -> Path:
    """Where episode `index` lies: `<env_id>_demo003.h5`."""
    return folder / f"{env_id}_demo{index:03d}{ENDING}"


def file_name_of(env_id: str) -> str:
    """An environment's id as a part of file names: that of a task file holds a path. It does not begin with a dot."""
    name = re.sub(r"[^\w.-]", "_", env_id).lstrip(".") or "_"
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    end = name.encode()[-_LONGEST_NAME:].decode(errors="ignore")
    return f"{hashlib.sha256(env_id.encode()).hexdigest()[:8]}_{end}"


def is_hidden_demo(path: Path) -> bool:
    """Whether a hidden file is one of ours: earlier versions wrote such ones of `./my_task.py:Mine`.

    Other hidden files of this ending are unfinished, or a Mac's notes about the file of that name.
    """
    if not _NAME.fullmatch(path.stem) or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_SIGNATURE)) == _SIGNATURE


def space_attributes(space: Any) -> dict[str, Any]:
    """What a demonstration says of its actions: their bounds, or how many there are to choose from, and the first."""
    if hasattr(space, "low"):
        return {"action_low": np.asarray(space.low), "action_high": np.asarray(space.high)}
    sizes, first = choice_sizes(space), first_choices(space)
    if hasattr(space, "nvec"):
        return {"action_counts": np.array(sizes), "action_starts": np.array(first)}
    return {"action_count": sizes[0], **({"action_start": first[0]} if first[0] else {})}


def write_demo(
    path: Path,
    steps: Mapping[str, np.ndarray],
    attributes: Mapping[str, Any],
    *,
    setting: str = "--save_traj_dir",
) -> None:
    """Write one episode; the name appears when the file is whole, and never replaces another.

    Args:
        path: the file to make.
        steps: `observations`, `rewards`, `next_observations`, `terminated`, `truncated`, and `actions` unless
            only states are to be written.
        attributes: scalars, arrays and texts about its origin (environment, versions, policy, seed).
        setting: the flag that names the folder, for messages.

    Raises:
        StorageError: the file is there already, or cannot be written.
    """
    import h5py

    if path.exists():
        raise StorageError(
            f"{path} exists",
            f"give another {setting}, or remove the old demos",
        )
    temporary = path.with_name(durable.temporary_name())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(
            temporary,
            "w",
            libver="v110",
        ) as file:  # views need 1.10; its index is small
            _fill(file, steps)
            # in one order, so that the same content is the same bytes
            file.attrs.update(sorted({"format": FORMAT, **attributes}.items()))
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        durable.rename(temporary, path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}",
            f"free some space or give another {setting}",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _fill(file: h5py.File, steps: Mapping[str, np.ndarray]) -> None:
    observations = np.asarray(steps["observations"], dtype=np.float64)
    successors = np.asarray(steps["next_observations"], dtype=np.float64)
    if same_bits(observations[1:], successors[:-1]):
        _put(file, "observations", np.concatenate([observations, successors[-1:]]))
        _put_view(file, "obs0", observations.shape, start=0)
        _put_view(file, "obs1", observations.shape, start=1)
    else:
        _put(file, "obs0", observations)
        _put(file, "obs1", successors)
    if "actions" in steps:
        _put(file, "acs", plain_actions(np.asarray(steps["actions"])))
    terminated = np.asarray(steps["terminated"], dtype=bool)
    truncated = np.asarray(steps["truncated"], dtype=bool)
    _put(file, "dones1", terminated | truncated)
    _put(file, "terminated", terminated)
    _put(file, "truncated", truncated)
    rewards = np.asarray(steps["rewards"], dtype=np.float64)
    _put(file, "env_rews", rewards)
    file["ep_lens"] = np.int64(len(rewards))
    file["ep_env_rets"] = np.float64(rewards.sum())


def _put(file: h5py.File, name: str, array: np.ndarray) -> None:
    """Compressed without loss, with a checksum that finds altered bytes."""
    file.create_dataset(name, data=array, compression="gzip", shuffle=True, fletcher32=True)


def _put_view(file: h5py.File, name: str, shape: tuple[int, ...], *, start: int) -> None:
    """Rows of `observations`, read by HDF5's own calls: those of h5py store the time of day."""
    from h5py import h5d, h5p, h5s

    stored = file["observations"].id
    rows, seen = stored.get_space(), h5s.create_simple(shape)
    rows.select_hyperslab((start, 0), shape)
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_virtual(seen, b".", b"observations", rows)  # "." is this file
    properties.set_obj_track_times(False)
    h5d.create(file.id, name.encode(), stored.get_type(), seen, dcpl=properties)


def same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    """Whether two arrays hold the same bytes: 0.0 and -0.0 are not the same."""
    return left.shape == right.shape and left.tobytes() == right.tobytes()


def plain_actions(actions: np.ndarray) -> np.ndarray:
    """Actions as files hold them: int64, or float32 where that loses nothing, else float64."""
    if np.issubdtype(actions.dtype, np.integer):
        return actions.astype(np.int64)
    narrow = actions.astype(np.float32)
    return narrow if np.array_equal(narrow, actions, equal_nan=True) else actions.astype(np.float64)


def read_datasets(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Datasets and attributes of one file, as they are in it; what the format does not name is left.

    Raises:
        ConfigurationError: it is no HDF5 file, cut off or altered, or lacks a dataset.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            datasets = arrays_of(file, _READ, required=_REQUIRED, where=str(path))
            return datasets, plain_attributes(file.attrs)
    except (OSError, KeyError, RuntimeError) as error:
        raise not_whole(path, error) from error


def not_whole(path: Path, error: Exception) -> ConfigurationError:
    """What to say of a file that h5py cannot read."""
    if isinstance(error, FileNotFoundError):
        return ConfigurationError(f"{path} does not exist.", "Check --expert_path.")
    reason = " ".join(str(error).split()) or type(error).__name__
    return ConfigurationError(f"{path} is not a complete HDF5 file: {reason}.", _AGAIN)


def arrays_of(
    group: h5py.Group,
    names: Sequence[str],
    *,
    required: Sequence[str],
    where: str,
    rows: slice | None = None,
) -> dict[str, np.ndarray]:
    """The named arrays of a group, as far as they are there and as far as there is memory for them.

    Args:
        group: holds them.
        names: of them.
        required: those that must be there.
        where: it lies, for messages.
        rows: which of them; None is all.

    Raises:
        ConfigurationError: a required one is missing, or one is no array of numbers of its own file.
    """
    found = {name: _dataset(group, name, where) for name in names if name in group}
    missing = [name for name in required if name not in found]
    if missing:
        raise ConfigurationError(f"{where} has no dataset {', '.join(missing)}.", _AGAIN)
    if rows is not None:
        return {name: np.asarray(dataset[rows]) for name, dataset in found.items()}
    require_memory(
        sum(each.size * each.dtype.itemsize for each in found.values()),
        what=f"{where} unpacked",
        remedy="Use fewer demonstrations: --num_demos=4.",
    )
    return {name: np.asarray(dataset[()]) for name, dataset in found.items()}


def _dataset(group: h5py.Group, name: str, where: str) -> h5py.Dataset:
    """A dataset whose numbers lie in its file: what came from elsewhere has no other file here read."""
    import h5py

    dataset = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
    sources = ["."]
    if isinstance(dataset, h5py.Dataset):
        if dataset.is_virtual:
            sources = [each.file_name for each in dataset.virtual_sources()]
        sources += [each[0] for each in dataset.external or ()]
        if dataset.dtype.kind in "fiub" and set(sources) == {"."}:
            return dataset
    raise ConfigurationError(f"{where}: {name} is not an array of numbers in this file.", _AGAIN)


def plain_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes with Python's own numbers and texts; arrays stay arrays."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in attributes.items()
    }


def read_demo(path: Path, *, expected: Expected | None = None) -> Demo:
    """One episode, its shapes and ends not checked yet (`helpers.demos.checks`).

    Files of other code bases do not say whether the end is the task's or a time limit's: an episode as long
    as the limit was cut by it, every other one ended.

    Args:
        path: the file.
        expected: its environment, for the limit.

    Raises:
        ConfigurationError: it is not whole, lacks a dataset, contradicts itself, or does not mark its end.
    """
    datasets, attributes = read_datasets(path)
    rewards = datasets["env_rews"]
    _check_totals(path, datasets)
    attributes = origin_of_spec(attributes.get("env_spec")) | attributes
    if match := _NAME.fullmatch(path.stem):
        named = match["env_id"]
        is_file_name = expected is not None and named == file_name_of(expected.env_id)
        attributes.setdefault("env_id", expected.env_id if expected and is_file_name else named)
    if "terminated" in datasets and "truncated" in datasets:
        terminated, truncated = (
            datasets[name].astype(bool) for name in ("terminated", "truncated")
        )
        if not np.array_equal(terminated | truncated, datasets["dones1"].astype(bool)):
            raise ConfigurationError(f"{path}: dones1 is not (terminated or truncated).", _AGAIN)
    else:
        ended = datasets["dones1"].astype(bool)
        terminated, truncated, attributes["ends"] = ends_by_length(ended, expected, str(path))
    return Demo(
        observations=datasets["obs0"],
        actions=datasets.get("acs"),
        rewards=rewards,
        next_observations=datasets["obs1"],
        terminated=terminated,
        truncated=truncated,
        source=str(path),
        origin=attributes,
    )


def ends_by_length(
    ended: np.ndarray,
    expected: Expected | None,
    where: str,
) -> tuple[np.ndarray, np.ndarray, str]:
    """(terminated, truncated, how it is known) of an episode whose file has one word for both ends.

    An episode as long as the time limit was cut by it, every other one ended.

    Raises:
        ConfigurationError: the limit is not known.
    """
    if expected is None or expected.time_limit is None:
        remedy = (
            "Give the time limit of the recording, which determines it: --expert_time_limit=1000"
        )
        if expected is None:
            remedy += ", or its environment: --env_id=Hopper-v5"
        raise ConfigurationError(
            f"{where} does not say whether its end is a termination or a truncation.",
            f"{remedy}.",
        )
    is_cut, none = len(ended) >= expected.time_limit, np.zeros_like(ended)
    note = f"by length: the limit is {expected.time_limit} steps"
    return none if is_cut else ended, ended if is_cut else none, note


def _check_totals(path: Path, datasets: Mapping[str, np.ndarray]) -> None:
    """That the length and the return beside the steps are theirs."""
    rewards = datasets["env_rews"]
    if rewards.ndim != 1:
        return  # the check of shapes says it
    said = {name: datasets[name] for name in ("ep_lens", "ep_env_rets") if name in datasets}
    sums = {"ep_lens": float(len(rewards)), "ep_env_rets": float(rewards.sum())}
    for name, value in said.items():
        # returns of other code bases were summed in float32
        if value.size != 1 or not np.isclose(value.item(), sums[name], rtol=1e-4, equal_nan=True):
            raise ConfigurationError(
                f"{path}: {name} is {value.tolist()}, the steps give {sums[name]:.10g}.",
                _AGAIN,
            )
