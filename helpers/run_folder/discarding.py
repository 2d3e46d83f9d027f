"""Runs that were refused before they began leave no folder."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection
from pathlib import Path

from helpers.checkpoints.manifests import list_checkpoints


def discard(folder: Path, *, but: Collection[str] = ()) -> bool:
    """Remove a run folder that has no checkpoint; whether that was so.

    Args:
        folder: of the run.
        but: names of what lay there before, a job's scripts and logs: it stays, and the folder with it.
    """
    if list_checkpoints(folder / "checkpoints"):
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
