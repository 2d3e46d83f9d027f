"""Two processes never train in one run folder of one machine; one that was killed does not count."""

import json
import os
import subprocess
import sys

import pytest

from helpers.errors import ConfigurationError
from helpers.run_folder import run_lock


@pytest.fixture()
def other(tmp_path):
    """A process that has taken the lock and lives until its input ends."""
    script = (
        "import sys; from pathlib import Path; from helpers.run_folder import run_lock; "
        "run_lock.take(Path(sys.argv[1])); print('taken', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "taken\n"
    yield process
    process.kill()
    process.communicate()


def test_a_living_process_keeps_others_out(tmp_path, other):
    with pytest.raises(ConfigurationError, match=f"process {other.pid}"):
        run_lock.take(tmp_path)
    run_lock.release(tmp_path)  # not ours: nothing happens
    assert json.loads((tmp_path / run_lock.LOCK_FILE).read_text())["pid"] == other.pid


def test_a_killed_process_does_not(tmp_path, other):
    other.kill()
    other.wait()
    run_lock.take(tmp_path)
    assert json.loads((tmp_path / run_lock.LOCK_FILE).read_text())["pid"] == os.getpid()
    run_lock.release(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"host": "elsewhere", "pid": 1, "started": 1}', '{"pid": 1}'],
)
def test_what_cannot_be_a_process_of_this_machine_does_not(tmp_path, content):
    (tmp_path / run_lock.LOCK_FILE).write_text(content)
    run_lock.take(tmp_path)


def test_a_number_that_another_process_has_now_does_not(tmp_path, other):
    path = tmp_path / run_lock.LOCK_FILE
    path.write_text(path.read_text().replace('"started": ', '"started": 1'))
    run_lock.take(tmp_path)
