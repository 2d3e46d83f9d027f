"""What the returns of an imitation are compared with, in `references.json` of its run folder.

By name, EXPERT and RANDOM: `source` (a few words), `return_mean`, `return_sd` and the other figures of
`helpers.episodes.summary`, and of demonstrations which files and steps are used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from helpers.durable import write_atomically
from helpers.errors import StorageError

FILE = "references.json"
EXPERT, RANDOM = "expert", "random policy"
RANDOM_EPISODES = 4  # a fraction of a second; their mean errs by little on an expert's scale

Reference = Mapping[str, Any]


def save_references(folder: Path, references: Mapping[str, Reference]) -> None:
    """Write them into a run folder.

    Raises:
        StorageError: it cannot be written.
    """
    path = folder / FILE
    try:
        write_atomically(path, json.dumps(references, indent=1) + "\n")
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Free some space there, or choose another --runs_dir.",
        ) from error


def read_references(folder: Path) -> Mapping[str, Reference]:
    """Those of a run, the expert first; none of a run that has no expert.

    Raises:
        StorageError: the file is damaged.
    """
    path = folder / FILE
    try:
        saved = dict(json.loads(path.read_bytes()))
        found = {name: dict(saved[name]) for name in (EXPERT, RANDOM) if name in saved}
        for each in found.values():
            each |= {"return_mean": float(each["return_mean"]), "source": str(each["source"])}
        return found
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StorageError(
            f"{path} is damaged: {type(error).__name__}.",
            "Remove it; the resumed run writes it again.",
        ) from error


def share_of_expert(return_mean: float, references: Mapping[str, Reference]) -> float | None:
    """(return - random) / (expert - random): 0 is a random policy, 1 the expert; None where one is not known."""
    if not {EXPERT, RANDOM} <= references.keys():
        return None
    expert, chance = (float(references[name]["return_mean"]) for name in (EXPERT, RANDOM))
    return (return_mean - chance) / (expert - chance) if expert != chance else None


def comparison(return_mean: float, references: Mapping[str, Reference]) -> str | None:
    """A line on `share_of_expert`; None where that is not known."""
    share = share_of_expert(return_mean, references)
    if share is None:
        return None
    expert, chance = (references[name] for name in (EXPERT, RANDOM))
    return (
        f"of the expert: {share:.2f}, where 0 is a random policy ({chance['return_mean']:,.2f}) "
        f"and 1 the expert ({expert['return_mean']:,.2f}, {expert['source']})"
    )
