"""Demonstrations as Minari datasets (https://minari.farama.org), read and written.

Datasets lie in `<root>/<namespace>/<name>-v<number>/data`, the root being $MINARI_DATASETS_PATH or
~/.minari/datasets. Writing is left to the package `minari`. Reading is done here: the package imports and calls
what a dataset names as its environment, and a dataset is often somebody else's. Nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.demos.episode import Demo, Expected
from helpers.demos.hdf5 import arrays_of, not_whole, plain_attributes, same_bits
from helpers.errors import ConfigurationError, StorageError

if TYPE_CHECKING:
    import gymnasium

PREFIX = "minari:"
_ID = re.compile(r"([-\w][-\w/]*[-\w]/)?[-\w]+-v\d+", re.ASCII)
_ID_FORM = "minari:hopper/expert-v0 (namespaces of two and more letters, a name, a version)"
_OURS = "milozero/"  # begins the names of an episode's attributes that Minari does not know
_DATA, _METADATA = "main_data.hdf5", "metadata.json"
_COLUMNS = ("observations", "actions", "rewards", "terminations", "truncations")


def root() -> Path:
    """Where this machine's datasets lie."""
    named = os.environ.get("MINARI_DATASETS_PATH")
    return Path(named) if named else Path.home() / ".minari" / "datasets"


def dataset_folder(name: str) -> Path:
    """The folder of `minari:<id>`, whether it is there or not.

    Raises:
        ConfigurationError: it is no id.
    """
    id_ = name.removeprefix(PREFIX)
    if not _ID.fullmatch(id_):
        raise ConfigurationError(f"{name} is not a Minari dataset.", f"Give one as {_ID_FORM}.")
    return root() / id_


def is_dataset(folder: Path) -> bool:
    """Whether a folder is a Minari dataset."""
    return (folder / "data" / _METADATA).is_file()


@dataclass(frozen=True)
class MinariEpisodes:
    """The episodes of one dataset.

    Attributes:
        folder: that holds `data/`.
        metadata: of the dataset, as in its file.
    """

    folder: Path
    metadata: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> MinariEpisodes:
        """Look at a dataset's metadata.

        Raises:
            ConfigurationError: it is not there, or not readable here.
        """
        path = folder / "data" / _METADATA
        if not path.is_file():
            raise ConfigurationError(
                f"{folder} is not a Minari dataset: there is no {path}.",
                f"Local ones: `minari list local`. To download one: `minari download {folder.name}`.",
            )
        try:
            metadata = json.loads(path.read_text(encoding="utf-8"))
            count = int(metadata["total_episodes"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{path} is not a description of a Minari dataset: {type(error).__name__}.",
                "Download the dataset again, or make it again with --demos_export=minari:ID.",
            ) from error
        if metadata.get("data_format", "hdf5") != "hdf5" or count < 0:
            raise ConfigurationError(
                f"{folder} is a Minari dataset in the format {metadata.get('data_format')}.",
                "hdf5 is read: `python -c 'import minari'`, create_dataset_from_buffers(..., data_format='hdf5').",
            )
        return cls(folder, metadata)

    @property
    def names(self) -> list[str]:
        """Of the episodes, in their order."""
        count = int(self.metadata["total_episodes"])
        return [f"{self.folder}, episode {index}" for index in range(count)]

    def read(self, index: int, *, expected: Expected | None = None) -> Demo:
        """One episode, not checked yet.

        Raises:
            ConfigurationError: the file is damaged, or its observations or actions are no vectors.
        """
        del expected  # an episode says by itself how it ended
        import h5py

        path, where = self.folder / "data" / _DATA, self.names[index]
        try:
            with h5py.File(path, "r") as file:
                name = f"episode_{index}"
                if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                    raise KeyError(f"{name} is missing")
                group = file[name]
                wrong = [each for each in _COLUMNS if isinstance(group.get(each), h5py.Group)]
                if wrong:
                    raise ConfigurationError(
                        f"{where} has {wrong[0]} in several parts, not one vector per step.",
                        "Flatten them into one array, and write the dataset again with minari.",
                    )
                arrays = arrays_of(group, _COLUMNS, required=_COLUMNS, where=where)
                attributes = plain_attributes(group.attrs)
        except (OSError, KeyError, RuntimeError) as error:
            raise not_whole(path, error) from error
        return self._demo(arrays, attributes, where)

    def _demo(
        self,
        arrays: dict[str, np.ndarray],
        attributes: Mapping[str, Any],
        where: str,
    ) -> Demo:
        observations = arrays["observations"]
        if observations.ndim != 2 or len(observations) != len(arrays["rewards"]) + 1:
            raise ConfigurationError(
                f"{where} has observations {observations.shape} for {len(arrays['rewards'])} rewards.",
                "There is one vector before each step and one after the last: write the dataset again with minari.",
            )
        actions: np.ndarray | None = arrays["actions"]
        if actions is not None and actions.dtype.kind in "iu" and actions.shape[1:] == (1,):
            actions = actions[:, 0]
        if attributes.get(f"{_OURS}states_alone"):
            actions = None
        return Demo(
            observations=observations[:-1],
            actions=actions,
            rewards=arrays["rewards"].astype(np.float64).reshape(-1),
            next_observations=observations[1:],
            terminated=arrays["terminations"].astype(bool).reshape(-1),
            truncated=arrays["truncations"].astype(bool).reshape(-1),
            source=where,
            origin=self._origin(attributes),
        )

    def _origin(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """What we wrote about an episode, else what the dataset says of all."""
        ours = {
            name.removeprefix(_OURS): value
            for name, value in attributes.items()
            if name.startswith(_OURS) and name != f"{_OURS}states_alone"
        }
        if ours:
            return ours
        origin: dict[str, Any] = {"minari_dataset": str(self.metadata.get("dataset_id", ""))}
        if "seed" in attributes:
            origin["seed"] = int(attributes["seed"])
        specification = _parse_json(self.metadata.get("env_spec"))
        if isinstance(specification.get("id"), str):
            origin["env_id"] = specification["id"]
        for requirement in self.metadata.get("requirements") or ():
            if match := re.fullmatch(r"mujoco==([\w.]+)", str(requirement).replace(" ", "")):
                origin["mujoco_version"] = match[1]
        space = _parse_json(self.metadata.get("action_space"))
        if space.get("type") == "Box" and "low" in space and "high" in space:
            origin["action_low"], origin["action_high"] = (
                np.asarray(space[name], dtype=np.float64) for name in ("low", "high")
            )
        return origin


def _parse_json(text: object) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def write_minari(name: str, demos: Sequence[Demo]) -> Path:
    """A new dataset `minari:<id>` of whole episodes; the folder it lies in.

    No environment is started: its bounds are those that the demonstrations name, else none.

    Raises:
        ConfigurationError: it is no id, or the episodes cannot be told in Minari's form.
        StorageError: the dataset is there already, or cannot be written.
    """
    folder = dataset_folder(name)
    if folder.exists():
        raise StorageError(
            f"{folder} exists.",
            "Give another name or version: --demos_export=minari:ID.",
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
        {f"{_OURS}{key}": value for key, value in demo.origin.items()}
        | ({f"{_OURS}states_alone": True} if demo.actions is None else {})
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
        stub.action_space = spaces.Discrete(int(first.origin.get("action_count", count)))
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
