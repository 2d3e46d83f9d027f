"""Numbers and lists as all pages write them."""

from __future__ import annotations

from collections.abc import Iterable

_MANY = 4


def number(value: float) -> str:
    """A return as it stands in a table."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def joined(words: Iterable[str], *, most: int = _MANY) -> str:
    """ "a, b and c"; of many the first ones, and how many more."""
    every = list(dict.fromkeys(words))
    if len(every) > most:
        return f"{', '.join(every[:most])} and {len(every) - most} more"
    return " and ".join([", ".join(every[:-1]), every[-1]] if len(every) > 1 else every)
