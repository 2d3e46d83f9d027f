"""Start main.py as its users do, alone or under mpiexec, and interrupt it as a cluster does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.patience import patience

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 120.0  # seconds, on a quiet machine, for anything that takes a few there


def command(flags: Sequence[str], *, workers: int = 1) -> list[str]:
    """`main.py` with these flags."""
    mpiexec = Path(sys.executable).with_name("mpiexec")
    launcher = [str(mpiexec), "-n", str(workers)] if workers > 1 else []
    return [*launcher, sys.executable, "main.py", *flags]


def run(flags: Sequence[str], *, workers: int = 1) -> subprocess.CompletedProcess[str]:
    """To its end, output captured."""
    return subprocess.run(
        command(flags, workers=workers),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience(LONGEST),
    )


def start(flags: Sequence[str], *, workers: int = 1) -> subprocess.Popen[bytes]:
    """In a process group of its own."""
    return subprocess.Popen(
        command(flags, workers=workers),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def ranks(process: subprocess.Popen[bytes]) -> list[int]:
    """Process ids of the Python processes below (or, without mpiexec, of) a started command."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(status[1])
    found = []
    for pid in parents:
        ancestor = pid
        while ancestor not in (0, 1, process.pid):
            ancestor = parents.get(ancestor, 0)
        if ancestor == process.pid and _runs_main(pid):
            found.append(pid)
    return sorted(found)


def _runs_main(pid: int) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return len(arguments) > 1 and arguments[1] == b"main.py"


def interrupt(process: subprocess.Popen[bytes], how: str) -> int:
    """Signal USR1 to the launcher, or kill all, or kill one worker; the exit code."""
    if how == "USR1":
        process.send_signal(signal.SIGUSR1)
    elif how == "kill all":
        for pid in [*ranks(process), process.pid]:
            os.kill(pid, signal.SIGKILL)
    else:
        os.kill(ranks(process)[-1], signal.SIGKILL)
    return process.wait(patience(LONGEST))


def wait_for_rows(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    """Until metrics.jsonl has so many rows, or the process has ended."""
    limit = time.monotonic() + patience(LONGEST)
    while process.poll() is None and time.monotonic() < limit:
        if (folder / "metrics.jsonl").exists() and len(rows(folder)) >= count:
            return
        time.sleep(0.005)


def rows(folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without wall-clock figures."""
    lines = (folder / "metrics.jsonl").read_bytes().split(b"\n")[:-1]
    return [
        {name: value for name, value in json.loads(line).items() if not name.startswith("time/")}
        for line in lines
    ]


def fingerprint(folder: Path) -> dict[str, str]:
    """sha256 of each file of the latest checkpoint, and its iteration."""
    manifest = json.loads((folder / "checkpoints" / "latest" / "manifest.json").read_text())
    hashes = {name: file["sha256"] for name, file in manifest["files"].items()}
    return hashes | {"iteration": str(manifest["iteration"])}
