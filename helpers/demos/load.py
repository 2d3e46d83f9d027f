"""From what `--expert_path` names to episodes that are checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from helpers.demos.checks import check_demo, check_together
from helpers.demos.conform import conform
from helpers.demos.episode import Demo, Expected
from helpers.demos.formats.hdf5_files import open_hdf5
from helpers.demos.formats.imitation import is_trajectories, open_trajectories
from helpers.demos.formats.minari import PREFIX, MinariEpisodes, dataset_folder, is_dataset
from helpers.demos.formats.npz_files import open_npz
from helpers.demos.hdf5 import ENDING, is_hidden_demo, read_demo
from helpers.demos.origins import convert
from helpers.errors import ConfigurationError
from helpers.seeding import Streams

OTHER_ENDINGS = (".hdf5", ".npz", ".pkl", ".pickle")
_MORE = "python main.py --task=eval --model_path=RUN --save_traj --num_trajs="


class Source(Protocol):
    """Episodes in an order, read one at a time."""

    @property
    def folder(self) -> Path:
        """Where they lie."""

    @property
    def kind(self) -> str:
        """What it is, for a reader."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What of it is left out, a line each."""

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
    kind: str = "HDF5 files, one an episode"
    notes: tuple[str, ...] = ()

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
    """What a path holds: a file, a folder of files, a Minari dataset (a folder, or `minari:<id>`), imitation's folder.

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
    if is_trajectories(folder):
        return open_trajectories(folder)
    if folder.is_file():
        return open_file(folder)
    return _open_folder(folder, expert_path)


def _open_folder(folder: Path, expert_path: str) -> Source:
    """The files of a folder, or of its only subfolder that has some."""
    if not folder.is_dir():
        raise ConfigurationError(
            f"--expert_path={expert_path} is not a folder or file.",
            f"Give an existing one, or record it: {_MORE}16.",
        )
    if own := _files_in(folder, (ENDING,)):
        return _open_files(folder, own)
    if others := _files_in(folder, OTHER_ENDINGS):
        return _open_files(folder, others)
    below = sorted(
        {path.parent for path in folder.rglob(f"*{ENDING}") if not _is_hidden(path, folder)},
    )
    if len(below) == 1:
        return _open_files(below[0], _files_in(below[0], (ENDING,)))
    if below:
        raise ConfigurationError(
            f"--expert_path={expert_path} has demonstrations of {len(below)} runs in subfolders.",
            f"Choose one of them: --expert_path={below[0]}.",
        )
    raise ConfigurationError(
        f"--expert_path={expert_path} has no demonstration (no file *{ENDING}, {', *'.join(OTHER_ENDINGS)}).",
        f"Give another folder, or record some: {_MORE}16.",
    )


def _open_files(folder: Path, paths: tuple[Path, ...]) -> Source:
    """Files of ours, one an episode; or the only file of another library."""
    if len(paths) == 1:
        return open_file(paths[0])
    for path in paths:
        try:
            source = open_file(path)
        except ConfigurationError:
            continue  # said when it is read
        if isinstance(source, Files):
            break
        raise ConfigurationError(
            f"{folder} has {len(paths)} files, and {path.name} is {source.kind.partition(':')[0]}.",
            f"Choose one of them: --expert_path={path}.",
        )
    return Files(folder, paths)


def open_file(path: Path) -> Source:
    """The episodes of a file, of whatever format it is.

    Raises:
        ConfigurationError: of none that is read here.
    """
    if path.suffix in (".pkl", ".pickle", ".pt", ".pth"):
        raise ConfigurationError(
            f"{path} is a pickle, and reading one executes what it brings along: it is not read.",
            "Load it with the library that made it, and write arrays: numpy.savez_compressed (docs/demos.md).",
        )
    if path.suffix == ".npz":
        return open_npz(path)
    return open_hdf5(path) or Files(path.parent, (path,))


def _files_in(folder: Path, endings: Sequence[str]) -> tuple[Path, ...]:
    """Files of these endings. Of hidden ones, those that earlier versions wrote of `./my_task.py:Mine`."""
    found = [
        each
        for each in folder.iterdir()
        if each.name.endswith(tuple(endings))
        and (not each.name.startswith(".") or is_hidden_demo(each))
    ]
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
    reading = with_time_limit(expected, config.expert_time_limit)
    episodes = [read_one(source, index, reading) for index in indices]
    episodes, warnings = judge_together(episodes, expected, config)
    if config.expert_state_only and not keep_actions:
        episodes = without_actions(episodes)
    return Demos(tuple(episodes), indices, (*source.notes, *warnings))


def read_one(source: Source, index: int, expected: Expected | None) -> Demo:
    """One episode in the form that everything here has, checked alone.

    Raises:
        ConfigurationError: of the source and of `check_demo`.
    """
    demo = conform(source.read(index, expected=expected), expected)
    check_demo(demo)
    return demo


def with_time_limit(expected: Expected | None, limit: int | None) -> Expected | None:
    """How ends are found in files that do not mark them: the limit that is given, else the environment's."""
    if limit is None:
        return expected
    return replace(expected, time_limit=limit) if expected else Expected("", time_limit=limit)


def judge_together(
    demos: Sequence[Demo],
    expected: Expected | None,
    config: Any,
) -> tuple[list[Demo], list[str]]:
    """Episodes as they are used, converted if that is asked for, and warnings.

    Raises:
        ConfigurationError: of `convert` and `check_together`.
    """
    episodes = convert(demos, expected) if config.expert_convert else list(demos)
    warnings = check_together(
        episodes,
        expected,
        mismatch=config.expert_mismatch,
        accepted=config.expert_accept_wrappers,
    )
    return episodes, warnings


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
