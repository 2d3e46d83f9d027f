"""What a killed start left in /dev/shm goes at the next start; what lives, is young or somebody else's stays."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.parallel import shared_memory
from helpers.parallel.shared_memory import FOLDER, clear_leftovers
from tests import launch

# This user may have other starts on this machine, whose leftovers are not this test's to remove.
CONNECT = """
import sys, time
from helpers.parallel import shared_memory
shared_memory._NAME, shared_memory._YOUNG = __import__("re").compile(sys.argv[2]), 60.0
from helpers.parallel.workers import Workers
workers = Workers.connect()
workers.barrier()
if workers.is_root:
    print("up", flush=True)
time.sleep(float(sys.argv[1]))
"""


def left(folder: Path, name: str = "mpich_shm_0a1b2c3d_0", *, age: float = 100.0) -> Path:
    path = folder / name
    path.write_bytes(b"x" * 8192)
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_what_nobody_holds_is_removed_once(tmp_path: Path) -> None:
    left(tmp_path, "mpich_shar_tmpmqsxkm")
    left(tmp_path)
    assert clear_leftovers(tmp_path, budget=60.0) == [
        "mpich_shar_tmpmqsxkm",
        "mpich_shm_0a1b2c3d_0",
    ]
    assert clear_leftovers(tmp_path, budget=60.0) == [] and not list(tmp_path.iterdir())
    assert clear_leftovers(tmp_path / "none", budget=60.0) == []


@pytest.mark.parametrize(
    "name",
    ["mpich_shm_", "sem.mp-1", "xmpich_shm_0a_0", "mpich_shm_0a_0.txt"],
)
def test_what_is_not_mpichs_stays(name: str, tmp_path: Path) -> None:
    left(tmp_path, name)
    assert clear_leftovers(tmp_path, budget=60.0) == []


def test_what_is_young_or_of_another_user_stays(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left(tmp_path, age=50.0)
    left(tmp_path, "mpich_shm_1_0").unlink()
    (tmp_path / "mpich_shm_1_0").symlink_to("mpich_shm_0a1b2c3d_0")
    assert clear_leftovers(tmp_path, budget=60.0) == []
    left(tmp_path)
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    assert clear_leftovers(tmp_path, budget=60.0) == []


def test_what_a_process_maps_or_has_open_stays(tmp_path: Path) -> None:
    path = left(tmp_path)
    with path.open("rb") as opened:
        assert clear_leftovers(tmp_path, budget=60.0) == []
        mapped = mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)
    with contextlib.closing(mapped):  # mmap keeps a descriptor of its own
        assert clear_leftovers(tmp_path, budget=60.0) == []
    assert clear_leftovers(tmp_path, budget=60.0) == [path.name]


def test_where_it_cannot_be_told_all_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left(tmp_path)
    assert clear_leftovers(tmp_path, budget=0.0) == []

    def hides(path: Path) -> Iterator[os.DirEntry[str]]:
        if Path(path) == Path(f"/proc/{os.getpid()}/fd"):
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)

    look = os.scandir
    with mmap.mmap(-1, 8192) as shared, monkeypatch.context() as patch:
        shared[0] = 1
        patch.setattr(os, "scandir", hides)
        assert clear_leftovers(tmp_path, budget=60.0) == []
    assert clear_leftovers(tmp_path, budget=60.0)


# MPICH itself


def is_mpich() -> bool:
    """Whether mpiexec is that of the MPICH wheel."""
    return importlib.util.find_spec("mpi4py") is not None and any(
        each.name == "mpich" for each in importlib.metadata.distributions()
    )


def mpich_files() -> set[str]:
    return {path.name for path in FOLDER.glob("mpich_shm_*")}


def started(seconds: float, clears: str) -> subprocess.Popen[str]:
    """Two workers that have met."""
    mpiexec = str(Path(sys.executable).with_name("mpiexec"))
    process = subprocess.Popen(
        [mpiexec, "-n", "2", sys.executable, "-c", CONNECT, str(seconds), clears],
        cwd=launch.ROOT,
        text=True,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    return process


def held(process: subprocess.Popen[str]) -> set[str]:
    """What of MPICH's its workers have open."""
    family = [Path(f"/proc/{pid}") for pid in launch.family(process.pid)]
    return set().union(*(shared_memory._held_by(each, mpich_files()) for each in family))


def kill(process: subprocess.Popen[str]) -> None:
    for pid in launch.family(process.pid):
        with contextlib.suppress(ProcessLookupError):  # the others end with the first
            os.kill(pid, signal.SIGKILL)
    process.wait(launch.patience(launch.LONGEST))


@pytest.fixture
def running() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            names = held(process)
            kill(process)
            for name in names:
                (FOLDER / name).unlink(missing_ok=True)


@pytest.mark.skipif(not is_mpich(), reason="this is not MPICH")
def test_a_killed_start_is_cleared_by_the_next_and_a_running_one_is_not(
    running: list[subprocess.Popen[str]],
) -> None:
    killed, lives = started(600, "none"), started(600, "none")
    running += [killed, lives]
    names, kept = held(killed), held(lives)
    kill(killed)
    assert names and kept and not names & kept and names | kept <= mpich_files()
    pattern = "|".join(sorted(names | kept))
    running.append(started(0, pattern))  # they are young: it leaves them alone
    assert names | kept <= mpich_files()
    for name in names | kept:
        os.utime(FOLDER / name, (time.time() - 100.0,) * 2)
    running.append(started(0, pattern))
    assert mpich_files() & (names | kept) == kept
