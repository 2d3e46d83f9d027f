"""Where `data/` is: the folder `data` here, or another one, on a file system with more room.

It holds what programs write: runs, swarms, searches, and caches. The repository's demonstrations stay where they are.
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "MILOZERO_DATA"
HERE = "data"


def data_root(named: str | None = None) -> Path | None:
    """The folder that stands for `data/`; None: nobody named one.

    Args:
        named: by a setting, which comes before the environment.
    """
    root = named or os.environ.get(VARIABLE)
    return Path(root).expanduser() if root else None


def set_data_root(named: str | None) -> None:
    """Let this process and those that it starts have the folder of a setting."""
    if named is not None:
        os.environ[VARIABLE] = str(Path(named).expanduser().absolute())


def place(path: str, named: str | None = None) -> Path:
    """Where a folder of ours is: `data/runs` is `runs` of the data root; others are where they say."""
    found, root = Path(path).expanduser(), data_root(named)
    if root is None or found.parts[:1] != (HERE,):
        return found
    return root.joinpath(*found.parts[1:])


def find(path: str) -> Path:
    """Where a file or folder that is read is: as named, else below the data root."""
    found = Path(path).expanduser()
    return found if found.exists() else place(path)


def cache_folder() -> Path:
    """Of what can be made again: the user's cache; where a data root is named, its `cache`, for homes have quotas."""
    root, named = data_root(), os.environ.get("XDG_CACHE_HOME")
    if named or root is None:
        return Path(named or Path.home() / ".cache") / "milozero"
    return root.absolute() / "cache" / "milozero"
