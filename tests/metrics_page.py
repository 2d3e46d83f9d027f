"""Reads docs/metrics.md, for tests that compare it with what runs log."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"


def read_page() -> list[tuple[str, str, str]]:
    """Name, unit and meaning of every metric, in the page's order."""
    found = re.findall(r"^\| `(\S+)` \| (.+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    return [(name, unit, meaning) for name, unit, meaning in found]


def listed_metrics() -> set[str]:
    """The names that a row of metrics.jsonl may have: `set(row) <= listed_metrics()`."""
    return {name for name, _, _ in read_page()}
