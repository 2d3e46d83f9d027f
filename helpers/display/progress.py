"""What a person watching sees: a live panel on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, TextIO, cast

from helpers.display import panel
from helpers.display.numbers import count, format_duration, number
from helpers.display.run_progress import RunProgress
from helpers.display.terminal import Terminal, find_terminal
from helpers.parallel.deadline import received_signal

Mode = Literal["auto", "live", "plain", "none"]

PLAIN_SECONDS = 10.0  # between two plain lines, at first
PLAIN_SHARE = 0.01  # of the time that has passed, later: a log of days stays short
MOST_PLAIN_SECONDS = 600.0
LIVE_SECONDS = 0.25  # between two drawings of the panel, at least
LIVE_SHARE = 0.005  # of the time: drawing takes no more ...
MOST_LIVE_SECONDS = 1.0  # ... as long as the panel follows
ESCAPE = re.compile(r"\x1b\[\d*(?:;\d+)*m")


class _Relay(logging.Handler):
    """From a logger to a progress."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self._progress.message(record.getMessage())


class _Above:
    """A stream whose lines appear above the panel: whatever prints does not break it, and is not erased by it."""

    def __init__(self, stream: TextIO, say: Callable[[str], None]) -> None:
        self.stream, self._say, self._rest = stream, say, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        if lines:
            self._say("\n".join(lines))
        return len(text)

    def flush(self) -> None:
        """Lines are written when they end."""

    def end(self) -> TextIO:
        """The stream itself again; a line that has not ended ends."""
        if self._rest:
            self.write("\n")
        return self.stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Progress:
    """Shows rows as they come. Workers other than the root show nothing.

    A terminal that goes away never disturbs the run: from then on nothing is shown.

    Args:
        mode: "live", "plain", "none" (messages only), or "auto": live where a person sees it.
        is_root: whether this worker speaks.
        total_steps: length of the run, in global environment steps.
        title: what is trained, on the frame of the panel.
        output: where to, in place of the standard output.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        mode: Mode = "auto",
        *,
        is_root: bool,
        total_steps: int,
        title: str = "",
        output: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._output = sys.stdout if output is None else output
        self._clock, self._title = clock, title
        self._terminal = find_terminal(self._output) if is_root else None
        self._mode = _resolve_mode(mode, self._terminal) if is_root else "none"
        self._speaks = is_root
        self._run = RunProgress(total_steps)
        self._began_at: float | None = None
        self._shown_at: float | None = None
        self._shown_iteration = -1
        self._pause = LIVE_SECONDS
        self._lines: list[str] = []  # of the panel that stands on the terminal
        self._is_stopping = False
        self._lock = threading.RLock()

    @property
    def is_live(self) -> bool:
        """Whether a panel is drawn."""
        return self._mode == "live"

    def update(self, row: Mapping[str, Any]) -> None:
        """Show a row: "iteration", "step", and returns as named in docs/metrics.md."""
        if self._mode == "none":
            return
        with self._lock:
            now = self._clock()
            self._run.take(row, now)
            pause = self._pause if self.is_live else self._plain_pause(now)
            is_last = self._run.step >= self._run.total_steps
            if self._shown_at is None or now - self._shown_at >= pause or is_last:
                self._show(now)

    def resume(self, best_return: float | None) -> None:
        """The highest evaluation of the sessions before."""
        self._run.best = best_return

    def message(self, text: str) -> None:
        """Print a text above the panel; from any thread."""
        if not self._speaks:
            return
        with self._lock:
            self._write(self._erasing() + "\n".join([text, *self._lines]) + "\n")

    def hear(self, *loggers: str) -> None:
        """Pass on what these loggers say, once and not once a worker."""
        for name in loggers:
            logger = logging.getLogger(name)
            logger.handlers = [_Relay(self)]
            logger.propagate = False
            logger.setLevel(logging.INFO)

    def close(self) -> None:
        """Leave the last state where it is."""
        with self._lock:
            if self._mode != "none" and self._run.iteration > self._shown_iteration >= 0:
                self._show(self._clock())
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                if isinstance(stream, _Above):
                    setattr(sys, name, stream.end())
            self._lines, self._mode = [], "none"

    def _plain_pause(self, now: float) -> float:
        """Seconds until the next plain line: more and more, so that three days make some hundred lines."""
        if self._began_at is None:
            self._began_at = now
        pause = max(PLAIN_SECONDS, PLAIN_SHARE * (now - self._began_at))
        return min(pause, MOST_PLAIN_SECONDS)

    def _show(self, now: float) -> None:
        self._shown_at, self._shown_iteration = now, self._run.iteration
        if not self.is_live:
            self._write(plain_line(self._run) + "\n")
            return
        started = time.perf_counter()
        if not self._lines:
            self._take_streams()
        terminal = self._terminal or Terminal()
        if terminal.is_launchers and not self._is_stopping and received_signal():
            self._is_stopping, self._lines = True, []  # mpiexec says below it how to abort
        columns, rows = terminal.size()
        erasing = self._erasing()
        self._lines = panel.render(
            self._run,
            title=self._title,
            width=columns - 1,  # a terminal may wrap a line that fills it
            height=rows - 1,
            signs=can_encode(self._output),
            colours=terminal.has_colours,
        )
        self._write(erasing + "\n".join(self._lines) + "\n")
        pause = max(LIVE_SECONDS, (time.perf_counter() - started) / LIVE_SHARE)
        self._pause = min(pause, MOST_LIVE_SECONDS)

    def _erasing(self) -> str:
        """What clears the panel, below which the cursor stands; its lines are longer than a terminal made narrower.

        The cursor is never hidden: a killed run leaves the terminal whole.
        """
        if not self._lines:
            return ""
        columns = max(1, (self._terminal or Terminal()).size().columns)
        rows = sum(-(-max(1, len(ESCAPE.sub("", line))) // columns) for line in self._lines)
        return f"\r\x1b[{rows}A\x1b[J"

    def _take_streams(self) -> None:
        """Let what others print on this terminal appear above the panel."""
        if self._output is not sys.stdout or isinstance(sys.stdout, _Above):
            return
        is_seen = find_terminal(sys.stderr, descriptor=2) is not None
        sys.stdout = cast(TextIO, _Above(sys.stdout, self.message))
        if is_seen:
            sys.stderr = cast(TextIO, _Above(sys.stderr, self.message))

    def _write(self, text: str) -> None:
        try:
            self._output.write(text)
            self._output.flush()
        except (OSError, ValueError):  # the terminal, pipe or file is gone, full or closed
            self._speaks, self._mode, self._lines = False, "none", []


def plain_line(run: RunProgress) -> str:
    """One line for a log."""
    parts = [
        f"iteration {run.iteration}",
        f"{count(run.step)} of {count(run.total_steps)} steps ({run.fraction:.0%})",
    ]
    if run.rate:
        parts.append(f"{count(run.rate)} steps/s")
    if run.return_ is not None:
        change = run.evaluations[-1] - run.evaluations[-2] if run.evaluations[1:] else 0
        kind = "return" if run.evaluations else "training return"
        parts.append(f"{kind} {number(run.return_)}" + (f" ({change:+.4g})" if change else ""))
    if run.seconds_left is not None:
        parts.append(f"{format_duration(run.seconds_left)} left")
    return " | ".join(parts)


def _resolve_mode(mode: Mode, terminal: Terminal | None) -> Mode:
    if mode != "auto":
        return mode
    return "live" if terminal is not None and os.environ.get("TERM") != "dumb" else "plain"


def can_encode(output: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether Unicode arrives: the stream writes UTF-8, and no locale says that the terminal has another encoding.

    Python itself takes LANG=C for UTF-8 (PEP 538 sets LC_CTYPE=C.UTF-8); a terminal does not.
    """
    if (getattr(output, "encoding", None) or "").lower().replace("-", "") != "utf8":
        return False
    named = [environment.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG")]
    if named[1] == "C.UTF-8":
        named[1] = ""
    locale = next(filter(None, named), "UTF-8")
    return locale.lower().replace("-", "").endswith("utf8")
