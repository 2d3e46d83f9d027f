"""What rows of speed say: medians, ratios round by round, and the bars that PPO is held to, by instruction set.

A bar is a ratio: to the fastest peer and to the physical limit of the same machine, its libraries held to the same
instructions. With AVX-512 it is not to fall below what was measured on Zen 5 (docs/results/speed-zen5-avx512.md, the
lowest of its rounds, rounded down). Other instruction sets than AVX-512 are held to AVX2's bars.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.speed.contestants import (
    CONTESTANTS,
    FLOOR,
    LIMIT,
    OURS,
    SB3,
    SBX,
    Contestant,
)

Rates = dict[int, float]  # steps per second by round
AVX2, AVX512 = "AVX2", "AVX-512"
SMALL, LARGE = "2048/64", "16384/2048"
TASKS = ("Hopper-v5", "HalfCheetah-v5")
# At least so many times the fastest peer, and so much of the physical limit.
OVER_PEERS = {
    AVX2: {
        f"{task} {size}": least for task in TASKS for size, least in ((SMALL, 4.0), (LARGE, 3.0))
    },
    AVX512: {
        f"Hopper-v5 {SMALL}": 4.3,
        f"HalfCheetah-v5 {SMALL}": 5.9,
        f"Hopper-v5 {LARGE}": 2.7,
        f"HalfCheetah-v5 {LARGE}": 3.6,
    },
}
OF_LIMIT = {SMALL: 0.65, LARGE: 0.75}
OVER_SB3 = {"Hopper-v5": 5.0, "HalfCheetah-v5": 7.0}  # of small minibatches
OVER_ONE = 1.7  # 2 workers over 1, of large minibatches on Hopper
# What AVX-512 is to reach one day: no bar. Five times a peer is beyond the limit where minibatches are large.
AIM_OVER_PEERS, AIM_OF_LIMIT = {SMALL: 5.0}, {SMALL: 0.8, LARGE: 0.8}


@dataclass(frozen=True)
class Bar:
    """What must hold of one workload.

    Attributes:
        least: of the median ratio.
        ratios: as measured, one a round; none where something was not measured.
        of_what: the two that were compared, for the reader.
        aim: what is wished for, if anything; no bar.
    """

    work: str
    says: str
    least: float
    ratios: tuple[float, ...]
    of_what: str = ""
    aim: float | None = None

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
        return self.fastest(lambda name: library_of(name) not in (OURS, LIMIT, FLOOR))

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


def held_to(instruction_set: str) -> str:
    """Whose bars hold for an instruction set."""
    return AVX512 if instruction_set == AVX512 else AVX2


def bars(rows: Sequence[Mapping[str, Any]], instruction_set: str) -> list[Bar]:
    """All bars, measured or not."""
    over_peers, found = OVER_PEERS[held_to(instruction_set)], []
    has_aim = instruction_set == AVX512
    for size in (SMALL, LARGE):
        for task in TASKS:
            table = Table(rows, f"{task} {size}")
            aim = AIM_OVER_PEERS.get(size) if has_aim else None
            found.append(_over_peers(table, over_peers[table.work], aim))
            if size == SMALL:
                found.append(_over(table, SB3, table.fastest(_is_of(SB3)), OVER_SB3[task]))
            aim = AIM_OF_LIMIT.get(size) if has_aim else None
            limit = table.fastest(_is_of(LIMIT))
            found.append(_over(table, "the physical limit", limit, OF_LIMIT[size], aim))
    table = Table(rows, f"Hopper-v5 {LARGE}")
    found.append(_over(table, "1 worker", table.fastest_ours(1), OVER_ONE))
    return found


def _is_of(library: str) -> Callable[[str], bool]:
    return lambda name: library_of(name) == library


def _over_peers(table: Table, least: float, aim: float | None) -> Bar:
    """The fastest peer is known only once SBX on one core, the fastest in earlier measurements, is there."""
    pinned = table.fastest(lambda name: library_of(name) == SBX and name.endswith("one core"))
    peer = table.fastest_peer() if pinned else None
    return _over(table, "the fastest peer", peer, least, aim)


def _over(
    table: Table,
    other: str,
    name: str | None,
    least: float,
    aim: float | None = None,
) -> Bar:
    mine = table.fastest_ours(2)
    return Bar(
        work=table.work,
        says=f"2 workers over {other}",
        least=least,
        ratios=table.ratios(mine, name),
        of_what=f"{mine} over {name}" if mine and name else "",
        aim=aim if aim is not None and aim > least else None,
    )


def order_of(contestant: str, contestants: Sequence[Contestant] = CONTESTANTS) -> int:
    """Where it stands in tables."""
    names = [each.name for each in contestants]
    return names.index(contestant) if contestant in names else len(names)


def spread(values: Sequence[float], form: str) -> str:
    """Median (lowest to highest)."""
    numbers = [statistics.median(values), min(values), max(values)]
    middle, lowest, highest = (format(number, form) for number in numbers)
    return middle if len(values) == 1 else f"{middle} ({lowest} to {highest})"
