"""Demonstrations as Minari datasets (https://minari.farama.org).

Datasets lie in `<root>/<namespace>/<name>-v<number>/data`, the root being $MINARI_DATASETS_PATH or
~/.minari/datasets. Writing is left to the package `minari`. Reading is done here: the package imports and calls
what a dataset names as its environment, and a dataset is often somebody else's. Nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from helpers.demos.episode import Demo, Expected
from helpers.demos.formats.minari_files import FORMS, read_arrow_episode, read_hdf5_episode
from helpers.demos.formats.spaces import Column, vectors_of
from helpers.demos.wrappers import origin_of_spec, parse_json
from helpers.errors import ConfigurationError

PREFIX = "minari:"
_ID = re.compile(r"([-\w][-\w/]*[-\w]/)?[-\w]+-v\d+", re.ASCII)
_ID_FORM = "minari:hopper/expert-v0 (namespaces of two and more letters, a name, a version)"
OURS = "milozero/"  # begins the names of an episode's attributes that Minari does not know
_METADATA = "metadata.json"


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
                "Download the dataset again, or make it again with --convert_to=minari:ID.",
            ) from error
        form = metadata.get("data_format", "hdf5")
        if form not in FORMS or count < 0:
            raise ConfigurationError(
                f"{folder} is a Minari dataset in the format {form}.",
                f"These are read: {', '.join(FORMS)}; write it again with data_format='hdf5'.",
            )
        return cls(folder, metadata)

    @property
    def kind(self) -> str:
        """What it is, for a reader."""
        form = self.metadata.get("data_format", "hdf5")
        return f"a Minari dataset ({form}), minari {self.metadata.get('minari_version', 'unknown')}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing is left out."""
        return ()

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
        where, form = self.names[index], str(self.metadata.get("data_format", "hdf5"))
        read = read_hdf5_episode if form == "hdf5" else read_arrow_episode
        columns, attributes = read(self.folder / "data", index, form=form, where=where)
        return self._demo(columns, attributes, where)

    def _demo(
        self,
        columns: Mapping[str, Column],
        attributes: Mapping[str, Any],
        where: str,
    ) -> Demo:
        spaces = {
            name: parse_json(self.metadata.get(f"{name.removesuffix('s')}_space"), dict)
            for name in ("observations", "actions")
        }
        observations = vectors_of(columns["observations"], spaces["observations"], where=where)
        steps = len(np.asarray(columns["rewards"]))
        if observations.ndim != 2 or len(observations) != steps + 1:
            raise ConfigurationError(
                f"{where} has observations {observations.shape} for {steps} rewards.",
                "There is one vector before each step and one after the last: write the dataset again with minari.",
            )
        actions = columns["actions"]
        if not isinstance(actions, np.ndarray):
            raise ConfigurationError(
                f"{where} has actions in several parts, which no algorithm here takes.",
                "Record them as one vector or one whole number per step.",
            )
        return Demo(
            observations=observations[:-1],
            actions=None if attributes.get(f"{OURS}states_alone") else actions,
            rewards=np.asarray(columns["rewards"]).astype(np.float64).reshape(-1),
            next_observations=observations[1:],
            terminated=np.asarray(columns["terminations"]).astype(bool).reshape(-1),
            truncated=np.asarray(columns["truncations"]).astype(bool).reshape(-1),
            source=where,
            origin=self._origin(attributes),
        )

    def _origin(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """What we wrote about an episode, else what the dataset says of all."""
        ours = {
            name.removeprefix(OURS): value
            for name, value in attributes.items()
            if name.startswith(OURS) and name != f"{OURS}states_alone"
        }
        if ours:
            return ours
        origin: dict[str, Any] = {"minari_dataset": str(self.metadata.get("dataset_id", ""))}
        if "seed" in attributes:
            origin["seed"] = int(attributes["seed"])
        origin |= origin_of_spec(self.metadata.get("env_spec"))
        for requirement in self.metadata.get("requirements") or ():
            if match := re.fullmatch(r"mujoco==([\w.]+)", str(requirement).replace(" ", "")):
                origin["mujoco_version"] = match[1]
        space = parse_json(self.metadata.get("action_space"), dict)
        if space.get("type") == "Box" and "low" in space and "high" in space:
            origin["action_low"], origin["action_high"] = (
                np.asarray(space[name], dtype=np.float64) for name in ("low", "high")
            )
        return origin
