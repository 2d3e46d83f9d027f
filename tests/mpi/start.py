"""Starts a script of this folder as several workers, in its own processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from helpers.parallel.launch import mpiexec
from tests.patience import patience

ROOT = Path(__file__).resolve().parents[2]
_ANNOUNCEMENTS = ("PMI", "OMPI_", "HYDI_", "MPI_LOCAL", "SLURM_")  # of what runs the tests


def clean_environment(**more: str) -> dict[str, str]:
    """This process' environment without a launcher's words, for a child with its own launcher."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_ANNOUNCEMENTS)}
    return environment | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | more


def command(num_workers: int, script: str, *arguments: object) -> list[str]:
    """The command that starts the workers; one worker is started without mpiexec."""
    prefix = [mpiexec(), "-n", str(num_workers)] if num_workers > 1 else []
    path = ROOT / "tests" / "mpi" / script
    return [*prefix, sys.executable, str(path), *map(str, arguments)]


def start(num_workers: int, script: str, *arguments: object, **more: str) -> subprocess.Popen[str]:
    """The workers, running; what they say is piped."""
    return subprocess.Popen(
        command(num_workers, script, *arguments),
        env=clean_environment(**more),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(
    num_workers: int,
    script: str,
    *arguments: object,
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """The workers after their end; they are killed where they take minutes."""
    return subprocess.run(
        command(num_workers, script, *arguments),
        env=clean_environment(**more),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=False,
    )
