"""Every command that a report prints as the next one is tried; the data root of one test is not another's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.data_root import VARIABLE
from tests import next_lines


@pytest.fixture(autouse=True, scope="module")
def _data_root_is_given_back() -> Iterator[None]:
    """`reporter.main` sets it for the programs that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "")
        patch.delenv(VARIABLE)
        yield


@pytest.fixture(autouse=True)
def _next_commands_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    next_lines.watch(monkeypatch)
