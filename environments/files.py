"""Python files of a user: executed once a process, and what kind of environment a class in one is."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from environments.inputs.modules import refuse_hidden
from environments.inputs.opened import opened_files
from helpers.user_code import UsersCode

_PREFIX = "task_file_"  # of the names of their modules
_ENDS = (".py", "/__init__.py")
_FOLDERS: list[str] = []  # those that are in `sys.path` for a file in them
OPENED: dict[Path, list[Path]] = {}  # what a user's file opened while it was executed


def import_file(path: Path) -> ModuleType:
    """The module that a file is, executed when it is first asked for; it can import the modules beside it.

    Their folder is the last that Python looks into: a module of the project or of a package is never hidden.

    Raises:
        UsersCodeError: the file raises something, or imports a module beside it that another one hides; it is executed
            again the next time.
    """
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()
    module_name = f"{_PREFIX}{path.stem}_{digest[:8]}"  # hides no module of another name
    if module_name not in sys.modules:
        _look_beside(path.resolve())
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module  # dataclasses look their module up
        try:
            with UsersCode(f"{path} cannot be imported"):
                refuse_hidden(path.resolve())
                with opened_files() as OPENED[path.resolve()]:
                    spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[module_name]
            raise
    return sys.modules[module_name]


def _look_beside(path: Path) -> None:
    """Let Python find the modules beside a file last, and not those beside another file that was imported before."""
    folder = str(path.parent)
    others = [each for each in _FOLDERS if each != folder]
    for name, module in list(sys.modules.items()):
        place, way = getattr(module, "__file__", None), name.replace(".", "/")
        if place and place in {f"{e}/{way}{end}" for e in others for end in _ENDS}:
            del sys.modules[name]  # modules that have imported it keep it
    sys.path[:] = [each for each in sys.path if each not in others]
    _FOLDERS[:] = [each for each in _FOLDERS if each not in others]
    if folder not in sys.path:
        sys.path.append(folder)
        _FOLDERS.append(folder)


def looks_like_task(path: Path, name: str) -> bool:
    """Whether a class is decorated as a dataclass, as batched tasks are, or is not defined in the file at all.

    The file is read and not executed, so that a launcher can ask; `environments.factory` looks at the class itself.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return True  # executing it raises the error
    found = [each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == name]
    return not found or any("dataclass" in ast.unparse(each) for each in found[-1].decorator_list)
