"""When a run has to stop early: a signal, a `stop` file, or the time that it was given.

Each worker sees its own signals and its own clock, so that once an iteration all decide as one.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType

import numpy as np

from helpers.errors import ConfigurationError
from helpers.parallel.workers import Workers

STOP_SIGNALS = (
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
)
JOB_ENDS = (
    "MILOZERO_JOB_END",
    "SLURM_JOB_END_TIME",
)  # seconds since 1970, of a job script, of Slurm
_ITERATIONS_LEFT = 3  # how many of the slowest recent ones have to fit in
_RECENT = 100  # iterations and saves that are remembered
_MARGIN_SHARE = 0.02  # of the whole time, kept for leaving
_MOST_MARGIN = 120.0  # seconds
# What workers send each other; the greatest decides, a signal above all.
_GO_ON, _TIME_LIMIT, _STOP_FILE, _SIGNAL = 0, 1, 2, 1000


class Deadline:
    """One decision of all workers, once an iteration: continue, or stop and why.

    The time is over when what is left no longer holds three of the slowest recent iterations, the
    slowest recent save, and a margin of 2 % of the whole time, at most 120 s. The first iteration
    after a start, which may compile, counts only until there is a second.

    Attributes:
        end: seconds since 1970 when everything must be over; infinite without a limit.
        noted: the stop signal that came last, 0 before any.
    """

    def __init__(
        self,
        *,
        workers: Workers,
        execution_time: float | None = None,
        stop_file: Path | None = None,
        started: float | None = None,
        clock: Callable[[], float] = time.time,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """
        Args:
            workers: all of the run.
            execution_time: seconds from `started`; None is no limit. A cluster's job that ends earlier,
                by one of `JOB_ENDS`, is the limit instead.
            stop_file: asks to stop by being there, or after the iteration whose number it holds; looked for by the
                root, removed when honoured.
            started: when the process began, in the clock's seconds; now if None.
            clock: seconds since 1970.
            environment: where a cluster, or its job script, leaves its word.
        """
        self._workers, self._stop_file, self._clock = workers, stop_file, clock
        self._last_call = clock()
        started = self._last_call if started is None else started
        self.end = _end(started, execution_time, environment)
        whole = self.end - started
        self._margin = min(_MARGIN_SHARE * whole, _MOST_MARGIN) if math.isfinite(whole) else 0.0
        self._iterations: deque[float] = deque(maxlen=_RECENT)
        self._saves: deque[float] = deque(maxlen=_RECENT)
        self._saving = 0.0  # seconds of saves since the last call
        self._only_first = True
        self.noted = 0
        self._process = os.getpid()
        self._reason: str | None = None

    def install_signal_handlers(self) -> None:
        """Let USR1, USR2, TERM, INT and HUP ask to stop, instead of killing.

        They only set a flag, however often they come. HUP stays ignored where it is, under nohup.
        """
        for number in STOP_SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue
            signal.signal(number, self._note_signal)

    def ignore_signals(self) -> None:
        """From now on they do nothing: what is left to do is short, and must not be cut.

        Without this a signal would kill a process that is past its last iteration, since Python
        gives its handlers back before MPI has ended.
        """
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def note_save(self, seconds: float) -> None:
        """Tell how long a checkpoint took, so that there is time for the last one."""
        self._saves.append(seconds)
        self._saving += seconds

    def should_stop(self, iteration: int | None = None) -> str | None:
        """Why to stop after this iteration, or None; collective, the same on every worker.

        "signal USR1", "stop file" or "time limit". Once given, it stays.

        Args:
            iteration: its number; None: a stop file that names a later one is honoured at once.
        """
        if self._reason is None:
            self._note_iteration()
            code = np.array([self._code(iteration)], dtype=np.int64)
            self._workers.max_(code)
            self._reason = _reason(int(code[0]))
            if self._reason is not None:
                self._remove_stop_file()
        return self._reason

    def _note_signal(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            # A forked child inherits the handler, but nobody asks it whether to stop.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.noted = number

    def _note_iteration(self) -> None:
        now = self._clock()
        seconds = max(now - self._last_call - self._saving, 0.0)
        self._last_call, self._saving = now, 0.0
        if len(self._iterations) == 1 and self._only_first:
            self._iterations.clear()
            self._only_first = False
        self._iterations.append(seconds)

    def _code(self, iteration: int | None) -> int:
        if self.noted:
            return _SIGNAL + self.noted
        if self._workers.is_root and self._file_asks(iteration):
            return _STOP_FILE
        return _TIME_LIMIT if self.end - self._clock() < self._seconds_needed() else _GO_ON

    def _file_asks(self, iteration: int | None) -> bool:
        """Whether there is a stop file, and the iteration that it names is over, if it names one."""
        if self._stop_file is None or not self._stop_file.exists():
            return False
        try:
            wanted = self._stop_file.read_bytes().strip()
        except OSError:
            return True
        return iteration is None or not wanted.isdigit() or iteration >= int(wanted)

    def _seconds_needed(self) -> float:
        """Seconds that must be left to continue."""
        iterations = 1 if self._only_first else _ITERATIONS_LEFT
        slowest = max(self._iterations, default=0.0)
        return iterations * slowest + max(self._saves, default=0.0) + self._margin

    def _remove_stop_file(self) -> None:
        """So that the same command resumes the run next time."""
        if not self._workers.is_root or self._stop_file is None:
            return
        try:
            self._stop_file.unlink(missing_ok=True)
        except OSError as error:
            logging.getLogger(__name__).warning(
                "%s cannot be removed (%s): remove it, or the next start stops at once.",
                self._stop_file,
                error.strerror,
            )


def received_signal() -> str | None:
    """The stop signal that this process was sent and a `Deadline` has noted, as "TERM"; None: none yet.

    For what must not wait until the iteration's end.
    """
    for number in STOP_SIGNALS:
        taker = getattr(signal.getsignal(number), "__self__", None)
        if isinstance(taker, Deadline) and taker.noted:
            return signal.Signals(taker.noted).name.removeprefix("SIG")
    return None


def _end(started: float, execution_time: float | None, environment: Mapping[str, str]) -> float:
    """The earliest of our limit and of the job's; a job that had ended before is not ours.

    Raises:
        ConfigurationError: the job's is no number.
    """
    ends = [math.inf if execution_time is None else started + execution_time]
    for name in JOB_ENDS:
        text = environment.get(name, "").strip()
        if not text:
            continue
        try:
            job_end = float(text)
        except ValueError as error:
            raise ConfigurationError(
                f"{name} is {text!r}, which is not a number of seconds since 1970.",
                f"Unset it: unset {name}",
            ) from error
        if job_end > started:
            ends.append(job_end)
    return min(ends)


def _reason(code: int) -> str | None:
    if code > _SIGNAL:
        return f"signal {signal.Signals(code - _SIGNAL).name.removeprefix('SIG')}"
    return {_GO_ON: None, _TIME_LIMIT: "time limit", _STOP_FILE: "stop file"}[code]
