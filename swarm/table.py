"""The table of a swarm, laid out for a width: what is wrong stands on lines of its own, whole."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from helpers.display.numbers import format_duration
from swarm.plan import Plan
from swarm.status import State
from swarm.watch import Line, means_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

WIDE = 1000  # columns, where nobody looks through a screen
_LEAST_NAME = 20
_LEAST_REASON = 8
_GAP = "  "
_INDENT = "    "
_HEADINGS = ("state", "steps", "return", "steps/s", "left", "restarts")
_STATE, _STEPS, _RETURN, _RATE, _LEFT, _RESTARTS = range(len(_HEADINGS))
_MOST_SETTINGS = 5  # of an environment, whose means stand above the runs
_DROPPED = (_RESTARTS, _RATE, _LEFT, _RETURN, _STEPS)  # in this order, where it is narrow
# what deserves a look comes first where not all fits the screen
ORDER: tuple[State, ...] = (
    "failed",
    "lost",
    "unknown",
    "running",
    "stopping",
    "claimed",
    "queued",
    "stopped",
    "planned",
    "done",
)
_TROUBLE = ("failed", "lost", "unknown")
_STYLES: Mapping[str, str] = {
    "done": "green",
    "running": "cyan",
    "failed": "bold red",
    "lost": "bold red",
    "stopped": "yellow",
    "stopping": "yellow",
}


class Layout:
    """Columns for some runs and a width, the same for each row.

    Args:
        lines: of all runs, also those that are not on the screen now.
        width: columns there are.
        mark: of the selected row, and the same room before the others; "" where none is selected.
    """

    def __init__(self, lines: Sequence[Line], *, width: int, mark: str = "") -> None:
        self._width, self._mark = width, mark
        self._prefix = common_prefix([line.run for line in lines])
        cells = [_cells(line) for line in lines]
        self._sizes = [max(map(len, column)) for column in zip(_HEADINGS, *cells, strict=True)]
        name = max(map(len, ["run", *(self._name(line) for line in lines)]))
        shown = [
            column
            for column in range(len(_HEADINGS))
            if column in (_STATE, _STEPS) or any(row[column] for row in cells)
        ]
        for column in _DROPPED:
            if self._room(shown) >= min(name, _LEAST_NAME):
                break
            shown = [each for each in shown if each != column]
        self._shown = shown
        self._name_size = max(min(name, self._room(shown)), 1)
        self._reason_size = self._room(shown) - self._name_size - len(_GAP)
        if self._reason_size < _LEAST_REASON or not any(line.reason for line in lines):
            self._reason_size = 0

    @property
    def prefix(self) -> str:
        """What each name begins with, and no row repeats."""
        return self._prefix

    def heading(self) -> Text:
        """The names of the columns."""
        cells = [_HEADINGS[each] for each in self._shown]
        reason = "why" if self._reason_size else ""
        return self._row(" " * len(self._mark), "run", cells, reason, style="bold")

    def block(self, line: Line, *, is_selected: bool = False) -> list[Text]:
        """The row of a run, and below it what is wrong, wrapped."""
        from rich.text import Text

        texts = _cells(line)
        fits = len(line.reason) <= self._reason_size and not line.error
        in_row = fits and line.state not in _TROUBLE
        row = self._row(
            self._mark if is_selected else " " * len(self._mark),
            shorten(self._name(line), self._name_size),
            [texts[each] for each in self._shown],
            line.reason if in_row else "",
            style="reverse" if is_selected else "",
            state_style=_STYLES.get(line.state, ""),
        )
        said = "" if in_row else line.error or line.reason
        what = ", ".join(filter(None, (said, line.changed)))
        if not what:
            return [row]
        style = _STYLES["failed"] if line.state in _TROUBLE else "dim"
        return [
            row,
            *(Text(_INDENT + part, style=style) for part in wrap(what, self._width - len(_INDENT))),
        ]

    def _name(self, line: Line) -> str:
        return line.run[len(self._prefix) :]

    def _room(self, columns: Sequence[int]) -> int:
        """Columns of the screen that these leave to the name and the reason."""
        return (
            self._width - len(self._mark) - sum(self._sizes[each] + len(_GAP) for each in columns)
        )

    def _row(
        self,
        mark: str,
        name: str,
        cells: Sequence[str],
        reason: str,
        *,
        style: str = "",
        state_style: str = "",
    ) -> Text:
        from rich.text import Text

        text = Text(mark + name.ljust(self._name_size), style=style)
        for column, cell in zip(self._shown, cells, strict=True):
            size = self._sizes[column]
            is_state = column == _STATE
            text.append(_GAP).append(
                cell.ljust(size) if is_state else cell.rjust(size),
                style=state_style if is_state else "",
            )
        text.append(_GAP + reason)
        text.rstrip()
        return text


def summary(plan: Plan, lines: Sequence[Line]) -> str:
    """How many runs there are, and in which states."""
    counts = Counter(line.state for line in lines)
    told = ", ".join(f"{counts[state]} {state}" for state in reversed(ORDER) if counts[state])
    return f"{plan.name}: {len(lines)} runs, {told}"


def means(plan: Plan, lines: Sequence[Line]) -> list[str]:
    """A line a choice of a sweep with the mean of its seeds, the best of each environment first."""
    found = means_of(plan, lines)
    told = []
    for env_id in dict.fromkeys(each.env_id for each in found):
        of_env = [each for each in found if each.env_id == env_id]
        for each in of_env[:_MOST_SETTINGS]:
            choice = " ".join(f"{key}={value}" for key, value in each.settings.items())
            mean = "no return yet" if each.return_mean is None else f"{each.return_mean:.4g}"
            told.append(f"{env_id}, {choice}: {mean}, mean of seeds ({each.seeds} of {each.runs})")
        if len(of_env) > _MOST_SETTINGS:
            told.append(f"and {len(of_env) - _MOST_SETTINGS} more settings: --json")
    return told


def head(plan: Plan, lines: Sequence[Line], layout: Layout, width: int) -> list[Text]:
    """What stands above the rows: the summary first, whole."""
    from rich.text import Text

    texts = [Text(part) for part in wrap(summary(plan, lines), width)]
    texts += [Text(part, style="dim") for line in means(plan, lines) for part in wrap(line, width)]
    if layout.prefix:
        told = wrap(f"each name begins with {layout.prefix}", width)
        texts += [Text(part, style="dim") for part in told]
    return [*texts, layout.heading()]


def status_table(
    plan: Plan,
    lines: Sequence[Line],
    *,
    width: int = WIDE,
    rows: int | None = None,
) -> Text:
    """The table as it is printed; below its head at most `rows` lines, the runs that deserve a look first."""
    from rich.text import Text

    layout = Layout(lines, width=width)
    blocks = [layout.block(line) for line in (lines if rows is None else by_trouble(lines))]
    left_out = 0
    if rows is not None:
        while sum(map(len, blocks)) + bool(left_out) > rows and len(blocks) > 1:
            blocks.pop()
            left_out += 1
    texts = [*head(plan, lines, layout, width), *(text for block in blocks for text in block)]
    if left_out:
        texts.append(Text(f"... and {left_out} more: --once shows all", style="dim"))
    return Text("\n", no_wrap=True, overflow="crop").join(texts)


def by_trouble(lines: Sequence[Line]) -> list[Line]:
    """Those first that deserve a look."""
    return sorted(lines, key=lambda line: ORDER.index(line.state))


def wrap(text: str, width: int) -> list[str]:
    """A text in lines of `width` columns; nothing is left out."""
    from rich.text import Text

    lines = Text(text).wrap(_console(), max(width, 1))
    return [line.plain.rstrip() for line in lines] or [""]


@cache
def _console() -> Console:
    from rich.console import Console

    return Console(width=WIDE)


def shorten(text: str, width: int) -> str:
    """The text, with its middle left out where it is too long: names differ at their ends."""
    if len(text) <= width:
        return text
    if width < _LEAST_NAME // 2:
        return text[max(len(text) - width, 0) :]
    return text[: (width - 3) // 2] + "..." + text[len(text) - (width - 2) // 2 :]


def common_prefix(names: Sequence[str]) -> str:
    """What all names begin with, up to a dot; "" for a single one."""
    if len(names) < 2:
        return ""
    common = os.path.commonprefix(list(names))
    return common[: common.rfind(".") + 1]


def _cells(line: Line) -> tuple[str, ...]:
    """What stands under `_HEADINGS`."""
    share = min(line.steps / max(line.total, 1), 1)
    return (
        line.state,
        f"{line.steps:,} ({share:.0%})",
        "" if line.return_ is None else f"{line.return_:.4g}",
        "" if line.rate is None else f"{line.rate:,.0f}",
        "" if line.seconds_left is None else format_duration(line.seconds_left),
        str(line.restarts or ""),
    )
