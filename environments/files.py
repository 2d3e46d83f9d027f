"""Python files of a user: executed once a process, and what kind of environment a class in one is."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from environments.inputs.opened import opened_files

OPENED: dict[Path, list[Path]] = {}  # what a user's file opened while it was executed


def import_file(path: Path) -> ModuleType:
    """The module that a file is, executed when it is first asked for; it can import the modules beside it.

    Their folder is the last that Python looks into: a module of the project or of a package is never hidden.

    Raises:
        BaseException: whatever the file raises; it is executed again the next time.
    """
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()
    module_name = f"task_file_{path.stem}_{digest[:8]}"  # hides no module of another name
    if module_name not in sys.modules:
        if (folder := str(path.resolve().parent)) not in sys.path:
            sys.path.append(folder)
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
