"""What a person watching sees: one live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TextIO

from helpers.display.terminal import Terminal, find_terminal

Mode = Literal["auto", "live", "plain", "none"]

PLAIN_SECONDS = 10.0  # between two plain lines, at first
PLAIN_SHARE = 0.01  # of the time that has passed, later: a log of days stays short
MOST_PLAIN_SECONDS = 600.0
LIVE_SECONDS = 0.1  # between two drawings of the live line
MEMORY_SECONDS = 60.0  # over how long the steps per second are smoothed
MORE = 1.1  # updates a step that differ by more than this factor are another kind of work
SHOWN_EVALUATIONS = 8
NOISE = 0.05  # of the range of the shown evaluations: a smaller change is none
SPARKS = "▁▂▃▄▅▆▇█"
CLEAR = "\r\x1b[K"


class _Relay(logging.Handler):
    """From a logger to a progress."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self._progress.message(record.getMessage())


@dataclass
class Speed:
    """Steps per second of wall-clock time, of late and at the work that is still to come.

    Steps before the first update (a replay memory warms up) take almost no time, and the iteration in which
    updates begin has only some of them. So what counts begins anew when an iteration updates more than
    those before.

    Attributes:
        steps, seconds: of the last minute or so; what is older counts less and less.
        updates: the most updates a step of an iteration yet.
        is_known: whether the speed will last; not before `learning_starts`.
    """

    steps: float = 0.0
    seconds: float = 0.0
    updates: float = 0.0
    is_known: bool = False

    def take(self, *, steps: float, seconds: float, updates: float | None) -> None:
        """One more iteration; its updates, None where they are not counted."""
        each = 0.0 if updates is None else updates / max(1.0, steps)
        if each > MORE * self.updates:
            self.steps = self.seconds = 0.0
            self.updates = each
        fading = math.exp(-seconds / MEMORY_SECONDS)
        self.steps = fading * self.steps + steps
        self.seconds = fading * self.seconds + seconds
        self.is_known = self.seconds > 0.0 and (updates is None or self.updates > 0.0)

    @property
    def rate(self) -> float:
        """Steps per second; 0 before any time has passed."""
        return self.steps / self.seconds if self.seconds > 0.0 else 0.0


@dataclass
class RunProgress:
    """Where the run is, kept from row to row.

    Attributes:
        total_steps: the goal, in global environment steps, like `step`.
        speed: of late.
        evaluations: mean returns of the last evaluations; of rollouts where there are none.
    """

    total_steps: int
    iteration: int = 0
    step: int = 0
    speed: Speed = field(default_factory=Speed)
    evaluations: list[float] = field(default_factory=list)
    rollout_return: float | None = None
    updated_at: float | None = None

    def take(self, row: Mapping[str, Any], now: float) -> None:
        """Bring up to date with a row."""
        updates = row.get("update/count")
        if self.updated_at is not None:
            passed = now - self.updated_at
            self.speed.take(steps=row["step"] - self.step, seconds=passed, updates=updates)
        elif rate := row.get("time/steps_per_second"):  # when the iteration began is not known here
            steps = row["step"] / row["iteration"]
            self.speed.take(steps=steps, seconds=steps / rate, updates=updates)
        self.updated_at = now
        self.iteration, self.step = row["iteration"], row["step"]
        if row.get("rollout/return_mean") is not None:
            self.rollout_return = float(row["rollout/return_mean"])
        if row.get("eval/return_mean") is not None:
            self.evaluations.append(float(row["eval/return_mean"]))
            del self.evaluations[:-SHOWN_EVALUATIONS]

    @property
    def rate(self) -> float:
        """Steps per second; 0 while unknown."""
        return self.speed.rate

    @property
    def fraction(self) -> float:
        """The part of the steps that is done, 0 to 1."""
        return min(1.0, self.step / max(1, self.total_steps))

    @property
    def return_(self) -> float | None:
        """The latest evaluation's return; the latest rollout's before any evaluation."""
        return self.evaluations[-1] if self.evaluations else self.rollout_return

    @property
    def seconds_left(self) -> float | None:
        """At the present speed; None while that is unknown, and at the end."""
        rest = self.total_steps - self.step
        return rest / self.rate if self.speed.is_known and self.rate > 0 and rest > 0 else None


