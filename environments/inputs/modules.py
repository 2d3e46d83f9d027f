"""The Python files that a task file imports, and the files that they name; nothing is executed."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from helpers.errors import UsersCodeError
from helpers.user_code import REPOSITORY, is_users

_LONGEST_NAME = 300  # characters of a text that may be a path


def closure(start: Path) -> tuple[list[Path], list[Path]]:
    """(modules, files that they name) of a Python file: itself, and what it imports that is nobody's package.

    Modules are looked for beside the file and where PYTHONPATH says; installed packages, the standard library and
    this project have versions and a commit in the capsule.
    """
    roots = [start.resolve().parent, *_search_path()]
    modules: dict[Path, None] = {start.resolve(): None}
    named: dict[Path, None] = {}
    queue = [start.resolve()]
    while queue:
        module = queue.pop(0)
        try:
            tree = ast.parse(module.read_bytes())
        except (SyntaxError, ValueError, OSError):
            continue  # executing it raises the error
        for found in _imported(tree, module, roots):
            if found not in modules:
                modules[found] = None
                queue.append(found)
        for text in _texts(tree):
            for path in _paths(text, module):
                named[path] = None
    return list(modules), [path for path in named if path not in modules]


def refuse_hidden(start: Path) -> None:
    """Refuse imports of modules beside a file that Python does not find there but elsewhere, silently.

    Raises:
        UsersCodeError: a module beside the file has the name of one of this project, of a package or of Python.
    """
    folder = start.parent
    for path in [each for each in closure(start)[0] if each.parent == folder]:
        for name in _first_names(path):
            beside = [folder / f"{name}.py", folder / name / "__init__.py"]
            own = next((each for each in beside if each.is_file()), None)
            other = _place_of(name) if own else None
            if (
                own
                and other
                and folder not in (Path(other).resolve(), *Path(other).resolve().parents)
            ):
                raise UsersCodeError(
                    f"{path} imports {name}, and would get {other}, not {own}.",
                    f"Rename {own} and its imports: modules of Python, of packages and of this project come first",
                )


def _first_names(path: Path) -> set[str]:
    """The first words of what a file imports."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return set()  # executing it raises the error
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def _place_of(name: str) -> str | None:
    """The file, or the word ("built-in"), that Python finds for a module; None where it finds none."""
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:  # the program itself
        return None
    return None if spec is None else spec.origin


def _search_path() -> list[Path]:
    """Folders that Python looks into for what nobody has installed."""
    folders = [Path(each or ".").resolve() for each in sys.path]
    return [each for each in folders if each == REPOSITORY or is_users(each / "module.py")]


def _imported(tree: ast.AST, module: Path, roots: list[Path]) -> Iterator[Path]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _resolve(alias.name, roots)
        elif isinstance(node, ast.ImportFrom):
            base = roots
            if node.level:
                base = [module.parents[node.level - 1]]
            names = [
                f"{node.module}.{alias.name}" if node.module else alias.name for alias in node.names
            ]
            for name in [*([node.module] if node.module else []), *names]:
                yield from _resolve(name, base)


def _resolve(name: str, roots: list[Path]) -> Iterator[Path]:
    """The files of a dotted name: its packages' __init__.py, and its own."""
    for root in roots:
        place, found = root, []
        for part in name.split("."):
            place = place / part
            for path in (place / "__init__.py", place.with_name(f"{part}.py")):
                if path.is_file() and is_users(path):
                    found.append(path.resolve())
        if found:
            yield from found
            return


def _texts(tree: ast.AST) -> Iterator[str]:
    """Texts that may be paths: constants, and constants that `/`, joinpath or os.path.join put together."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            yield "/".join(_parts(node))
        elif isinstance(node, ast.Call):
            parts = [each.value for each in node.args if isinstance(each, ast.Constant)]
            if len(parts) > 1 and all(isinstance(part, str) for part in parts):
                yield "/".join(map(str, parts))


def _parts(node: ast.expr) -> list[str]:
    """The constants of a chain of `/`, from the left."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return [*_parts(node.left), *_parts(node.right)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def _paths(text: str, module: Path) -> Iterator[Path]:
    """The file that a text names, beside its module; with a slash also from the working directory on."""
    if not 0 < len(text) <= _LONGEST_NAME or "\n" in text or "\0" in text:
        return
    try:
        named = Path(text).expanduser()
    except RuntimeError:  # "~x": no such user, and no path
        return
    for folder in (module.parent, *([Path.cwd()] if "/" in text else [])):
        path = (folder / named).resolve()
        if path.is_file() and is_users(path):
            yield path
            return
