"""Real tmux and a real Slurm for the tests of swarms."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.plan import Plan
from tests import next_lines
from tests.slurm.cluster import PrivateSlurm, SlurmUnavailableError, ensure_installed, install

NO_SKIPS = "MILOZERO_NO_SKIPS"  # set by .ci/run: what cannot be tested there is a failure


@pytest.fixture(autouse=True)
def _next_commands_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    next_lines.watch(monkeypatch)


@pytest.fixture(scope="session")
def _slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateSlurm]:
    try:
        ensure_installed()
        with PrivateSlurm(tmp_path_factory.mktemp("slurm"), nodes=2, cpus=4) as slurm:
            yield slurm
    except SlurmUnavailableError as error:
        unavailable(f"no Slurm: {error}")


@pytest.fixture()
def slurm(_slurm: PrivateSlurm, monkeypatch: pytest.MonkeyPatch) -> PrivateSlurm:
    """A Slurm of two nodes of four processors, which this process's environment leads to."""
    for key, value in _slurm.environment.items():
        monkeypatch.setenv(key, value)
    return _slurm


@pytest.fixture()
def tmux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a socket for a tmux of its own."""
    trouble = install(["tmux"], programs=["tmux"])
    if trouble:
        unavailable(trouble)
    # the path of a socket has to be short
    folder = Path("/tmp") / f"milozero_tmux_{os.getpid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    monkeypatch.setenv("TMUX_TMPDIR", str(folder))
    socket = tmp_path.name
    yield socket
    subprocess.run(["tmux", "-L", socket, "kill-server"], capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture()
def ended() -> Iterator[list[Plan]]:
    """Swarms put here are stopped when the test is over."""
    plans: list[Plan] = []
    yield plans
    from swarm.control import stop

    for plan in plans:
        stop(plan, plan.runs, say=lambda _: None)


def unavailable(reason: str) -> None:
    """Skip, and say why; fail where nothing may be skipped."""
    if os.environ.get(NO_SKIPS):
        pytest.fail(reason)
    pytest.skip(reason)
