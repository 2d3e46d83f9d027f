"""setup_env_slurm.sh, with stand-ins for module and python that note what they are asked."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.swarm.swarms import REPOSITORY

PYTHON = """#!/bin/bash
echo "python $*" >>"$NOTES"
case "$1 $2" in
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip") [ -z "$PIP_FAILS" ] || exit 1 ;;
esac
"""
MODULE = """module() { echo "module $*" >>"$NOTES"; [ "$2" != Missing/1 ]; }
export -f module
"""


@pytest.fixture()
def clone(tmp_path: Path) -> Path:
    for name in ("setup_env_slurm.sh", "requirements.txt"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("python3.11", "mpicc"):
        (folder / name).write_text(PYTHON)
        (folder / name).chmod(0o755)
    return tmp_path


def set_up(clone: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = f"{MODULE}./setup_env_slurm.sh {' '.join(arguments)}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=clone,
        env={"PATH": f"{clone}/bin:/usr/bin:/bin", "NOTES": str(clone / "notes"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def notes(clone: Path) -> str:
    path = clone / "notes"
    return path.read_text() if path.exists() else ""


def test_modules_are_loaded_in_order_and_the_pinned_requirements_installed(clone: Path) -> None:
    done = set_up(clone, "GCCcore/13.3.0", "Python/3.12.3")
    assert done.returncode == 0, done.stderr
    said = notes(clone)
    assert said.index("module load GCCcore/13.3.0") < said.index("module load Python/3.12.3")
    assert "download.pytorch.org/whl/cpu -r requirements.txt" in said
    assert "modules: GCCcore/13.3.0 Python/3.12.3, memory" in done.stdout
    assert "python -m venv" not in notes(clone).partition("-r requirements.txt")[2]


def test_a_second_time_keeps_the_environment(clone: Path) -> None:
    set_up(clone)
    (clone / "notes").unlink()
    assert set_up(clone).returncode == 0
    assert "-m venv" not in notes(clone)


def test_the_mpi_of_the_cluster_replaces_the_packaged_one(clone: Path) -> None:
    done = set_up(clone, "--system-mpi", "--cuda", "OpenMPI/5.0.3")
    assert done.returncode == 0, done.stderr
    kept = (clone / ".venv" / "requirements-system-mpi.txt").read_text()
    assert not re.search("^(mpich|mpi4py)==", kept, re.MULTILINE) and "torch==" in kept
    assert re.search("install --no-cache-dir --no-binary=mpi4py mpi4py==", notes(clone))
    assert "pytorch.org" not in notes(clone)
    assert "--launcher srun --mpi pmix" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--fast"], "There is no option --fast."),
        (["Missing/1"], "The module Missing/1 cannot be loaded."),
    ],
)
def test_refusals_have_two_lines(clone: Path, arguments: list[str], problem: str) -> None:
    done = set_up(clone, *arguments)
    assert done.returncode == 2
    assert re.fullmatch(f"milozero: {re.escape(problem)}\n  remedy: .+\n", done.stderr)
    assert "pip" not in notes(clone)


def test_a_failed_installation_is_told(clone: Path) -> None:
    done = set_up(clone, PIP_FAILS="yes")
    assert done.returncode == 2
    assert "pip could not install requirements.txt" in done.stderr
    assert "default_cluster" not in done.stdout
