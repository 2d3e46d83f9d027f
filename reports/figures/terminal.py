"""Curves as text: dots of braille where the terminal has Unicode, else letters; as wide as there is room."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from helpers.display.numbers import count
from reports.runs.table import wrapped

LEAST_WIDTH, LEAST_HEIGHT = 40, 4
_BRAILLE = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # [row][column] of a cell
_COLOURS = (34, 33, 32, 35, 36, 31)  # of a terminal: blue, yellow, green, magenta, cyan, red
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MARKS = 3  # letters on a curve, beside the one at its end
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
_TICK_ROWS, _TICK_COLUMNS = 4, 18  # apart, about


@dataclass(frozen=True, eq=False)
class Line:
    """A curve: its name, and its points (T,), finite, x increasing."""

    label: str
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Screen:
    """What a terminal can show.

    Attributes:
        width: columns; no line is longer where there are at least 40.
        height: rows of the curves themselves.
        signs: whether it has Unicode.
        colours: whether it has colours.
    """

    width: int = 80
    height: int = 16
    signs: bool = True
    colours: bool = False


def draw(lines: Sequence[Line], screen: Screen, *, title: str, below: str) -> list[str]:
    """Curves on one pair of axes, with a legend where there are several.

    Args:
        lines: the curves; several have a letter each, so that they are told apart without colours.
        screen: what they are drawn on.
        title: above them.
        below: what the horizontal axis is.
    """
    width, height = max(screen.width, LEAST_WIDTH), max(screen.height, LEAST_HEIGHT)
    shown = [line for line in lines if len(line.x)]
    if not shown:
        return [*wrapped(title, width), "  nothing to draw yet"]
    ys = np.concatenate([line.y for line in shown])
    low, high = _spread(float(ys.min()), float(ys.max()))
    ticks = _ticks(low, high, max(height // _TICK_ROWS, 2))
    names = [_figure(value) for value in ticks]
    margin = max(map(len, names))
    columns = width - margin - 1
    end = max(float(line.x[-1]) for line in shown)
    begin = min(0.0, min(float(line.x[0]) for line in shown))
    right = end if end > begin else begin + 1.0
    canvas = _Canvas(columns, height, (begin, right), (low, high), screen)
    letters = _letters(len(shown), screen)
    for place, line in enumerate(shown):
        canvas.draw(line, _colour(place), letters[place], _turn(place, len(shown)))
    rows = {canvas.row_of(value): name for value, name in zip(ticks, names, strict=True)}
    axis, tick, corner, dash = "│┤└─" if screen.signs else "||+-"
    text = list(wrapped(title, width))
    for row, cells in enumerate(canvas.rows()):
        text.append(rows.get(row, "").rjust(margin) + (tick if row in rows else axis) + cells)
    text.append(" " * margin + corner + dash * columns)
    text.append(" " * (margin + 1) + _scale(begin, right, columns))
    text.append(below.rjust(width))
    if len(shown) > 1:
        text += _legend(shown, letters, width, screen)
    return text


class _Canvas:
    """Cells of dots, each with the colour of what was drawn there last.

    Args:
        columns, rows: cells.
        x, y: (least, largest) value.
        screen: what it is shown on.
    """

    def __init__(
        self,
        columns: int,
        rows: int,
        x: tuple[float, float],
        y: tuple[float, float],
        screen: Screen,
    ) -> None:
        self._screen = screen
        self._x, self._y = x, y
        self._size = (columns, rows)
        self._fine = (2, 4) if screen.signs else (1, 1)  # dots of a cell
        self._dots = np.zeros((rows, columns), np.int64)
        self._signs = np.full((rows, columns), "", dtype="U1")
        self._colours = np.zeros((rows, columns), np.int64)

    def row_of(self, value: float) -> int:
        """The row of cells of a value, from above."""
        return self._dot(self._x[0], value)[1] // self._fine[1]

    def draw(self, line: Line, colour: int, letter: str, turn: float) -> None:
        """A curve, and its letter on it, so that letters of several do not meet: `turn` is in [0, 1)."""
        dots = [self._dot(x, y) for x, y in zip(line.x, line.y, strict=True)]
        for start, end in zip(dots, dots[1:], strict=False):
            for dot in _between(start, end):
                self._set(dot, colour, letter)
        self._set(dots[-1], colour, letter)
        marked = {len(dots) - 1, *(int((i + turn) / _MARKS * len(dots)) for i in range(_MARKS))}
        for place in sorted(marked) if letter else [len(dots) - 1] if len(dots) == 1 else []:
            column, row = (at // size for at, size in zip(dots[place], self._fine, strict=True))
            self._signs[row, column] = letter or ("●" if self._screen.signs else "*")
            self._colours[row, column] = colour

    def rows(self) -> Iterator[str]:
        """The text of each row."""
        for dots, signs, colours in zip(self._dots, self._signs, self._colours, strict=True):
            cells = [
                str(sign) or (chr(_BRAILLE + dot) if dot else " ")
                for dot, sign in zip(dots.tolist(), signs, strict=True)
            ]
            yield (
                _painted(cells, colours.tolist())
                if self._screen.colours
                else "".join(cells).rstrip()
            )

    def _dot(self, x: float, y: float) -> tuple[int, int]:
        found = []
        for value, (low, high), cells, fine in zip(
            (x, y),
            (self._x, self._y),
            self._size,
            self._fine,
            strict=True,
        ):
            share = (
                value / 2 - low / 2
            )  # halves, so that no difference is beyond the largest number
            share /= high / 2 - low / 2
            found.append(min(max(round(share * (cells * fine - 1)), 0), cells * fine - 1))
        return found[0], self._size[1] * self._fine[1] - 1 - found[1]

    def _set(self, dot: tuple[int, int], colour: int, letter: str) -> None:
        column, row = dot[0] // self._fine[0], dot[1] // self._fine[1]
        self._colours[row, column] = colour
        if self._screen.signs:
            self._dots[row, column] |= _DOTS[dot[1] % 4][dot[0] % 2]
        else:
            self._signs[row, column] = letter or "*"


def _between(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The dots of a straight line."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    for i in range(steps + 1):
        yield (
            start[0] + round((end[0] - start[0]) * i / steps),
            start[1] + round((end[1] - start[1]) * i / steps),
        )


def _painted(cells: Sequence[str], colours: Sequence[int]) -> str:
    """A row with a colour from where it changes on."""
    text, now = "", 0
    for cell, colour in zip(cells, colours, strict=True):
        wanted = colour if cell != " " else now
        if wanted != now:
            text, now = f"{text}\x1b[{wanted}m", wanted
        text += cell
    return text.rstrip() + ("\x1b[0m" if now else "")


def _spread(low: float, high: float) -> tuple[float, float]:
    """The ends of an axis: a little beyond what is shown, and apart where that is one value."""
    if low == high:
        room = abs(low) * 0.05 or 1.0
        return low - room, high + room
    return low, high


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round values within, at most `most`; the ends where there is none."""
    step = (high / most - low / most) or 1.0
    size = 10.0 ** math.floor(math.log10(step))
    step = next((each * size for each in _NICE if each * size >= step), 10 * size)
    first = math.ceil(low / step - 1e-9)
    found = [i * step for i in range(first, first + most + 1) if i * step <= high + 1e-9 * step]
    return found or [low, high]


