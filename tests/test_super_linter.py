"""super_linter.sh: it finds what is wrong, --fix mends what tools can, and they agree on the outcome."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
UGLY = '''\
import sys
import os
def shorter( first:int,second : str='x' )->dict[str, int]:
    """Nested calls whose lines black breaks more than once, each time for want of a comma."""
    return dict(aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=max(first, len(second), min(first, len(os.sep))), bbbbbbbbbbbbb=2)
'''


def floors() -> set[str]:
    """The modules that the contracts of import-linter name, all of which must exist."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    found: set[str] = set()
    for contract in contracts:
        found |= set(contract.get("modules", ()))
        for container in contract.get("containers", ()):
            names = re.findall(r"\w+", " ".join(contract["layers"]))
            found |= {f"{container}.{name}" for name in names}
    return {each for each in found if not any(other.startswith(f"{each}.") for other in found)}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of one ugly file, beside the settings and the script of this one."""
    for name in ("super_linter.sh", "pyproject.toml", ".flake8"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "benchmarks").mkdir()
    for module in floors():
        file = tmp_path / f"{module.replace('.', '/')}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        (file.parent / "__init__.py").touch()
    for package in ("agents", "environments", "helpers", "reports", "swarm"):
        (tmp_path / package).mkdir(exist_ok=True)
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "benchmarks" / "an ugly one.py").write_text(UGLY)
    (tmp_path / "ignored.py").write_text("x = (\n")
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    return tmp_path


def lint(repository: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [repository / "super_linter.sh", *flags]
    environment = {**os.environ, "PATH": path}
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True)


def test_it_lists_what_to_rework_and_mends_it(repository: Path) -> None:
    found = lint(repository)
    assert found.returncode == 1
    assert "  benchmarks/an ugly one.py (black, flake8, ruff)" in found.stdout.splitlines()
    mended = lint(repository, "--fix")
    assert mended.returncode == 0, mended.stdout
    assert re.search(r"All \d+ files are clean\.", mended.stdout)
    text = (repository / "benchmarks" / "an ugly one.py").read_text()
    assert "import sys" not in text
    assert "first: int" in text


def test_floors_and_types_are_looked_at(repository: Path) -> None:
    (repository / "benchmarks" / "an ugly one.py").unlink()
    (repository / "helpers" / "high.py").write_text(
        'import agents\n\nNUMBER: int = "one"\nPACKAGE = agents\n',
    )
    found = lint(repository)
    assert found.returncode == 1
    assert "  helpers/high.py (mypy)" in found.stdout.splitlines()
    assert "import-linter" in found.stdout.split("To rework:")[1]


def test_another_argument_is_refused(repository: Path) -> None:
    refused = lint(repository, "--fx")
    assert refused.returncode == 2
    assert "usage" in refused.stderr
