"""Python files of a user: executed once a process, what kind of environment a class in one is, and where one failed."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType

from environments.inputs.opened import opened_files
from helpers.errors import ConfigurationError

OPENED: dict[Path, list[Path]] = {}  # what a user's file opened while it was executed
_ROOT = Path(__file__).resolve().parents[1]


def import_file(path: Path) -> ModuleType:
    """The module that a file is, executed when it is first asked for.

    Raises:
        BaseException: whatever the file raises; it is executed again the next time.
    """
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()
    module_name = f"task_file_{path.stem}_{digest[:8]}"  # hides no module of another name
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module  # dataclasses look their module up
        try:
            with opened_files() as OPENED[path.resolve()]:
                spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[module_name]
            raise
    return sys.modules[module_name]


def looks_like_task(path: Path, name: str) -> bool:
    """Whether a class is decorated as a dataclass, as batched tasks are, or is not defined in the file at all.

    The file is read and not executed, so that a launcher can ask; `environments.factory` looks at the class itself.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return True  # whoever executes it says so
    found = [each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == name]
    return not found or any("dataclass" in ast.unparse(each) for each in found[-1].decorator_list)


def failure(error: Exception, what: str) -> ConfigurationError:
    """What a user's code raised, with the file and the line of it.

    Args:
        error: as it was raised.
        what: was tried: "my.py:Reach cannot be made".
    """
    frames = traceback.extract_tb(error.__traceback__)
    places = [Path(each).resolve() for each in sysconfig.get_paths().values()]
    ours = [*places, _ROOT / "environments", _ROOT / "helpers", _ROOT / "agents"]
    theirs = [
        each
        for each in frames
        if not any(place in Path(each.filename).resolve().parents for place in ours)
        and not each.filename.startswith("<")
    ]
    where = (theirs or frames)[-1]
    words = " ".join(str(error).split())
    return ConfigurationError(
        f"{what}: {type(error).__name__}: {words}.",
        f"Mend {where.filename}, line {where.lineno}: {where.line}",
    )
