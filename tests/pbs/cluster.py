"""The stand-in for PBS as tests use it: its commands on the PATH, its server a child of this process.

with StandInPbs(Path(mkdtemp())) as pbs:
    subprocess.run(["qsub", ...], env=os.environ | {"PATH": pbs.path})
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from swarm.backends.children import die_with_parent
from tests.patience import patience

ROOT = Path(__file__).resolve().parents[2]
_PROGRAMS = ("qsub", "qselect", "qstat", "qdel")


class StandInPbs:
    """A server of its own.

    Args:
        folder: empty, with a short path.
        slots: processors.
    """

    def __init__(self, folder: Path, *, slots: int = 8) -> None:
        self.folder, self._slots = folder, slots
        self.bin = folder / "bin"

    @property
    def path(self) -> str:
        """The PATH on which its commands are."""
        return f"{self.bin}:{os.environ['PATH']}"

    def __enter__(self) -> Self:
        self.bin.mkdir(parents=True)
        client = Path(__file__).with_name("client.py")
        for program in _PROGRAMS:
            path = self.bin / program
            path.write_text(
                f'#!/bin/sh\nexec {sys.executable} -I -S {client} {self.folder}/socket {program} "$@"\n',
            )
            path.chmod(0o755)
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.pbs.server", str(self.folder), str(self._slots)],
            cwd=ROOT,
            preexec_fn=die_with_parent(),
        )
        end = time.monotonic() + patience(20)
        while not (self.folder / "socket").exists():
            assert time.monotonic() < end, "the stand-in for PBS does not come up"
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.terminate()
        self._server.wait()

    def run(self, program: str, *arguments: str) -> str:
        """What a command prints, also those of the administrator: preempt JOB, set NAME VALUE."""
        client = Path(__file__).with_name("client.py")
        done = subprocess.run(
            [
                sys.executable,
                "-I",
                "-S",
                str(client),
                str(self.folder / "socket"),
                program,
                *arguments,
            ],
            capture_output=True,
            text=True,
            timeout=patience(20),
            check=False,
        )
        return done.stdout

    def calls(self, program: str) -> list[list[str]]:
        """The arguments of each call of a program so far."""
        lines = (self.folder / "calls").read_text().splitlines()
        return [call[1:] for call in map(json.loads, lines) if call[0] == program]
