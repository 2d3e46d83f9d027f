"""--task=demos: the card of demonstrations, the histogram of their returns, and their copy in our format."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from helpers import durable
from helpers.config.schema import Parsed
from helpers.demos.episode import Demo, Expected
from helpers.demos.formats.minari import PREFIX
from helpers.demos.formats.minari_writer import write_minari
from helpers.demos.hdf5 import ENDING, demo_path, file_name_of, write_demo
from helpers.demos.load import (
    Demos,
    Source,
    find_demos,
    judge_together,
    read_one,
    select_indices,
    subsample_steps,
    with_time_limit,
    without_actions,
)
from helpers.demos.summary import figures_of, page
from helpers.demos.wrappers import parse_json
from helpers.display.histogram import draw_returns
from helpers.errors import DONE, ConfigurationError, StorageError
from helpers.parallel.workers import Workers

Expectation = Callable[..., Expected]
Learners = Callable[[Demos], Mapping[str, str]]
_ANY = Expected("", time_limit=sys.maxsize)  # to read what a demonstration says of its environment


def report(
    parsed: Parsed,
    workers: Workers,
    *,
    expected_of: Expectation,
    learners: Learners,
) -> int:
    """Print the card, draw the picture, convert; then refuse what a training would refuse.

    The root does all of it. The environment is that of --env_id; where it is not given, the one that the
    demonstrations name, if they name one and it is known here.

    Args:
        parsed: the configuration, and what of it was given.
        workers: of whom the first works.
        expected_of: what demonstrations of an environment must be.
        learners: what the algorithms that learn from demonstrations miss in some, by their names; nothing of those
            that can learn from them.

    Raises:
        ConfigurationError: the demonstrations cannot be used; those that can are shown before.
        StorageError: picture, card or copies cannot be written.
    """
    if not workers.is_root:
        return DONE
    config: Any = parsed.config
    source = find_demos(config.expert_path)
    indices = select_indices(source, config)
    if not indices:
        raise ConfigurationError(
            f"{source.folder}: no demonstration is selected.",
            "Give --num_demos=1 or more.",
        )
    if "env_id" in parsed.given:
        expected: Expected | None = expected_of(config.env_id, config.environment_options)
    else:
        expected = _expected_by(source, indices, expected_of)
    demos, refusals = _inspect(source, indices, with_time_limit(expected, config.expert_time_limit))
    if "env_id" in parsed.given and expected:
        named = {"env_id": expected.env_id, "env_id_from": "--env_id"}
        demos = {i: replace(d, origin={**named, **d.origin}) for i, d in demos.items()}
    if not demos:
        print(f"{source.folder}: {source.kind}")
        raise refusals[0]
    _show(source, demos, refusals, config)
    _show_learners(learners(Demos(tuple(demos.values()), tuple(demos))))
    chosen, warnings = judge_together([*demos.values()], expected, config)
    for line in (*source.notes, *warnings):
        print(f"warning: {line}")
    if refusals:
        raise refusals[0]
    if config.convert_to:
        chosen = without_actions(chosen) if config.expert_state_only else chosen
        made = export(config.convert_to, chosen)
        more = f" ... {len(made)} files" if len(made) > 1 else ""
        print(f"converted: {made[0]}{more}")
    print(f"next: {_next(config)}")
    return DONE


def _show_learners(missing: Mapping[str, str]) -> None:
    """Which algorithms can learn from the demonstrations, and what the others miss."""
    able = [name for name, line in missing.items() if not line]
    print(f"{'learners':17} {', '.join(able) or 'none'}")
    by_line: dict[str, list[str]] = {}
    for name, line in missing.items():
        by_line.setdefault(line, []).append(name)
    for line, names in by_line.items():
        if line:
            print(f"{'not for':17} {', '.join(names)}: {line}")


def _inspect(
    source: Source,
    indices: Sequence[int],
    expected: Expected | None,
) -> tuple[dict[int, Demo], list[ConfigurationError]]:
    """The demonstrations that can be used, by index, and why the others cannot."""
    demos: dict[int, Demo] = {}
    refusals = []
    for index in indices:
        try:
            demos[index] = read_one(source, index, expected)
        except ConfigurationError as error:
            refusals.append(error)
    return demos, refusals


def _show(
    source: Source,
    demos: Mapping[int, Demo],
    refusals: Sequence[ConfigurationError],
    config: Any,
) -> None:
    """The card on the terminal and as JSON, and the picture."""
    kept = [subsample_steps(config, index, demo.length) for index, demo in demos.items()]
    figures = figures_of([*demos.values()], kept)
    problems = [error.problem for error in refusals]
    folder = source.folder
    print(page(figures, title=f"demonstrations in {folder}", kind=source.kind, refusals=problems))
    named = ", ".join(map(str, figures["origin"]["env_id"])) or folder.name
    path = getattr(source, "path", folder)  # of a file that holds all of them
    prefix = f"{path.stem}_" if path.is_file() else ""
    picture = draw_returns(
        [demo.return_ for demo in demos.values()],
        folder / f"{prefix}returns.png",
        title=f"{len(demos)} demonstrations of {named}",
    )
    print(f"returns: {picture}")
    card = figures | {"kind": source.kind, "refused": problems}
    print(f"card: {_save(folder / f'{prefix}card.json', card)}")


def _expected_by(
    source: Source,
    indices: Sequence[int],
    expected_of: Expectation,
) -> Expected | None:
    """What the environment of the first demonstration, with its options, asks for, if it is known here."""
    try:
        origin = source.read(indices[0], expected=_ANY).origin
        return expected_of(str(origin["env_id"]), parse_json(origin.get("env_options"), dict))
    except (ConfigurationError, KeyError):
        return None


def _save(path: Path, figures: dict[str, Any]) -> Path:
    try:
        durable.write_atomically(path, json.dumps(figures, indent=1) + "\n")
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Free space there, or copy the demonstrations to a writable folder.",
        ) from error
    return path


def export(place: str, demos: Sequence[Demo]) -> list[Path]:
    """Write episodes to `minari:<id>`, or as HDF5 files to a folder; the files, or the folder of the dataset.

    Raises:
        ConfigurationError, StorageError: of `write_minari` and `write_demo`; nothing is replaced.
    """
    if place.startswith(PREFIX):
        return [write_minari(place, demos)]
    folder = Path(place).expanduser()
    paths = [_path_of(folder, demo, index) for index, demo in enumerate(demos)]
    for path in paths:
        if path.exists():
            raise StorageError(
                f"{path} exists.",
                "Give another folder (--convert_to), or remove the old demonstrations.",
            )
    for path, demo in zip(paths, demos, strict=True):
        write_demo(path, dict(demo.arrays()), demo.origin, setting="--convert_to")
    return paths


def _path_of(folder: Path, demo: Demo, index: int) -> Path:
    """Named by the environment, if that is known."""
    if "env_id" in demo.origin:
        return demo_path(folder, file_name_of(str(demo.origin["env_id"])), index)
    return folder / f"demo{index:03d}{ENDING}"


def _next(config: Any) -> str:
    """A command that works on what was shown."""
    place = config.convert_to or config.expert_path
    if config.convert_to:
        return f"python main.py --task=demos --expert_path={shlex.quote(place)}"
    target = "minari:demos/expert-v0"
    if place.startswith(PREFIX):
        target = f"data/demos/{place.removeprefix(PREFIX).replace('/', '_')}"
    return f"python main.py --task=demos --expert_path={shlex.quote(place)} --convert_to={target}"
