"""Runs that were refused before they began leave no folder."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection
from pathlib import Path

from helpers.checkpoints.manifests import list_checkpoints


def discard(folder: Path, *, but: Collection[str] = (), even_begun: bool = False) -> bool:
    """Remove a run folder that has no checkpoint; whether that was so.

    Args:
        folder: of the run.
        even_begun: also one whose only checkpoint is that of its beginning, before anything is learned.
        but: names of what lay there before, a job's scripts and logs: it stays, and the folder with it.
    """
    there = list_checkpoints(folder / "checkpoints")
    if any(iteration or not even_begun for iteration, _ in there):
        return False
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name in but:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it holds what lay there before
        folder.rmdir()
    return True
