"""Whose code it is: a user's files, apart from this project's, Python's and installed packages'."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from functools import cache
from pathlib import Path

from helpers.errors import ConfigurationError, UserError

REPOSITORY = Path(__file__).resolve().parents[1]
_OURS = ("agents", "benchmarks", "environments", "helpers", "registry", "swarm", "tests", ".venv")


def is_users(path: Path) -> bool:
    """Whether a file is neither of Python, nor of an installed package, nor of this project's own code."""
    if not _installed().isdisjoint((path, *path.parents)):
        return False
    if REPOSITORY not in path.parents:
        return True
    first = path.relative_to(REPOSITORY).parts[0]
    return first not in _OURS and not (path.parent == REPOSITORY and path.suffix == ".py")


@cache
def _installed() -> frozenset[Path]:
    """The folders of Python and its packages."""
    places = [*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix]
    return frozenset(Path(place).resolve() for place in places)


def users_line(error: BaseException) -> str | None:
    """The file and the line of a user's code that an exception came out of, in words; None where it is not his."""
    if (
        isinstance(error, SyntaxError)
        and error.filename
        and is_users(Path(error.filename).resolve())
    ):
        return f"{error.filename}, line {error.lineno}: {(error.text or '').strip()}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith("<") and is_users(Path(frame.filename).resolve()):
            return f"{frame.filename}, line {frame.lineno}: {frame.line}"
    return None


def failure(error: Exception, what: str) -> UserError:
    """What a user's code raised, with the file and the line of it.

    Args:
        error: as it was raised; one that has its two lines already stays as it is.
        what: was tried: "my.py:Reach cannot be made".
    """
    if isinstance(error, UserError):
        return error
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = users_line(error) or f"{last.filename}, line {last.lineno}: {last.line}"
    words = " ".join(str(error).split())
    return ConfigurationError(f"{what}: {type(error).__name__}: {words}.", f"Mend {place}")
