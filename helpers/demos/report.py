"""--task=demos: the card of demonstrations, the histogram of their returns, and their copy in another format."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers import durable
from helpers.config.schema import Parsed
from helpers.demos.checks import check_demo, check_together
from helpers.demos.episode import Demo, Expected
from helpers.demos.hdf5 import demo_path, file_name_of, write_demo
from helpers.demos.load import Source, find_demos, select_indices, subsample_steps, without_actions
from helpers.demos.minari_datasets import PREFIX, write_minari
from helpers.demos.summary import figures_of, page
from helpers.display.histogram import draw_returns
from helpers.errors import DONE, ConfigurationError, StorageError
from helpers.parallel.workers import Workers

Expectation = Callable[[str], Expected]
_ANY = Expected("", time_limit=sys.maxsize)  # to read what a demonstration says of its environment


def report(parsed: Parsed, workers: Workers, *, expected_of: Expectation) -> int:
    """Print the card, draw the picture, export; then refuse what a training would refuse.

    The root does all of it. The environment is that of --env_id; where it is not given, the one that the
    demonstrations name, if they name one and it is known here.

    Args:
        parsed: the configuration, and what of it was given.
        workers: of whom the first works.
        expected_of: what demonstrations of an environment must be.

    Raises:
        ConfigurationError: the demonstrations cannot be used; those that can are shown before.
        StorageError: picture, card or copies cannot be written.
    """
    if not workers.is_root:
        return DONE
    config: Any = parsed.config
    source = find_demos(config.expert_path)
    indices = select_indices(
        source,
        config.num_demos,
        choice=config.expert_demo_choice,
        seed=config.seed,
    )
    if not indices:
        raise ConfigurationError(
            f"{source.folder}: no demonstration is selected.",
            "Give --num_demos=1 or more.",
        )
    if "env_id" in parsed.given:
        expected: Expected | None = expected_of(config.env_id)
    else:
        expected = _expected_by(source, indices, expected_of)
    demos, refusals = _inspect(source, indices, expected)
    if not demos:
        raise refusals[0]
    _show(source.folder, demos, refusals, config)
    for line in check_together([*demos.values()], expected, mismatch=config.expert_mismatch):
        print(f"warning: {line}")
    if refusals:
        raise refusals[0]
    if config.demos_export:
        chosen = [*demos.values()]
        chosen = without_actions(chosen) if config.expert_state_only else chosen
        print(f"exported: {export(config.demos_export, chosen)}")
    print(f"next: {_next(config)}")
    return DONE


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
            demo = source.read(index, expected=expected)
            check_demo(demo)
        except ConfigurationError as error:
            refusals.append(error)
        else:
            demos[index] = demo
    return demos, refusals


def _show(
    folder: Path,
    demos: Mapping[int, Demo],
    refusals: Sequence[ConfigurationError],
    config: Any,
) -> None:
    """The card on the terminal and as JSON, and the picture."""
    kept = [subsample_steps(config, index, demo.length) for index, demo in demos.items()]
    figures = figures_of([*demos.values()], kept)
    problems = [error.problem for error in refusals]
    print(page(figures, title=f"demonstrations in {folder}", refusals=problems))
    named = ", ".join(map(str, figures["origin"]["env_id"])) or folder.name
    picture = draw_returns(
        [demo.return_ for demo in demos.values()],
        folder / "returns.png",
        title=f"{len(demos)} demonstrations of {named}",
    )
    print(f"returns: {picture}")
    print(f"card: {_save(folder / 'card.json', figures | {'refused': problems})}")


def _expected_by(
    source: Source,
    indices: Sequence[int],
    expected_of: Expectation,
) -> Expected | None:
    """What the first demonstration's own environment asks for, if it names one that is known here."""
    try:
        return expected_of(str(source.read(indices[0], expected=_ANY).origin["env_id"]))
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


def export(place: str, demos: Sequence[Demo]) -> Path:
    """Write episodes to `minari:<id>`, or as HDF5 files to a folder; where they are then.

    Raises:
        ConfigurationError, StorageError: of `write_minari` and `write_demo`.
    """
    if place.startswith(PREFIX):
        return write_minari(place, demos)
    folder = Path(place).expanduser()
    for index, demo in enumerate(demos):
        env_id = str(demo.origin.get("env_id", "unknown"))
        write_demo(
            demo_path(folder, file_name_of(env_id), index),
            dict(demo.arrays()),
            demo.origin,
            setting="--demos_export",
        )
    return folder


def _next(config: Any) -> str:
    """A command that works on what was shown."""
    place = config.demos_export or config.expert_path
    if config.demos_export:
        return f"python main.py --task=demos --expert_path={shlex.quote(place)}"
    target = "minari:demos/expert-v0"
    if place.startswith(PREFIX):
        target = f"data/demos/{place.removeprefix(PREFIX).replace('/', '_')}"
    return f"python main.py --task=demos --expert_path={shlex.quote(place)} --demos_export={target}"
