"""One checkpoint of a run, by a path and a word or a number; without workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers import durable
from helpers.checkpoints.manifests import (
    BEST,
    LATEST,
    MANIFEST,
    SHARED,
    check_schema,
    iteration_of,
    list_checkpoints,
    read_manifest,
    target_of,
)
from helpers.checkpoints.state_files import unpack
from helpers.data_root import find
from helpers.durable import UnprovenError
from helpers.errors import CheckpointError

_FOLDER = "checkpoints"  # in a run folder
_MOST_LISTED = 12


def resolve_checkpoint(model_path: Path, iter_num: str) -> Path:
    """The folder of one checkpoint.

    Args:
        model_path: a run folder, its checkpoints folder, or a checkpoint, which it then is.
        iter_num: "best", "latest", or the number of an iteration.

    Raises:
        CheckpointError: there is no such checkpoint; says which there are.
    """
    path, wanted = find(str(model_path)), str(iter_num)
    number = int(wanted) if wanted.isdecimal() else None
    if number is None and wanted not in {BEST, LATEST}:
        raise CheckpointError(
            f"iter_num is {wanted!r}, which is not an iteration.",
            f"Give {BEST}, {LATEST} or a number.",
        )
    target = path.resolve() if path.is_symlink() else path
    if (path / MANIFEST).exists() or (iteration_of(target) is not None and path.is_dir()):
        if number not in {None, iteration_of(target)}:
            raise CheckpointError(
                f"{path} is not the checkpoint of iteration {number}.",
                f"Give the run folder to choose by iter_num, or {BEST} as iter_num.",
            )
        return target
    folder = path / _FOLDER if (path / _FOLDER).is_dir() else path
    there = list_checkpoints(folder)
    if not there:
        what = "holds no checkpoint" if path.exists() else "does not exist"
        raise CheckpointError(
            f"{path} {what}.",
            "Give a run folder, its checkpoints folder, or one checkpoint.",
        )
    best = folder / (target_of(folder / BEST) or BEST)
    if wanted == BEST:
        number = iteration_of(best)
    elif wanted == LATEST:
        number = there[0][0]
    for iteration, checkpoint in there:
        if iteration == number:
            return checkpoint
    raise CheckpointError(
        f"{folder} has no checkpoint {wanted}.",
        f"Choose by iter_num from {_enumerate_iterations(there)}.",
    )


def read_shared(path: Path) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """(iteration, what all workers had in common, manifest) of a checkpoint, proven.

    Not collective, and for any number of workers: what evaluation and the model registry need.

    Raises:
        CheckpointError: it cannot be trusted, or a newer program wrote it.
    """
    try:
        manifest = read_manifest(path)
        check_schema(manifest, path)
        shared = unpack(durable.read_file(path / SHARED, manifest["files"][SHARED]))
    except UnprovenError as error:
        raise CheckpointError(
            f"{path} is damaged: {error}.",
            "Choose another one by iter_num, or restore it from a copy.",
        ) from error
    return manifest["iteration"], shared, manifest


def _enumerate_iterations(there: list[tuple[int, Path]]) -> str:
    """The iterations of some checkpoints, oldest first, without the middle of a long list."""
    numbers = [str(iteration) for iteration, _ in reversed(there)]
    if len(numbers) > _MOST_LISTED:
        half = _MOST_LISTED // 2
        numbers = [*numbers[:half], "...", *numbers[-half:]]
    return ", ".join(numbers)
