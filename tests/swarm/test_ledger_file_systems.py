"""Ledger, queue and run lock on a file system without flock and hard links: the same tests, in one such process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.helpers.file_systems.shim import environment
from tests.launch import ROOT
from tests.patience import patience

TESTS = ("tests/helpers/run_folder/test_run_lock.py", "tests/swarm/test_ledger.py")
CHOSEN = "run_lock or claimants or closed or share"


def test_the_ledger_holds_without_flock_and_hard_links(tmp_path: Path) -> None:
    """It hung once: a script that knew hard links alone never took its lock."""
    shim = environment(tmp_path, "FS_NO_FLOCK", "FS_NO_LINK")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS]
    done = subprocess.run(
        [*command, f"--basetemp={tmp_path / 'tests'}", "-k", CHOSEN],
        env=shim,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    links = [path for path in tmp_path.rglob("*.start") if path.is_symlink()]
    assert links, "the scripts took hard links: nothing was tested"
