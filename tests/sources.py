"""The project's Python files and their imports, for tests that look at them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("agents", "environments", "helpers", "registry", "reports", "swarm")
PROGRAMS = (
    "main",
    "orchestrator",
    "evaluator",
    "starting",
    "verifier",
    "policy",
    "spawner",
    "reporter",
    "tuner",
)
OURS = frozenset((*PACKAGES, *PROGRAMS))


@cache
def sources() -> tuple[Path, ...]:
    """All Python files of the repository that people wrote, not those of environments, data and builds."""
    outside = {"data", "build", "venv"}
    folders = [each for each in ROOT.iterdir() if each.is_dir() and each.name not in outside]
    visible = [each for each in folders if not each.name.startswith(".")]
    found = [*ROOT.glob("*.py"), *(p for each in visible for p in each.rglob("*.py"))]
    return tuple(sorted(path for path in found if not path.stem.endswith(("_pb2", "_pb2_grpc"))))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    return shown(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def imports_of(path: Path) -> list[tuple[int, str]]:
    """(line, module) of every import, also inside functions; `from agents import ppo` is agents.on_policy.ppo."""
    found = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{shown(path)}:{node.lineno}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            is_package = (ROOT / str(node.module).replace(".", "/")).is_dir()
            found += [(node.lineno, name if is_package else str(node.module)) for name in names]
    return found


def lies_in(module: str, place: str) -> bool:
    return module == place or module.startswith(f"{place}.")


def product_sources() -> list[Path]:
    return [path for path in sources() if shown(path).split("/")[0] not in ("tests", "benchmarks")]
