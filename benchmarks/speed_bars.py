"""What the rows of benchmarks/speed.py say: medians, ratios round by round, and the bars that speed is held to."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.speed_contestants import CONTESTANTS, LIMIT, OURS, SB3, SBX

Rates = dict[int, float]  # steps per second by round


@dataclass(frozen=True)
class Bar:
    """What must hold of one workload.

    Attributes:
        ratios: as measured, one a round; none where something was not measured.
        of_what: the two that were compared, for the reader.
    """

    work: str
    says: str
    least: float
    ratios: tuple[float, ...]
    of_what: str = ""

    @property
    def median(self) -> float | None:
        """Of the rounds."""
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def verdict(self) -> str:
        """Met, missed, or not measured."""
        if self.median is None:
            return "not measured"
        return "met" if self.median >= self.least else "missed"


class Table:
    """All figures of one workload."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], work: str) -> None:
        self.work = work
        self.rows = [row for row in rows if row["work"] == work]

    def rates(self, contestant: str) -> Rates:
        """Steps per second by round."""
        return self.column(contestant, "steps_per_second")

    def column(self, contestant: str, key: str) -> Rates:
        """A figure by round."""
        mine = [row for row in self.rows if row["contestant"] == contestant]
        return {row["round"]: row[key] for row in sorted(mine, key=lambda row: row["round"])}

    def fastest(self, belongs: Callable[[str], bool]) -> str | None:
        """The contestant of the highest median among those whose name passes; None if there is none."""
        names = {row["contestant"] for row in self.rows if belongs(row["contestant"])}
        return max(
            sorted(names),
            key=lambda name: statistics.median(self.rates(name).values()),
            default=None,
        )

    def fastest_peer(self) -> str | None:
        """Of all that are not ours."""
        return self.fastest(lambda name: library_of(name) not in (OURS, LIMIT))

    def fastest_ours(self, workers: int) -> str | None:
        """With so many workers, whatever the number of environments."""
        return self.fastest(lambda name: name.startswith(f"{OURS}, {workers} worker"))

    def ratios(self, one: str | None, other: str | None) -> tuple[float, ...]:
        """`one` over `other` in every round that has both."""
        if one is None or other is None:
            return ()
        above, below = self.rates(one), self.rates(other)
        return tuple(above[i] / below[i] for i in sorted(above.keys() & below.keys()))


def library_of(contestant: str) -> str:
    """Whose it is."""
    return contestant.partition(",")[0]


def bars(rows: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """All bars, measured or not."""
    found = []
    for env_id, over_sb3 in (("Hopper-v5", 5.0), ("HalfCheetah-v5", 7.0)):
        table = Table(rows, f"{env_id} 2048/64")
        found += [
            _over_peers(table, 3.0),
            _over(table, f"{SB3}", table.fastest(_is_of(SB3)), over_sb3),
            _over(table, "the physical limit", _limit_of(table), 0.6),
        ]
    for env_id in ("Hopper-v5", "HalfCheetah-v5"):
        table = Table(rows, f"{env_id} 16384/2048")
        found += [
            _over_peers(table, 2.7),
            _over(table, "the physical limit", _limit_of(table), 0.75),
        ]
    table = Table(rows, "Hopper-v5 16384/2048")
    found.append(_over(table, "1 worker", table.fastest_ours(1), 1.7))
    return found


def _is_of(library: str) -> Callable[[str], bool]:
    return lambda name: library_of(name) == library


def _limit_of(table: Table) -> str | None:
    return table.fastest(_is_of(LIMIT))


def _over_peers(table: Table, least: float) -> Bar:
    """The fastest peer is known only once SBX on one core, the fastest in earlier measurements, is there."""
    pinned = table.fastest(lambda name: library_of(name) == SBX and name.endswith("one core"))
    peer = table.fastest_peer() if pinned else None
    return _over(table, "the fastest peer", peer, least)


def _over(table: Table, other: str, name: str | None, least: float) -> Bar:
    mine = table.fastest_ours(2)
    return Bar(
        work=table.work,
        says=f"2 workers over {other}",
        least=least,
        ratios=table.ratios(mine, name),
        of_what=f"{mine} over {name}" if mine and name else "",
    )


def order_of(contestant: str) -> int:
    """Where it stands in tables."""
    names = [each.name for each in CONTESTANTS]
    return names.index(contestant) if contestant in names else len(names)


def spread(values: Sequence[float], form: str) -> str:
    """Median (lowest to highest)."""
    numbers = [statistics.median(values), min(values), max(values)]
    middle, lowest, highest = (format(number, form) for number in numbers)
    return middle if len(values) == 1 else f"{middle} ({lowest} to {highest})"
