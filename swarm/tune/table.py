"""The table of a search's trials: live at a terminal, lines elsewhere, and once with `tuner.py show`."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from helpers.display.numbers import format_duration
from swarm.tune.results import TrialResults, best_of, read_results
from swarm.tune.trial.names import shown_number

_LINE_SECONDS = 15.0  # between two plain lines
_LIVE_SECONDS = 0.5
_SHOWN = 30  # trials of a live table
_STYLES = {"RUNNING": "cyan", "TERMINATED": "green", "ERROR": "bold red"}
_WORDS = {"TERMINATED": "done", "ERROR": "failed"}


def shown(value: Any) -> str:
    """A setting or a metric, short."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def table_of(trials: Sequence[TrialResults], *, metric: str, mode: str, title: str) -> Any:
    """The table, for rich."""
    from rich.table import Table

    best = best_of(trials, metric, mode)
    names = list(dict.fromkeys(name for each in trials for name in each.settings()))
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("trial", "state", metric, "steps", "reports", "from", *names):
        is_text = name in ("trial", "state", "from")
        table.add_column(name, justify="left" if is_text else "right", no_wrap=True)
    for each in trials[:_SHOWN]:
        value, settings, taken = each.value(metric), each.settings(), each.taken
        donor = f"{shown_number(taken[-1]['donor_folder'])} x{len(taken)}" if taken else ""
        mark = "*" if each is best else ""
        table.add_row(
            f"{each.number:03d}{mark}",
            _WORDS.get(each.state, each.state.lower()),
            shown(value),
            f"{int(each.last.get('timesteps_total') or 0):,}",
            str(len(each.reports)),
            donor,
            *(shown(settings.get(name)) for name in names),
            style=_STYLES.get(each.state, ""),
        )
    if len(trials) > _SHOWN:
        table.add_row("...", f"{len(trials) - _SHOWN} more")
    return table


class Display:
    """Shows how a search goes, while it goes.

    Args:
        mode: auto, live, plain or none.
        metric, better: what is compared, and max or min.
        steps: of a whole trial.
        count: of trials.
    """

    def __init__(
        self,
        mode: str,
        *,
        name: str,
        metric: str,
        better: str,
        steps: int,
        count: int,
    ) -> None:
        self._mode = ("live" if sys.stdout.isatty() else "plain") if mode == "auto" else mode
        self._name, self._metric, self._better = name, metric, better
        self._total, self._count = steps * count, count
        self._started = time.monotonic()
        self._next = 0.0
        self._done_before: int | None = None
        self._live: Any = None

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._mode == "none":
            return
        if self._live is not None:
            self._live.console.print(text, highlight=False, markup=False)
        else:
            print(text, flush=True)

    def is_due(self) -> bool:
        """Whether it is time to show the trials again."""
        return self._mode != "none" and time.monotonic() >= self._next

    def update(self, trials: Sequence[TrialResults]) -> None:
        """Show the trials as they stand."""
        self._next = time.monotonic() + (_LIVE_SECONDS if self._mode == "live" else _LINE_SECONDS)
        if self._mode == "plain":
            print(self._headline(trials), flush=True)
            return
        from rich.live import Live

        if self._live is None:
            self._live = Live(auto_refresh=False)
            self._live.start()
        table = table_of(
            trials,
            metric=self._metric,
            mode=self._better,
            title=self._headline(trials),
        )
        self._live.update(table, refresh=True)

    def close(self) -> None:
        """Leave the last table where it is."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _headline(self, trials: Sequence[TrialResults]) -> str:
        counts = Counter(_WORDS.get(each.state, each.state.lower()) for each in trials)
        counted = ", ".join(f"{number} {word}" for word, number in counts.items())
        best = best_of(trials, self._metric, self._better)
        top = f"; best {shown(best.value(self._metric))} (trial {best.number:03d})" if best else ""
        return f"{self._name}: {counted}{top}; {self._clock(trials)}"

    def _clock(self, trials: Sequence[TrialResults]) -> str:
        """Elapsed, and at most how much is left: trials may end earlier."""
        elapsed = time.monotonic() - self._started
        done = sum(int(each.last.get("timesteps_total") or 0) for each in trials)
        ended = sum(
            self._total // self._count - int(each.last.get("timesteps_total") or 0)
            for each in trials
            if each.state in ("TERMINATED", "ERROR")
        )
        if self._done_before is None:
            self._done_before = done
        made = done - self._done_before
        left = self._total - done - ended
        if made <= 0 or left <= 0:
            return format_duration(elapsed)
        return f"{format_duration(elapsed)}, at most {format_duration(left * elapsed / made)} left"


def show(folder: Path, *, metric: str, mode: str) -> None:
    """Print the table of a search, whole."""
    from rich.console import Console

    trials = read_results(folder)
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(
        table_of(trials, metric=metric, mode=mode, title=f"{folder.name}: {len(trials)} trials"),
    )
