"""The stand-in for PBS."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pbs.cluster import StandInPbs


@pytest.fixture(scope="module")
def _pbs() -> Iterator[StandInPbs]:
    with tempfile.TemporaryDirectory(prefix="pbs") as folder, StandInPbs(Path(folder) / "x") as pbs:
        yield pbs


@pytest.fixture()
def pbs(_pbs: StandInPbs, monkeypatch: pytest.MonkeyPatch) -> StandInPbs:
    """A PBS of eight processors, whose commands this process finds."""
    monkeypatch.setenv("PATH", _pbs.path)
    for name, value in (("max_queued", "null"), ("max_array_size", "10000"), ("history", "true")):
        _pbs.run("set", name, value)
    return _pbs
