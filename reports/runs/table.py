"""A list of runs as lines of text: a line a run where it is wide enough, else its name above the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from helpers.display.numbers import count
from helpers.free_space import format_bytes
from reports.runs.entry import STATES, Entry
from swarm.table import shorten

STYLES = {
    "done": "green",
    "running": "cyan",
    "stopped": "yellow",
    "unknown": "yellow",
    "failed": "bold red",
    "diverged": "bold red",
    "damaged": "bold red",
}
_TOLD = ("failed", "diverged", "damaged", "unknown")  # whose reason deserves a line
_HEADINGS = ("state", "steps", "return", "age", "size", "seed", "algo", "task")
_IS_TEXT = (True, False, False, False, False, False, True, True)
_GAP = "  "
_INDENT = "  "
_LEAST_TASK = 8
_OF_TRAINING = "*"
_AGES = ((86400.0, "d"), (3600.0, "h"), (60.0, "m"))


@dataclass(frozen=True)
class Row:
    """A line, and the word in it that says a state: (first, last + 1) character."""

    text: str
    state: str = ""
    at: tuple[int, int] = (0, 0)


def rows_of(entries: Sequence[Entry], width: int) -> list[Row]:
    """The lines of a list, `width` columns wide; names are whole."""
    cells = [_cells(entry) for entry in entries]
    sizes = [max(map(len, column)) for column in zip(_HEADINGS, *cells, strict=True)]
    longest = max(map(len, ["run", *(entry.name for entry in entries)]))
    is_one_line = longest + sum(sizes) + len(_GAP) * len(sizes) <= width
    lead = longest if is_one_line else len(_INDENT) - len(_GAP)
    room = max(width - lead - sum(sizes[:-1]) - len(_GAP) * len(sizes), _LEAST_TASK)
    cells = [(*row[:-1], shorten(row[-1], room)) for row in cells]
    sizes[-1] = min(sizes[-1], room)
    head = _laid_out("run" if is_one_line else "", lead, _HEADINGS, sizes)
    rows = [] if is_one_line else [Row("run")]
    rows.append(Row(head))
    for entry, row in zip(entries, cells, strict=True):
        if not is_one_line:
            rows.append(Row(entry.name))
        text = _laid_out(entry.name if is_one_line else "", lead, row, sizes)
        begin = lead + len(_GAP)
        rows.append(Row(text, entry.state, (begin, begin + len(entry.state))))
        if entry.reason and entry.state in _TOLD:
            rows += [Row(_INDENT + line) for line in wrapped(entry.reason, width - len(_INDENT))]
    return rows


def summary_of(entries: Sequence[Entry], left_out: int = 0) -> list[str]:
    """How many runs there are, in which states, and what they take; what a sign in the table means."""
    counts = Counter(entry.state for entry in entries)
    told = ", ".join(f"{counts[state]:,} {state}" for state in reversed(STATES) if counts[state])
    size = format_bytes(sum(entry.size for entry in entries))
    one = "1 run" if len(entries) == 1 else f"{len(entries):,} runs"
    lines = [f"{one}: {told or 'none'}; {size} on the disk"]
    if left_out:
        lines.append(f"{left_out:,} more do not meet --where")
    if any(entry.return_of == "training" for entry in entries):
        lines.append(f"{_OF_TRAINING} return of the training's episodes: there is no evaluation")
    return lines


def age_of(seconds: float) -> str:
    """In one unit: 45s, 12m, 3h, 20d."""
    for unit, name in _AGES:
        if seconds >= unit:
            return f"{int(seconds / unit)}{name}"
    return f"{int(seconds)}s"


def size_in_short(size: float) -> str:
    """Bytes on a disk: 512B, 1.5G."""
    figure, unit = format_bytes(size).split()
    return f"{figure}{unit[0].upper()}"


def wrapped(text: str, width: int) -> Iterator[str]:
    """A text in lines of `width` columns, without control characters."""
    width = max(width, 20)
    text = "".join(char if char.isprintable() else " " for char in text)
    while len(text) > width:
        cut = text.rfind(" ", width // 2, width + 1)
        cut = width if cut < 0 else cut
        yield text[:cut].rstrip()
        text = text[cut:].lstrip()
    yield text


def _cells(entry: Entry) -> tuple[str, ...]:
    """What stands below `_HEADINGS`."""
    return_ = "" if entry.return_ is None else f"{entry.return_:.4g}"
    return (
        entry.state,
        f"{count(entry.steps)}/{count(entry.num_timesteps)}",
        return_ + (_OF_TRAINING if entry.return_of == "training" else ""),
        age_of(entry.age),
        size_in_short(entry.size),
        str(entry.seed),
        entry.algorithm,
        entry.task,
    )


def _laid_out(name: str, lead: int, cells: Sequence[str], sizes: Sequence[int]) -> str:
    texts = [name.ljust(lead)]
    for cell, size, is_text in zip(cells, sizes, _IS_TEXT, strict=True):
        texts.append(cell.ljust(size) if is_text else cell.rjust(size))
    return _GAP.join(texts).rstrip()
