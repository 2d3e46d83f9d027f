"""A swarm on a terminal, live: hundreds of runs scroll, are sorted and filtered, and each shows the end of its log."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, TYPE_CHECKING

from helpers.errors import UserError
from swarm.plan import Plan
from swarm.status import UNDER_WAY
from swarm.table import Layout, by_trouble, head, status_table, summary, wrap
from swarm.watch import Line, lines_of, log_of, seconds_between, tail_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_DRAW_SECONDS = 0.5  # after which a screen of another size is noticed
_AROUND = 6  # lines of the screen that are no runs, when the table is left there
_LOG_TAIL = 1 << 17  # bytes of a log that can be scrolled through
_MARK = "> "
_ESCAPE_SECONDS = 0.05  # within which the rest of an arrow's bytes comes
_KEYS = {
    b"\x1b[A": "up",
    b"\x1bOA": "up",
    b"\x1b[B": "down",
    b"\x1bOB": "down",
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
    b"\x1b[H": "home",
    b"\x1b[1~": "home",
    b"\x1b[F": "end",
    b"\x1b[4~": "end",
    b"\r": "enter",
    b"\n": "enter",
    b"\x1b": "escape",
    b"\x7f": "backspace",
    b"\x08": "backspace",
}
_LETTERS = {"k": "up", "j": "down", "b": "page up", " ": "page down", "g": "home", "G": "end"}
_HELP = (
    "q quit   s sort: {sort}   / filter: {filter}   enter log   arrows, pages, g G move",
    "q quit  s sort: {sort}  / filter  enter log  arrows",
    "q s / enter arrows",
)
_SORTS: dict[str, Callable[[Line], tuple[object, ...]]] = {
    "trouble": lambda line: (),
    "name": lambda line: (line.run,),
    "steps": lambda line: (-line.steps,),
    "return": lambda line: (line.return_ is None, -(line.return_ or 0.0)),
    "steps/s": lambda line: (line.rate is None, -(line.rate or 0.0)),
}


class View:
    """What the keys have made of the screen.

    Args:
        plan: of the swarm.
        lines: of its runs.
    """

    def __init__(self, plan: Plan, lines: Sequence[Line]) -> None:
        self._plan = plan
        self.lines = list(lines)
        self.notice = ""  # in the place of the keys
        self._sort, self._filter = "trouble", ""
        self._is_typing = False
        self._selected: str | None = None
        self._top = 0  # line of the rows that is the first on the screen
        self._page = 1
        self._log: Path | None = None
        self._above = 0  # lines of the log below the screen

    def press(self, key: str) -> bool:
        """Do what a key says; False: leave."""
        if self._is_typing:
            self._type(key)
        elif self._log is not None:
            self._scroll_log(_LETTERS.get(key, key))
        elif key in ("q", "Q"):
            return False
        elif key == "s":
            sorts = list(_SORTS)
            self._sort = sorts[(sorts.index(self._sort) + 1) % len(sorts)]
        elif key == "/":
            self._is_typing = True
        elif key == "escape":
            self._filter = ""
        elif key == "enter":
            run = self._plan.by_name.get(self._selected or "")
            self._log, self._above = None if run is None else log_of(self._plan, run), 0
        else:
            self._move(_LETTERS.get(key, key))
        return True

    def render(self, width: int, height: int) -> Text:
        """The screen, of exactly that size at most."""
        from rich.text import Text

        if self._log is not None:
            texts = self._render_log(self._log, width, height - 1)
        else:
            texts = self._render_runs(width, height - 1)
        texts = texts[: max(height - 1, 0)]
        texts += [Text()] * (height - 1 - len(texts))
        texts.append(Text(self._bar(width)[:width], style="reverse"))
        return Text("\n", no_wrap=True, overflow="crop").join(texts)

    def chosen(self) -> list[Line]:
        """The runs that pass the filter, sorted."""
        needle = self._filter.lower()
        passing = [
            line
            for line in self.lines
            if needle in line.run.lower()
            or needle in line.state
            or fnmatchcase(line.run.lower(), needle)
        ]
        return sorted(by_trouble(passing), key=_SORTS[self._sort])

    def _type(self, key: str) -> None:
        if key in ("enter", "escape"):
            self._is_typing = False
            if key == "escape":
                self._filter = ""
        elif key == "backspace":
            self._filter = self._filter[:-1]
        elif len(key) == 1 and key.isprintable():
            self._filter += key

    def _scroll_log(self, key: str) -> None:
        steps = {"up": 1, "down": -1, "page up": self._page, "page down": -self._page}
        if key in ("q", "Q", "escape", "enter"):
            self._log = None
        elif key in ("home", "end"):
            self._above = sys.maxsize if key == "home" else 0
        else:
            self._above = max(self._above + steps.get(key, 0), 0)

    def _move(self, key: str) -> None:
        names = [line.run for line in self.chosen()]
        if not names:
            return
        now = names.index(self._selected) if self._selected in names else 0
        steps = {
            "up": -1,
            "down": 1,
            "page up": -self._page,
            "page down": self._page,
            "home": -len(names),
            "end": len(names),
        }
        self._selected = names[min(max(now + steps.get(key, 0), 0), len(names) - 1)]

    def _render_runs(self, width: int, height: int) -> list[Text]:
        from rich.text import Text

        chosen = self.chosen()
        if self._selected not in [line.run for line in chosen]:
            self._selected = chosen[0].run if chosen else None
        layout = Layout(self.lines, width=width, mark=_MARK)
        texts = head(self._plan, self.lines, layout, width)
        rows: list[Text] = []
        begin = end = 0
        for line in chosen:
            is_selected = line.run == self._selected
            block = layout.block(line, is_selected=is_selected)
            if is_selected:
                begin, end = len(rows), len(rows) + len(block)
            rows += block
        room = max(height - len(texts), 1)
        self._page = max(room - 1, 1)
        # the selected run is whole on the screen, and nothing below the last one
        self._top = max(min(self._top, begin, len(rows) - room), end - room, 0)
        self._top = min(self._top, begin)
        if not rows:
            rows = [Text(f"no run has {self._filter} in its name or state", style="dim")]
        return [*texts, *rows[self._top : self._top + room]]

    def _render_log(self, path: Path, width: int, height: int) -> list[Text]:
        from rich.text import Text

        content = tail_of(path, _LOG_TAIL).decode("utf-8", errors="replace")
        kept = [
            "".join(char for char in line if char.isprintable()) for line in content.splitlines()
        ]
        lines = [part for line in kept for part in wrap(line, width)] or ["nothing yet"]
        texts = [Text(part, style="bold") for part in wrap(f"log: {path}", width)]
        room = max(height - len(texts), 1)
        self._page = max(room - 1, 1)
        self._above = min(self._above, max(len(lines) - room, 0))
        last = len(lines) - self._above
        return [*texts, *map(Text, lines[max(last - room, 0) : last])]

    def _bar(self, width: int) -> str:
        if self._is_typing:
            return f"/{self._filter}_   enter keep   esc all runs"
        if self.notice:
            return self.notice
        if self._log is not None:
            return "q back   arrows, pages, g G scroll"
        shown = self._filter or "none"
        texts = [text.format(sort=self._sort, filter=shown) for text in _HELP]
        return next((text for text in texts if len(text) <= width), texts[-1])


def show_once(plan: Plan, console: Console) -> None:
    """Print the table, whole."""
    _print(status_table(plan, lines_of(plan), width=console.width), console)


def watch(plan: Plan, console: Console, *, seconds: float | None = None) -> None:
    """Show the runs until `q` or Ctrl-C is pressed, or all have ended meanwhile. The runs notice nothing.

    A swarm that has ended before can be looked through; it stays until `q`.
    """
    pause = seconds or seconds_between(plan)
    with contextlib.suppress(KeyboardInterrupt):
        if console.is_dumb_terminal or not sys.stdin.isatty():
            _follow(plan, console, pause)
            return
        _browse(plan, console, pause)
    size = shutil.get_terminal_size()
    table = status_table(plan, lines_of(plan), width=size.columns, rows=size.lines - _AROUND)
    _print(table, console)


def _browse(plan: Plan, console: Console, pause: float) -> None:
    from rich.live import Live

    reader = _Reader(plan, pause)
    view = View(plan, reader.lines)
    is_left_at_end = _are_under_way(view.lines)
    with reader, _keys(sys.stdin) as keys:
        with Live(console=console, auto_refresh=False, screen=True) as live:
            while True:
                view.lines, view.notice = reader.lines, reader.problem
                size = shutil.get_terminal_size()
                live.update(view.render(size.columns, size.lines), refresh=True)
                if is_left_at_end and not _are_under_way(view.lines):
                    return
                for key in keys(_DRAW_SECONDS):
                    is_left_at_end = False
                    if not view.press(key):
                        return


def _follow(plan: Plan, console: Console, pause: float) -> None:
    """Where nothing can be drawn over: the table, and a line whenever the states have changed."""
    lines = lines_of(plan)
    _print(status_table(plan, lines, width=console.width), console)
    first = told = summary(plan, lines)
    while _are_under_way(lines):
        time.sleep(pause)
        lines = lines_of(plan)
        if summary(plan, lines) != told:
            told = summary(plan, lines)
            for part in wrap(told, console.width):
                console.print(part, markup=False, highlight=False)
    if told != first:
        _print(status_table(plan, lines, width=console.width), console)


def _are_under_way(lines: Sequence[Line]) -> bool:
    return any(line.state in (*UNDER_WAY, "claimed") for line in lines)


def _print(text: Text, console: Console) -> None:
    console.print(text, no_wrap=True, overflow="crop")


class _Reader:
    """Looks at the runs now and then, in a thread: keys are obeyed meanwhile."""

    def __init__(self, plan: Plan, pause: float) -> None:
        self._plan, self._pause = plan, pause
        self._is_over = threading.Event()
        self.lines = lines_of(plan)
        self.problem = ""
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> _Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()

    def _read(self) -> None:
        while not self._is_over.wait(self._pause):
            try:
                self.lines = lines_of(self._plan)
                self.problem = ""
            except UserError as error:  # Slurm does not answer: it may the next time
                self.problem = error.problem


@contextlib.contextmanager
def _keys(stream: IO[str]) -> Iterator[Callable[[float], list[str]]]:
    """A function that waits up to `seconds` for keys, and gives their names."""
    before = termios.tcgetattr(stream)

    def read(seconds: float) -> list[str]:
        if not select.select([stream], [], [], seconds)[0]:
            return []
        content = os.read(stream.fileno(), 1024)
        if content == b"\x1b" and select.select([stream], [], [], _ESCAPE_SECONDS)[0]:
            content += os.read(stream.fileno(), 1024)
        return names_of(content) if content else ["q"]  # the terminal is gone

    try:
        tty.setcbreak(stream)
        yield read
    finally:
        termios.tcsetattr(stream, termios.TCSADRAIN, before)


def names_of(content: bytes) -> list[str]:
    """The keys that a terminal sends as these bytes."""
    names = []
    while content:
        found = max((each for each in _KEYS if content.startswith(each)), key=len, default=b"")
        name = _KEYS.get(found) or content[:1].decode("ascii", errors="ignore")
        names.append(name)
        content = content[len(found) or 1 :]
    return names
