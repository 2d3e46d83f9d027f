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
    names = (name for name, _, _ in read_page())
    return {each for name in names for each in _numbered(name)}


def _numbered(name: str) -> list[str]:
    """`critic/value_N` stands for `critic/value_1` and so on."""
    stem, is_numbered, _ = name.partition("_N")
    return [f"{stem}_{i}" for i in range(1, 11)] if is_numbered else [name]
