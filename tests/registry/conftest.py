"""What the tests of the registry share."""

from __future__ import annotations

import pytest

from tests import next_lines


@pytest.fixture(autouse=True)
def _next_commands_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    next_lines.watch(monkeypatch)
