"""Locks and files that are made once, on file systems without flock, without hard links, and with late caches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import locks
from helpers.durable import make_once
from helpers.run_folder import run_lock
from tests.helpers.file_systems.shim import environment
from tests.patience import patience

FAULTS = [(), ("FS_NO_FLOCK",), ("FS_NO_FLOCK", "FS_NO_LINK")]
# Holds the lock until its input ends.
HOLDER = """
import logging, sys
from pathlib import Path
logging.basicConfig()
from helpers.locks import take_lock
lock = take_lock(Path(sys.argv[1]))
print(lock is not None, flush=True)
sys.stdin.read()
"""
# Eight at once, each many times: nobody is in while another is.
CROWD = """
import os, sys
from multiprocessing import get_context
from pathlib import Path
from helpers.durable import make_once
from helpers.locks import wait_for_lock

def work(number):
    folder, mine = Path(sys.argv[1]), 0
    for each in range(10):
        with wait_for_lock(folder / "crowd", pause=0.001):
            os.close(os.open(folder / "inside", os.O_CREAT | os.O_EXCL))
            os.unlink(folder / "inside")
        mine += make_once(folder / f"made_{each}", str(number))
    return mine

with get_context("fork").Pool(4) as pool:
    print(sum(pool.map(work, range(4))))
"""


def python(code: str, *arguments: object, env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("faults", FAULTS)
def test_a_lock_is_one_process_s_until_it_is_gone(tmp_path: Path, faults: tuple[str, ...]) -> None:
    env, path = environment(tmp_path, *faults), tmp_path / "lock"
    first = python(HOLDER, path, env=env)
    assert first.stdout is not None and first.stdout.readline() == "True\n"
    second, said = python(HOLDER, path, env=env).communicate(timeout=patience(30))
    assert second == "False\n"
    assert ("no flock" in said and said.count("\n") == 1) == bool(faults), said
    first.kill()
    first.communicate()
    third = python(HOLDER, path, env=env)
    assert third.communicate(timeout=patience(30))[0] == "True\n"


@pytest.mark.parametrize("faults", FAULTS)
def test_of_many_at_once_one_is_in_and_one_makes_a_file(
    tmp_path: Path,
    faults: tuple[str, ...],
) -> None:
    crowd = python(CROWD, tmp_path, env=environment(tmp_path, *faults))
    made, said = crowd.communicate(timeout=patience(60))
    assert (crowd.returncode, made) == (0, "10\n"), said
    for each in range(10):
        assert (tmp_path / f"made_{each}").read_text() in "0123"
    assert not list(tmp_path.glob("crowd.lease*")) and not list(tmp_path.glob(".tmp-*"))


def test_a_lease_of_another_machine_ends_when_nobody_touches_it(tmp_path: Path) -> None:
    elsewhere = {"host": "elsewhere", "pid": 1, "ticks": 1, "boot": "b"}
    lease = tmp_path / "lock.lease1"
    lease.write_text(json.dumps(elsewhere))
    assert locks._lease(tmp_path / "lock") is None
    old = time.time() - locks.LEASE_SECONDS - 1
    os.utime(lease, (old, old))
    lock = locks._lease(tmp_path / "lock")
    assert lock is not None and not lease.exists()
    lock.close()
    assert sorted(os.listdir(tmp_path)) == []


def test_a_file_is_made_once_whatever_links_there_are(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    assert make_once(tmp_path / "a", "1") and not make_once(tmp_path / "a", "2")
    monkeypatch.setattr(os, "link", refuse)
    assert make_once(tmp_path / "b", "1") and not make_once(tmp_path / "b", "2")
    assert not make_once(tmp_path / "a", "3")
    assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text() == "1"


def test_a_run_folder_s_lock_that_is_not_seen_yet_is_not_taken_away(tmp_path: Path) -> None:
    """The kind: what another machine wrote a moment ago cannot be read for a while."""
    code = (
        "import sys; from pathlib import Path; from helpers.run_folder import run_lock; "
        "print(flush=True); sys.stdin.readline(); run_lock.take(Path(sys.argv[1]))"
    )
    late = python(code, tmp_path, env=environment(tmp_path, late=3000))
    assert late.stdout is not None and late.stdout.readline() == "\n"
    run_lock.take(tmp_path)
    said = late.communicate("go\n", timeout=patience(30))[1]
    assert late.returncode != 0 and "is being trained by process" in said, said
    run_lock.release(tmp_path)
