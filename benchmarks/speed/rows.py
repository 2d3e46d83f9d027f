"""What was measured: one row a run, kept in a file, so that a measurement that stopped goes on.

Rows belong together only if they are of the same code, versions, machine and work: the `identity` beside them.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.contestants import OURS, PEERS, ROOT, THREADS
from benchmarks.speed.machine import machine
from helpers.durable import write_atomically

Row = dict[str, Any]
MEASURED = (  # sources that a figure depends on
    "agents",
    "environments",
    "helpers",
    "main.py",
    "orchestrator.py",
    "benchmarks/speed/peers",
    "benchmarks/speed/contestants.py",
    "benchmarks/speed/limit.py",
    "benchmarks/speed/machine.py",
    "benchmarks/speed/physics.c",
    "benchmarks/speed/workload.py",
)
PACKAGES = (
    "torch",
    "numpy",
    "mujoco",
    "gymnasium",
    "mpi4py",
    "mpich",
    "stable-baselines3",
    "imitation",
    "skrl",
    "tianshou",
    "sheeprl",
    "lightning",
    "sbx-rl",
    "jax",
    "flax",
)


class OtherRowsError(Exception):
    """The file holds rows of another identity; the message says what differs."""


class Rows:
    """The rows of one measurement, in a file.

    Args:
        path: a JSON file; made if it is not there.
        identity: what they are measured of.
        fresh: forget what the file holds.

    Raises:
        OtherRowsError: it holds rows of something else.
    """

    def __init__(self, path: Path, identity: dict[str, Any], *, fresh: bool = False) -> None:
        self.path, self.identity = path, identity
        self.rows: list[Row] = []
        if fresh or not path.exists():
            return
        saved = json.loads(path.read_text(encoding="utf-8"))
        differing = differences(saved.get("identity", {}), identity)
        if differing:
            raise OtherRowsError(", ".join(differing))
        self.rows = saved["rows"]

    def has(self, round_: int, work: str, contestant: str) -> bool:
        """Whether this run is done."""
        wanted = (round_, work, contestant)
        return any((row["round"], row["work"], row["contestant"]) == wanted for row in self.rows)

    def add(self, row: Row) -> None:
        """Keep a row, and write the file."""
        self.rows.append(row)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = ",\n  ".join(json.dumps(each) for each in self.rows)
        identity = json.dumps(self.identity, indent=1)
        write_atomically(self.path, f'{{"identity": {identity},\n "rows": [\n  {lines}\n ]}}\n')


def differences(saved: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> list[str]:
    """Names of what differs, nested ones with dots; the commit is told, not compared."""
    names = []
    for key in sorted(saved.keys() | wanted.keys()):
        if prefix + key == "commit":
            continue
        one, other = saved.get(key), wanted.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            names += differences(one, other, f"{prefix}{key}.")
        elif one != other:
            names.append(prefix + key)
    return names


def identity(
    works: Mapping[str, Any],
    peers: Iterable[str],
    sources: Sequence[str] = (),
) -> dict[str, Any]:
    """Of a measurement that starts now.

    Args:
        works: what is computed, by name.
        peers: folders of the virtual environments that take part.
        sources: files that figures depend on beside `MEASURED`.
    """
    return {
        "commit": commit(sources),
        "code": code(sources),
        "machine": machine(THREADS["OMP_NUM_THREADS"]),
        "versions": {OURS: versions(sys.executable)}
        | {name: versions(str(PEERS / name / "bin" / "python")) for name in sorted(set(peers))},
        "works": dict(works),
    }


def code(sources: Sequence[str] = ()) -> str:
    """A digest of the sources that are measured, these too."""
    digest = hashlib.sha256()
    for name in (*MEASURED, *sources):
        path = ROOT / name
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        for file in files:
            if file.suffix in (".py", ".c", ".h", ".sh", ".yaml"):
                digest.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def commit(sources: Sequence[str] = ()) -> str:
    """Of the working tree, with a plus where something that is measured is not committed."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", *MEASURED, *sources)
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("+" if changed else "")


def versions(python: str) -> dict[str, str]:
    """Of Python and of the packages that matter, in an environment."""
    program = (
        "import importlib.metadata as m, json, platform, sys\n"
        "found = {'python': platform.python_version()}\n"
        "for name in sys.argv[1:]:\n"
        "    try: found[name] = m.version(name)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))\n"
    )
    command = [python, "-c", program, *PACKAGES]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


class Watch:
    """How busy the machine is with what is not ours, from here to `others`."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._busy, self._ours = busy_seconds(), own_seconds()

    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self._started

    def others(self) -> float:
        """Cores that other programs, or the host of a virtual machine, took; 0 where that cannot be told."""
        others = busy_seconds() - self._busy - (own_seconds() - self._ours)
        return max(0.0, others / self.seconds())


def busy_seconds() -> float:
    """That all cores together have worked, or were kept from working, since the machine started."""
    path = Path("/proc/stat")
    if not path.exists():
        return 0.0
    user, nice, system, _, _, irq, softirq, steal, *_ = map(
        int,
        path.read_text(encoding="ascii").splitlines()[0].split()[1:],
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Of processor time of this process and the children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