def _figure(value: float) -> str:
    """A number on the vertical axis."""
    if value and (abs(value) >= 1e7 or abs(value) < 1e-4):
        return f"{value:.3g}"
    return f"{value:,.6g}".replace(",", "") if abs(value) < 1e5 else f"{value / 1e3:.6g}k"


def _scale(begin: float, end: float, columns: int) -> str:
    """The values below the horizontal axis; none touches another."""
    text = ""
    for value in _ticks(begin, end, max(columns // _TICK_COLUMNS, 2)):
        at = round((value - begin) / (end - begin) * (columns - 1))
        name = count(value) if value >= 0 else f"{value:.3g}"
        start = min(max(at - len(name) // 2, 0), columns - len(name))
        if not text or start > len(text):
            text = text.ljust(start) + name
    return text


def _letters(number: int, screen: Screen) -> list[str]:
    """A letter a curve; "" for a single one."""
    if number == 1:
        return [""]
    return [_LETTERS[place % len(_LETTERS)] for place in range(number)]


def _colour(place: int) -> int:
    return _COLOURS[place % len(_COLOURS)]


def _turn(place: int, number: int) -> float:
    return (place + 0.5) / number


def _legend(lines: Sequence[Line], letters: Sequence[str], width: int, screen: Screen) -> list[str]:
    """A line a curve: its letter, its name and its last value."""
    text = []
    for place, (line, letter) in enumerate(zip(lines, letters, strict=True)):
        last = f"{line.y[-1]:.4g}"
        first, *rest = wrapped(f"{line.label}: {last}", width - 4)
        mark = f"\x1b[{_colour(place)}m{letter}\x1b[0m" if screen.colours else letter
        text += [f"  {mark} {first}", *(f"    {part}" for part in rest)]
    return text
