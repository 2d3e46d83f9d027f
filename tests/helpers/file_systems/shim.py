"""File systems with faults: programs run with `shim.c` preloaded."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

SOURCE = Path(__file__).with_suffix(".c")
REPOSITORY = Path(__file__).resolve().parents[3]


@cache
def library() -> Path:
    """The shim, compiled."""
    target = Path(mkdtemp(prefix="milozero-shim-")) / "shim.so"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(target), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return target


def environment(folder: Path, *faults: str, late: int = 0) -> dict[str, str]:
    """The environment of a program for which a folder has faults: "FS_NO_FLOCK", "FS_NO_LINK"."""
    added = {"LD_PRELOAD": str(library()), "FS_FOLDER": str(folder), "PYTHONPATH": str(REPOSITORY)}
    added |= dict.fromkeys(faults, "1")
    if late:
        added["FS_LATE"] = str(late)
    return {**os.environ, **added}
