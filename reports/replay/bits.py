"""Two runs, bit by bit: the rows of their metrics, and what their checkpoints hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.checkpoints.manifests import contents_of, list_checkpoints, read_manifest
from helpers.durable import UnprovenError
from helpers.trackers.jsonl import bits_of
from reports.page.phrases import joined

Rows = Mapping[int, Mapping[str, Any]]
_MOST_NAMED = 3


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common.

    Attributes:
        wanted: the iteration up to which they are compared.
        reached: up to which all rows are there twice, and equal.
        differing: the first iteration whose rows differ; None where none does.
        numbers: which of its numbers, with both values; "" where none does.
        equal: iterations whose checkpoints both have, and hold the same.
        unequal: those that do not hold the same, with the files that differ.
        proven: how many files the last equal checkpoint has.
    """

    wanted: int
    reached: int
    differing: int | None = None
    numbers: str = ""
    equal: tuple[int, ...] = ()
    unequal: Mapping[int, str] = field(default_factory=dict)
    proven: int = 0

    @property
    def is_equal(self) -> bool:
        """Whether all that is compared is there, and the same."""
        return self.reached == self.wanted and not self.unequal

    @property
    def differs(self) -> bool:
        """Whether anything that is there twice is not the same."""
        return self.differing is not None or bool(self.unequal)

    def verdict(self, last: int) -> list[str]:
        """In sentences; `last` is the run's last iteration."""
        rows = f"{self.reached} row{'s' if self.reached != 1 else ''} of metrics"
        if self.differing is not None:
            before = (
                f"iterations 1 to {self.reached} are bitwise equal"
                if self.reached
                else "no iteration is equal"
            )
            parts = [f"differs at iteration {self.differing}: {self.numbers}; {before}"]
        elif self.unequal:
            parts = [f"differs: {rows} are equal, but not the checkpoints"]
        elif self.reached < self.wanted:
            parts = [f"equal so far: {rows}, of {self.wanted}"]
        else:
            parts = [
                f"bitwise equal up to iteration {self.reached} of {last}: {rows}, without their times",
            ]
        if self.equal:
            parts.append(
                f"checkpoint of iteration {self.equal[-1]}: {self.proven} file{'s' if self.proven != 1 else ''} with "
                f"equal sha256{self._others()}",
            )
        elif not self.unequal:
            parts.append(
                "checkpoints: none of an iteration that both have, so that the rows alone are compared",
            )
        parts += [
            f"checkpoint of iteration {each}: {names} differ"
            for each, names in self.unequal.items()
        ]
        return parts

    def _others(self) -> str:
        others = [str(each) for each in self.equal[:-1]]
        return f"; also of {joined(others, most=_MOST_NAMED)}" if others else ""


def compare(there: Path, here: Path, rows: tuple[Rows, Rows], *, until: int) -> Comparison:
    """Compare a run with its replay.

    Args:
        there, here: the folders of both.
        rows: of both, by iteration.
        until: the last iteration that counts.
    """
    reached, differing = compare_rows(*rows, until=until)
    numbers = "" if differing is None else _numbers(rows[0][differing], rows[1][differing])
    equal, unequal, proven = [], {}, 0
    both = [dict(list_checkpoints(each / "checkpoints")) for each in (there, here)]
    for iteration in sorted(both[0].keys() & both[1].keys()):
        if iteration > until:
            continue
        found = [_contents(each[iteration]) for each in both]
        names = sorted(
            name for name in found[0] | found[1] if found[0].get(name) != found[1].get(name)
        )
        if names:
            unequal[iteration] = joined(names, most=_MOST_NAMED)
        else:
            equal.append(iteration)
            proven = len(found[0])
    return Comparison(until, reached, differing, numbers, tuple(equal), unequal, proven)


def compare_rows(there: Rows, here: Rows, *, until: int) -> tuple[int, int | None]:
    """(the iteration up to which all rows are equal, the next one where it differs; None: it is not there yet)."""
    reached = 0
    for iteration in sorted(each for each in there if each <= until):
        if iteration not in here:
            return reached, None
        if bits_of(there[iteration]) != bits_of(here[iteration]):
            return reached, iteration
        reached = iteration
    return reached, None


def _numbers(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Which numbers of two rows differ."""
    names = [
        name
        for name in {**there, **here}
        if not name.startswith("time/")
        and bits_of({"": there.get(name)}) != bits_of({"": here.get(name)})
    ]
    names += [n for n in there.keys() ^ here.keys() if n not in names and not n.startswith("time/")]
    words = [
        f"{name} ({_figure(there, name)} there, {_figure(here, name)} here)"
        for name in names[:_MOST_NAMED]
    ]
    more = len(names) - len(words)
    return ", ".join(words) + (f" and {more} more" if more else "")


def _figure(row: Mapping[str, Any], name: str) -> str:
    return repr(row[name]) if name in row else "none"


def _contents(checkpoint: Path) -> dict[str, Any]:
    """Proofs by name; of one that is damaged, that it is."""
    try:
        return contents_of(read_manifest(checkpoint))
    except UnprovenError as error:
        return {f"its manifest ({error})": checkpoint}
