"""Every command that a report prints as the next one is tried."""

from __future__ import annotations

import pytest

from tests import next_lines


@pytest.fixture(autouse=True)
def _next_lines_work(monkeypatch: pytest.MonkeyPatch) -> None:
    next_lines.watch(monkeypatch)