class Progress:
    """Shows rows as they come. Workers other than the root show nothing.

    A terminal that goes away never disturbs the run: from then on nothing is shown.

    Args:
        mode: "live", "plain", "none" (messages only), or "auto": live where a person sees it.
        is_root: whether this worker speaks.
        total_steps: length of the run, in global environment steps.
        output: where to, in place of the standard output.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        mode: Mode = "auto",
        *,
        is_root: bool,
        total_steps: int,
        output: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._output = sys.stdout if output is None else output
        self._clock = clock
        self._terminal = find_terminal(self._output) if is_root else None
        self._mode = _resolve_mode(mode, self._terminal) if is_root else "none"
        self._speaks = is_root
        self._run = RunProgress(total_steps)
        self._began_at: float | None = None
        self._shown_at: float | None = None
        self._shown_iteration = -1
        self._line = ""  # the live line that stands on the terminal
        self._lock = threading.RLock()

    @property
    def is_live(self) -> bool:
        """Whether a live line is drawn."""
        return self._mode == "live"

    def update(self, row: Mapping[str, Any]) -> None:
        """Show a row: "iteration", "step", and returns as named in docs/metrics.md."""
        if self._mode == "none":
            return
        with self._lock:
            now = self._clock()
            self._run.take(row, now)
            pause = LIVE_SECONDS if self.is_live else self._plain_pause(now)
            is_last = self._run.step >= self._run.total_steps
            if self._shown_at is None or now - self._shown_at >= pause or is_last:
                self._show(now)

    def message(self, text: str) -> None:
        """Print a text above the live line; from any thread."""
        if not self._speaks:
            return
        with self._lock:
            if self._line:
                self._write(CLEAR + text + "\n" + self._line)
            else:
                self._write(text + "\n")

    def hear(self, *loggers: str) -> None:
        """Pass on what these loggers say, once and not once a worker."""
        for name in loggers:
            logger = logging.getLogger(name)
            logger.handlers = [_Relay(self)]
            logger.propagate = False
            logger.setLevel(logging.INFO)

    def close(self) -> None:
        """Leave the last state on a line of its own."""
        with self._lock:
            if self._mode != "none" and self._run.iteration > self._shown_iteration >= 0:
                self._show(self._clock())
            if self._line:
                self._write("\n")
            self._line = ""
            self._mode = "none"

    def _plain_pause(self, now: float) -> float:
        """Seconds until the next plain line: more and more, so that three days make some hundred lines."""
        if self._began_at is None:
            self._began_at = now
        pause = max(PLAIN_SECONDS, PLAIN_SHARE * (now - self._began_at))
        return min(pause, MOST_PLAIN_SECONDS)

    def _show(self, now: float) -> None:
        self._shown_at, self._shown_iteration = now, self._run.iteration
        if self.is_live:
            terminal = self._terminal or Terminal()
            signs = can_encode(self._output)
            self._line = live_line(
                self._run,
                width=terminal.width() - 1,
                signs=signs,
                colours=terminal.has_colours,
            )
            self._write(CLEAR + self._line)
        else:
            self._write(plain_line(self._run) + "\n")

    def _write(self, text: str) -> None:
        try:
            self._output.write(text)
            self._output.flush()
        except (OSError, ValueError):  # the terminal, pipe or file is gone, full or closed
            self._speaks, self._mode, self._line = False, "none", ""


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


def live_line(run: RunProgress, *, width: int, signs: bool, colours: bool) -> str:
    """The live line: as much of it as the width (columns) holds, the least important left out first.

    Args:
        run: where it is.
        width: columns there are.
        signs: whether the output knows Unicode.
        colours: whether it knows ANSI colours.
    """
    steps = f"{count(run.step)}/{count(run.total_steps)} steps"
    left = "" if run.seconds_left is None else f"{format_duration(run.seconds_left)} left"
    value = "" if run.return_ is None else f"return {number(run.return_)}"
    arrow = f"{value} {trend(run.evaluations, signs=signs)}".strip()
    sparks = f"{arrow} {sparkline(run.evaluations)}" if signs else arrow
    rate = f"{count(run.rate)}/s" if run.rate else ""
    iteration = f"iteration {run.iteration}"
    percent = f"{run.fraction:4.0%}"
    fallbacks = (
        (24, [percent, iteration, steps, rate, sparks.strip(), left]),
        (12, [percent, iteration, steps, rate, sparks.strip(), left]),
        (12, [percent, steps, rate, arrow, left]),
        (0, [percent, steps, rate, arrow, left]),
        (0, [percent, arrow, left]),
        (0, [percent]),
    )
    for cells, parts in fallbacks:
        text = "  ".join(part for part in parts if part)
        if len(text) + (cells + 1 if cells else 0) <= width:
            return bar(run.fraction, cells, signs=signs, colours=colours) + text
    return ""


def bar(fraction: float, cells: int, *, signs: bool, colours: bool) -> str:
    """A bar and a space; nothing where it has no cells."""
    if not cells:
        return ""
    filled = round(fraction * cells)
    done, rest = ("━", "─") if signs else ("#", "-")
    if colours:
        return f"\x1b[32m{done * filled}\x1b[0m\x1b[2m{rest * (cells - filled)}\x1b[0m "
    return done * filled + rest * (cells - filled) + " "


def trend(values: Sequence[float], *, signs: bool) -> str:
    """An arrow: the last value beside the mean of the ones before it; "" with fewer than two."""
    if len(values) < 2:
        return ""
    spread = max(values) - min(values)
    change = values[-1] - sum(values[:-1]) / (len(values) - 1)
    if abs(change) <= NOISE * spread:
        return "→" if signs else "="
    return ("↗" if signs else "+") if change > 0 else ("↘" if signs else "-")


def sparkline(values: Sequence[float]) -> str:
    """A column a value, lowest to highest; "" with fewer than two values or one that is not finite."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return ""
    low, spread = min(values), (max(values) - min(values)) or 1.0
    return "".join(SPARKS[round((value - low) / spread * (len(SPARKS) - 1))] for value in values)


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


def _resolve_mode(mode: Mode, terminal: Terminal | None) -> Mode:
    if mode != "auto":
        return mode
    return "live" if terminal is not None and os.environ.get("TERM") != "dumb" else "plain"


def can_encode(output: TextIO) -> bool:
    """Whether an output takes all signs of Unicode."""
    return (getattr(output, "encoding", None) or "").lower().replace("-", "") == "utf8"
