"""Whose code it is: a user's files, apart from this project's, Python's and installed packages'."""

from __future__ import annotations

import inspect
import sys
import sysconfig
import traceback
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from helpers.errors import UserError, UsersCodeError

REPOSITORY = Path(__file__).resolve().parents[1]
_OURS = ("agents", "benchmarks", "environments", "helpers", "registry", "swarm", "tests", ".venv")


def is_users(path: Path) -> bool:
    """Whether a file is neither of Python, nor of an installed package, nor of this project's own code."""
    if is_installed(path):
        return False
    place = path.resolve()
    if REPOSITORY not in place.parents:
        return True
    first = place.relative_to(REPOSITORY).parts[0]
    return first not in _OURS and not (place.parent == REPOSITORY and place.suffix == ".py")


def is_installed(path: Path) -> bool:
    """Whether a file is of Python or of an installed package, or a link there: some installers link files."""
    places = (path.absolute(), path.resolve())
    return any(not _installed().isdisjoint((each, *each.parents)) for each in places)


@cache
def _installed() -> frozenset[Path]:
    """The folders of Python and its packages; those of another environment, too, whose packages a .pth file lends."""
    lent = [each for each in sys.path if Path(each).name in ("site-packages", "dist-packages")]
    places = [*sysconfig.get_paths().values(), *lent, sys.prefix, sys.base_prefix]
    return frozenset(path for place in places for path in (Path(place), Path(place).resolve()))


def users_line(error: BaseException) -> str | None:
    """The file and the line of a user's code that an exception came out of, in words; None where it is not his."""
    if isinstance(error, SyntaxError) and error.filename and is_users(Path(error.filename)):
        return f"{error.filename}, line {error.lineno}: {(error.text or '').strip()}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith("<") and is_users(Path(frame.filename)):
            return f"{frame.filename}, line {frame.lineno}: {frame.line}"
    return None


class UsersCode:
    """What is raised inside comes out as a `UsersCodeError`: two lines, with the file and the line of the user's code.

    Args:
        what: is done: "env_id=my.py:Reach, reset".
        of: the function or class that is called, named if the traceback has no line of its author.
        mend: what its reader can do, before the place.
    """

    def __init__(self, what: str, of: Any = None, *, mend: str = "Mend") -> None:
        self.what, self.of, self.mend = what, of, mend

    def __enter__(self) -> Any:
        """Nothing is done yet."""
        return None

    def __exit__(
        self,
        kind: object,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell what was raised; what has its two lines already stays as it is."""
        if isinstance(error, Exception | SystemExit) and not isinstance(error, UserError):
            raise failure(error, self.what, of=self.of, mend=self.mend) from error


def failure(
    error: BaseException,
    what: str,
    *,
    of: Any = None,
    mend: str = "Mend",
) -> UserError:
    """What a user's code raised, with the file and the line of it.

    Args:
        error: as it was raised; one that has its two lines already stays as it is.
        what: was tried: "my.py:Reach cannot be made".
        of: what was called.
        mend: what its reader can do, before the place.
    """
    if isinstance(error, UserError):
        return error
    place = users_line(error) or _package_line(error, of) or definition(of)
    if place is None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename}, line {last.lineno}: {last.line}"
    words = " ".join(str(error).split()).rstrip(".")
    described = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return UsersCodeError(f"{what}: {described}.", f"{mend} {place}")


def definition(of: Any) -> str | None:
    """Where a function, a method or a class is defined, in words; None where that cannot be told."""
    try:
        found = inspect.unwrap(of)
        line = inspect.getsourcelines(found)[1]
        return f"{inspect.getsourcefile(found)}, line {line}: {found.__qualname__}"
    except (TypeError, OSError, AttributeError):
        return None


def _package_line(error: BaseException, of: Any) -> str | None:
    """The last line of the installed package that something is of."""
    module = (
        of if isinstance(of, str) else str(getattr(of, "__module__", ""))
    )  # an entry point is text
    package = sys.modules.get(module.partition(":")[0].partition(".")[0])
    place = getattr(package, "__file__", None)
    if place is None:
        return None
    home = Path(place).parent if Path(place).name == "__init__.py" else Path(place)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if home in (Path(frame.filename), *Path(frame.filename).parents):
            return f"{frame.filename}, line {frame.lineno}: {frame.line}"
    return None
