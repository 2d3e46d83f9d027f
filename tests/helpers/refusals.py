"""What the tests of configuration share."""

from __future__ import annotations

import pytest

from agents.algorithms import SCHEMA
from helpers.errors import ConfigurationError


def refused(*argv: str) -> tuple[str, str]:
    """(problem, remedy) of a command line that must not be accepted; each is one line."""
    with pytest.raises(ConfigurationError) as caught:
        SCHEMA.parse_command_line(argv)
    assert caught.value.exit_code == 2
    assert str(caught.value).count("\n") == 1
    return caught.value.problem, caught.value.remedy
