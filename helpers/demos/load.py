"""From what `--expert_path` names to episodes that are checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from helpers.demos.checks import check_demo, check_together
from helpers.demos.episode import Demo, Expected
from helpers.demos.hdf5 import ENDING, read_demo
from helpers.demos.minari_datasets import PREFIX, MinariEpisodes, dataset_folder, is_dataset
from helpers.errors import ConfigurationError
from helpers.seeding import Streams

_MORE = "python main.py --task=eval --model_path=RUN --save_traj --num_trajs="


class Source(Protocol):
    """Episodes in an order, read one at a time."""

    @property
    def folder(self) -> Path:
        """Where they lie."""

    @property
    def names(self) -> list[str]:
        """What each is called, for a reader; the order is that of indices everywhere."""

    def read(self, index: int, *, expected: Expected | None = None) -> Demo:
        """One of them, not checked yet."""


@dataclass(frozen=True)
class Files:
    """HDF5 files, one an episode."""

    folder: Path
    paths: tuple[Path, ...]

    @property
    def names(self) -> list[str]:
        """Their paths."""
        return [str(path) for path in self.paths]

    def read(self, index: int, *, expected: Expected | None = None) -> Demo:
        """One of them, not checked yet."""
        return read_demo(self.paths[index], expected=expected)


@dataclass(frozen=True)
class Demos:
    """Episodes that passed the checks.

    Attributes:
        episodes: in their order.
        indices: of each among all episodes of the source.
        warnings: a line each.
    """

    episodes: tuple[Demo, ...]
    indices: tuple[int, ...]
    warnings: tuple[str, ...] = ()


def find_demos(expert_path: str | None) -> Source:
    """What a path holds: a file, a folder of files, or a Minari dataset (a folder, or `minari:<id>`).

    A folder without files of its own stands for its only subfolder that has some, as `--save_traj` makes
    one for each run.

    Raises:
        ConfigurationError: there is nothing, or more than one thing that could be meant.
    """
    if not expert_path:
        raise ConfigurationError(
            "--expert_path, the folder of the demonstrations, is not given.",
            "Give it: --expert_path=data/demos/Hopper-v5.",
        )
    if expert_path.startswith(PREFIX):
        return MinariEpisodes.open(dataset_folder(expert_path))
    folder = Path(expert_path).expanduser()
    if is_dataset(folder):
        return MinariEpisodes.open(folder)
    if folder.is_file():
        return Files(folder.parent, (folder,))
    if not folder.is_dir():
        raise ConfigurationError(
            f"--expert_path={expert_path} is not a folder or file.",
            f"Give an existing one, or record it: {_MORE}16.",
        )
    if own := _files_in(folder):
        return Files(folder, own)
    below = sorted(
        {path.parent for path in folder.rglob(f"*{ENDING}") if not _is_hidden(path, folder)},
    )
    if len(below) == 1:
        return Files(below[0], _files_in(below[0]))
    if below:
        raise ConfigurationError(
            f"--expert_path={expert_path} has demonstrations of {len(below)} runs in subfolders.",
            f"Choose one of them: --expert_path={below[0]}.",
        )
    raise ConfigurationError(
        f"--expert_path={expert_path} has no demonstration (no file *{ENDING}).",
        f"Give another folder, or record some: {_MORE}16.",
    )


def _files_in(folder: Path) -> tuple[Path, ...]:
    found = [each for each in folder.glob(f"*{ENDING}") if not each.name.startswith(".")]
    return tuple(sorted(found, key=in_order))


def in_order(path: Path) -> list[tuple[str, int]]:
    """The key that sorts by alphabet, and demo1000 behind demo999."""
    pieces = re.findall(r"(\D*)(\d*)", path.name)
    return [(text, int(number or -1)) for text, number in pieces]


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def select_indices(
    source: Source,
    num_demos: int | None,
    *,
    choice: str,
    seed: int,
) -> tuple[int, ...]:
    """Which episodes are used, ascending: a function of these arguments, so the same on every worker.

    Args:
        source: all that there are.
        num_demos: how many; None is all.
        choice: "first" in their order, or "seed" for a subset that the run's seed draws.
        seed: of the run.

    Raises:
        ConfigurationError: there are fewer.
    """
    there = len(source.names)
    wanted = there if num_demos is None else num_demos
    if wanted > there:
        raise ConfigurationError(
            f"--num_demos={wanted}, but {source.folder} holds {there} demonstrations.",
            f"Use those: --num_demos={there}, or record more: {_MORE}{wanted}.",
        )
    if choice == "first":
        return tuple(range(wanted))
    order = Streams(seed).generator("demonstrations: choice").permutation(there)
    return tuple(sorted(int(index) for index in order[:wanted]))


def read_demos(
    config: Any,
    expected: Expected | None,
    *,
    keep_actions: bool = False,
) -> Demos:
    """Read the demonstrations of a configuration, and check all of them.

    Args:
        config: the settings of demonstrations, and `seed`.
        expected: the environment that they are for; None compares them with one another.
        keep_actions: whether also those of which a run uses states alone have their actions.

    Raises:
        ConfigurationError: what `find_demos`, `select_indices`, `check_demo` and `check_together` refuse.
    """
    if config.num_demos == 0:
        return Demos((), ())
    source = find_demos(config.expert_path)
    indices = select_indices(
        source,
        config.num_demos,
        choice=config.expert_demo_choice,
        seed=config.seed,
    )
    episodes = [source.read(index, expected=expected) for index in indices]
    for demo in episodes:
        check_demo(demo)
    warnings = check_together(episodes, expected, mismatch=config.expert_mismatch)
    if config.expert_state_only and not keep_actions:
        episodes = without_actions(episodes)
    return Demos(tuple(episodes), indices, tuple(warnings))


def without_actions(demos: Sequence[Demo]) -> list[Demo]:
    """The same episodes as states alone."""
    return [replace(demo, actions=None) for demo in demos]


def subsample_steps(config: Any, index: int, length: int) -> range:
    """The steps of an episode that are used: all of them, or every k-th, starting at a random offset.

    The offset is a function of the run's seed and of the episode's index in its source: it is the same on every
    worker, and does not depend on how many other episodes are used. At least one step is kept.

    Args:
        config: `expert_demo_subsample`, `expert_demo_subsample_rate` and `seed`.
        index: of the episode in its source.
        length: its steps.
    """
    if not config.expert_demo_subsample:
        return range(length)
    rate = config.expert_demo_subsample_rate
    stream = Streams(config.seed).generator("demonstrations: subsample", index)
    return range(int(stream.integers(min(rate, length))), length, rate)
