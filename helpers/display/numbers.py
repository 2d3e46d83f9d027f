"""Numbers as a person reads them at a terminal: counts, returns, durations, small curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

NOISE = 0.05  # of the range of the shown values: a smaller change is none
SPARKS, PLAIN_SPARKS = "▁▂▃▄▅▆▇█", "_.:-=+*#"


def trend(values: Sequence[float], *, signs: bool) -> str:
    """An arrow: the last value beside the mean of the ones before it; "" with fewer than two.

    Args:
        values: the oldest first.
        signs: whether the output knows Unicode.
    """
    if len(values) < 2:
        return ""
    spread = max(values) - min(values)
    change = values[-1] - sum(values[:-1]) / (len(values) - 1)
    if abs(change) <= NOISE * spread:
        return "→" if signs else "="
    return ("↗" if signs else "+") if change > 0 else ("↘" if signs else "-")


def sparkline(values: Sequence[float], columns: int, *, signs: bool = True) -> str:
    """A column a value, lowest to highest; means of neighbours where there are more values than columns.

    "" with fewer than two finite values, or fewer than two columns.
    """
    finite = [value for value in values if math.isfinite(value)]
    shown = min(len(finite), columns)
    if shown < 2:
        return ""
    edges = [i * len(finite) // shown for i in range(shown + 1)]
    means = [sum(finite[a:b]) / (b - a) for a, b in zip(edges, edges[1:], strict=False)]
    low, spread = min(means), (max(means) - min(means)) or 1.0
    levels = SPARKS if signs else PLAIN_SPARKS
    return "".join(levels[round((mean - low) / spread * (len(levels) - 1))] for mean in means)


def count(value: float) -> str:
    """Three digits and a unit: 950, 16.4k, 1.23M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def number(value: float) -> str:
    """A return: four digits, no exponent below a million."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"


def format_duration(seconds: float) -> str:
    """45s, 1m20s, 2h05m, 1d03h."""
    whole = round(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days}d{hours % 24:02}h"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    return f"{minutes}m{whole % 60:02}s" if minutes else f"{whole}s"
