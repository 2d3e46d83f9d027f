"""That a run has ended before its last step, since its agent had nothing more to learn; the capsule's `ended`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.durable import write_atomically
from helpers.errors import StorageError
from helpers.run_folder.changes import read_capsule
from helpers.run_folder.experiment import CAPSULE_FILE

_ENDED = "ended"


def note_end(folder: Path, iteration: int) -> None:
    """Keep the iteration after which a run has ended.

    Raises:
        StorageError: it cannot be written.
    """
    capsule = read_capsule(folder)
    if capsule.get(_ENDED) == iteration:
        return
    try:
        text = json.dumps(capsule | {_ENDED: iteration}, indent=1) + "\n"
        write_atomically(folder / CAPSULE_FILE, text)
    except OSError as error:
        raise StorageError(
            f"{folder / CAPSULE_FILE} cannot be written: {error.strerror or error}.",
            "Free space or fix permissions there.",
        ) from error


def has_ended(capsule: Mapping[str, Any], iteration: int) -> bool:
    """Whether a run has ended after an iteration, whatever its number of steps says."""
    return capsule.get(_ENDED) == iteration
