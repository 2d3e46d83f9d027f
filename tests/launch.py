"""Start main.py as its users do, alone or under mpiexec, and interrupt it as a cluster does."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from helpers.checkpoints.manifests import contents_of
from tests import next_lines
from tests.nursery import Child, nursery
from tests.patience import patience

Started = subprocess.Popen[bytes] | Child
ROOT = Path(__file__).resolve().parents[1]
STAND_IN = ROOT / "tests" / "rank.py"
AT_START = {
    name: os.environ.get(name)
    for name in ("PYTHONPATH", "LD_PRELOAD", "MILOZERO_MARCH", "CC", "CXX", "PATH")
}
LONGEST = 120.0  # seconds, on a quiet machine, for anything that takes a few there


def command(flags: Sequence[str], *, workers: int = 1) -> list[str]:
    """`main.py` with these flags."""
    mpiexec = Path(sys.executable).with_name("mpiexec")
    launcher = [str(mpiexec), "-n", str(workers)] if workers > 1 else []
    return [*launcher, sys.executable, "main.py", *flags]


def forked(flags: Sequence[str], *, workers: int) -> list[str]:
    """The same with workers that need not import torch first: see tests/nursery.py."""
    head = command([], workers=workers)[:-1]
    return [*head, "-I", "-S", str(STAND_IN), nursery().door, *map(str, flags)]


def run(
    flags: Sequence[str],
    *,
    workers: int = 1,
    fresh: bool = False,
) -> subprocess.CompletedProcess[str]:
    """To its end, output captured; the commands that it prints as the next ones are tried (tests/next_lines.py).

    Args:
        flags: of main.py.
        workers: more than one are started by mpiexec.
        fresh: whether each is a fresh process, which imports torch anew: see tests/nursery.py.
    """
    done = _run(flags, workers=workers, fresh=fresh or _is_another_python())
    next_lines.check(done.stdout)
    return done


def _run(flags: Sequence[str], *, workers: int, fresh: bool) -> subprocess.CompletedProcess[str]:
    if workers > 1 or fresh:
        return subprocess.run(
            command(flags, workers=workers) if fresh else forked(flags, workers=workers),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=patience(LONGEST),
        )
    with TemporaryFile() as out, TemporaryFile() as err:
        child = nursery().start(flags, stdout=out, stderr=err)
        try:
            code = child.wait(patience(LONGEST))
        except BaseException:
            child.send_signal(signal.SIGKILL)
            raise
        said = []
        for each in (out, err):
            each.seek(0)
            said.append(each.read().decode())
        return subprocess.CompletedProcess(command(flags), code, *said)


def start(flags: Sequence[str], *, workers: int = 1, fresh: bool = False) -> Started:
    """In a process group of its own; arguments as above."""
    fresh = fresh or _is_another_python()
    if workers > 1 or fresh:
        return subprocess.Popen(
            command(flags, workers=workers) if fresh else forked(flags, workers=workers),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    with open(os.devnull, "wb") as nowhere:
        return nursery().start(flags, stdout=nowhere, stderr=nowhere)


def _is_another_python() -> bool:
    """Whether the environment now asks for what only a fresh process heeds."""
    return any(os.environ.get(name) != value for name, value in AT_START.items())


def ranks(process: Started) -> list[int]:
    """Process ids of the Python processes below (or, without mpiexec, of) a started command."""
    if isinstance(process, Child):
        return [process.pid]
    return sorted(filter(None, map(_worker_of, family(process.pid))))


def family(oldest: int) -> list[int]:
    """Ids of a process and of all below it."""
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
        while ancestor not in (0, 1, oldest):
            ancestor = parents.get(ancestor, 0)
        if ancestor == oldest:
            found.append(pid)
    return sorted(found)


def _worker_of(pid: int) -> int | None:
    """The process that runs main.py: this one, or the one that it stands in for; None where there is none."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return None
    if str(STAND_IN).encode() in arguments[:5] and arguments[0] == sys.executable.encode():
        return nursery().rank_of(pid)
    return pid if len(arguments) > 1 and arguments[1] == b"main.py" else None


def interrupt(process: Started, how: str) -> int:
    """Signal USR1 to the launcher, or kill all, or kill one worker; the exit code."""
    if how == "USR1":
        process.send_signal(signal.SIGUSR1)
    elif how == "kill all":
        for pid in [*ranks(process), process.pid]:
            with contextlib.suppress(ProcessLookupError):  # the launcher ends the others
                os.kill(pid, signal.SIGKILL)
    else:
        os.kill(ranks(process)[-1], signal.SIGKILL)
    return process.wait(patience(LONGEST))


def wait_for_rows(folder: Path, count: int, process: Started) -> None:
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
    """sha256 of all that the latest checkpoint holds, and its iteration."""
    manifest = json.loads((folder / "checkpoints" / "latest" / "manifest.json").read_text())
    hashes = {name: each["sha256"] for name, each in contents_of(manifest).items()}
    return hashes | {"iteration": str(manifest["iteration"])}
