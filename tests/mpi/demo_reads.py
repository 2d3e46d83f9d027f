"""Runs main.py and writes down, for each worker, which demonstrations it opens.

usage: python tests/mpi/demo_reads.py FOLDER FLAG ...
"""

import os
import sys
from pathlib import Path
from typing import Any

import main
from helpers.demos import load

read_demo = load.read_demo
notes = Path(sys.argv[1]) / f"{os.getpid()}.txt"


def note_and_read(path: Path, **given: Any) -> Any:
    with notes.open("a", encoding="utf-8") as file:
        file.write(f"{path.name}\n")
    return read_demo(path, **given)


load.read_demo = note_and_read
sys.exit(main.main(sys.argv[2:]))
