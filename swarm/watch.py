"""The table of a swarm: how each run stands, how far it is, and what it said last where it went wrong."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
import termios
import time
import tty
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from helpers.display.progress import format_duration
from helpers.run_folder.changes import told_changes
from helpers.trackers.jsonl import parse_row
from swarm.plan import Plan, Run
from swarm.status import UNDER_WAY, RunStatus, State, ledger_of, run_statuses

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_TAIL = 1 << 16  # bytes of metrics that are looked through for the last evaluation
_LOG_TAIL = 1 << 14
_MARK = "milozero: "  # begins the line in which the program says what went wrong
WIDE = 1000  # columns, where nobody looks through a screen
_LEAST_NAME = 20
_GAP = "  "
_HEADINGS = ("state", "steps", "return", "steps/s", "left", "restarts")
_AROUND = 6  # lines of the screen that are no runs
_SECONDS = {"slurm": 10.0}  # between two looks: a controller serves others too
_OTHER_SECONDS = 2.0
# what deserves a look comes first where not all fits the screen
_ORDER: tuple[State, ...] = (
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
_STYLES: Mapping[str, str] = {
    "done": "green",
    "running": "cyan",
    "failed": "bold red",
    "lost": "bold red",
    "stopped": "yellow",
    "stopping": "yellow",
}


@dataclass(frozen=True)
class Line:
    """What is shown of a run.

    Attributes:
        run: its name.
        state: in one word.
        reason: why.
        job: what people find it by.
        steps: done so far, of all workers.
        total: asked for.
        return_: of the last evaluation; of the last rollout where there is none.
        rate: steps a second.
        seconds_left: at that rate, of a run that runs.
        restarts: of the program, over all submissions.
        error: the last that it said of an error; "" where all is well.
        changed: in which settings and files it has changed on its way, and when; "" where it has not.
    """

    run: str
    state: State
    reason: str
    job: str
    steps: int
    total: int
    return_: float | None
    rate: float | None
    seconds_left: float | None
    restarts: int
    error: str
    changed: str = ""

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        values = dict(vars(self))
        return {key.rstrip("_"): value for key, value in values.items()}


def lines_of(plan: Plan) -> list[Line]:
    """How the runs stand now.

    Raises:
        DeploymentError: Slurm or tmux does not answer.
        StorageError: the ledger cannot be read.
    """
    return [_line(plan, status) for status in run_statuses(plan).values()]


def to_json(plan: Plan, lines: Sequence[Line]) -> str:
    """The table for scripts."""
    content = {
        "swarm": plan.name,
        "folder": str(plan.folder),
        "counts": dict(Counter(line.state for line in lines)),
        "runs": [line.to_json() for line in lines],
    }
    return json.dumps(content, indent=1)


def show_once(plan: Plan, console: Console) -> None:
    """Print the table, whole."""
    _print(status_table(plan, lines_of(plan), width=console.width), console)


def watch(plan: Plan, console: Console, *, seconds: float | None = None) -> None:
    """Show the table until all runs have ended, or `q` or Ctrl-C is pressed. The runs notice nothing."""
    from rich.live import Live

    pause = seconds or seconds_between(plan)
    lines = lines_of(plan)
    with contextlib.suppress(KeyboardInterrupt), _keys(sys.stdin) as keys:
        with Live(console=console, auto_refresh=False, screen=True) as live:
            while any(line.state in (*UNDER_WAY, "claimed") for line in lines):
                live.update(_screen_table(plan, lines, console), refresh=True)
                if _is_quit_pressed(keys, pause):
                    break
                lines = lines_of(plan)
    _print(_screen_table(plan, lines, console), console)


def seconds_between(plan: Plan) -> float:
    """How long to wait between two looks at a swarm."""
    return _SECONDS.get(plan.launch.deployment, _OTHER_SECONDS)


def _print(text: Text, console: Console) -> None:
    console.print(text, no_wrap=True, overflow="crop")


def _screen_table(plan: Plan, lines: Sequence[Line], console: Console) -> Text:
    return status_table(plan, lines, width=console.width, rows=console.height - _AROUND)


def status_table(
    plan: Plan,
    lines: Sequence[Line],
    *,
    width: int = WIDE,
    rows: int | None = None,
) -> Text:
    """The table, for a screen of that width; of at most so many rows, those that deserve a look first."""
    from rich.text import Text

    shown = list(lines)
    if rows is not None and len(lines) > rows:
        shown = sorted(lines, key=lambda line: _ORDER.index(line.state))[: max(rows - 1, 1)]
    counts = Counter(line.state for line in lines)
    told = ", ".join(f"{counts[state]} {state}" for state in reversed(_ORDER) if counts[state])
    text = Text(f"{plan.name}: {len(lines)} runs, {told}", no_wrap=True, overflow="crop")
    prefix = common_prefix([line.run for line in lines])
    if prefix:
        text.append(f"\neach name begins with {prefix}", style="dim")
    for row in _rows(shown, prefix=prefix, width=width):
        text.append("\n").append_text(row)
    if len(shown) < len(lines):
        text.append(f"\n... and {len(lines) - len(shown)} more: --once shows all", style="dim")
    return text


def _rows(lines: Sequence[Line], *, prefix: str, width: int) -> Iterator[Text]:
    """The heading and a row a run; the name and the last column share what room there is."""
    from rich.text import Text

    names = [line.run[len(prefix) :] for line in lines]
    cells = [_cells(line) for line in lines]
    sizes = [max(map(len, column)) for column in zip(_HEADINGS, *cells, strict=True)]
    room = width - sum(size + len(_GAP) for size in sizes) - len(_GAP)
    said = [", ".join(filter(None, (line.error or line.reason, line.changed))) for line in lines]
    name_size = max(map(len, ["run", *names]))
    if name_size + max(map(len, ["what", *said])) > room:
        name_size = min(name_size, max(_LEAST_NAME, room * 2 // 3))

    def row(name: str, cells: Sequence[str], what: str) -> list[str]:
        fitted = [cell.rjust(size) for cell, size in zip(cells, sizes, strict=True)]
        fitted[0] = fitted[0].strip().ljust(sizes[0])
        last = shorten(what, room - name_size)
        return [shorten(name, name_size).ljust(name_size), *fitted, last]

    yield Text(_GAP.join(row("run", _HEADINGS, "what")).rstrip(), style="bold")
    for line, name, texts, what in zip(lines, names, cells, said, strict=True):
        first, state, *others = row(name, texts, what)
        text = Text(first + _GAP).append(state, style=_STYLES.get(line.state, ""))
        yield text.append(_GAP + _GAP.join(others).rstrip())


def shorten(text: str, width: int) -> str:
    """The text, with its middle left out where it is too long: names differ at their ends."""
    if len(text) <= width:
        return text
    if width < _LEAST_NAME // 2:
        return text[: max(width, 0)]
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


def _line(plan: Plan, status: RunStatus) -> Line:
    run, submission = status.run, status.submission
    row, return_ = _last_metrics(run)
    steps, total = int(row.get("step", 0)), run.config.num_timesteps
    rate = row.get("time/steps_per_second")
    runs = status.state in ("running", "stopping")
    starts = 0 if submission is None else submission.starts
    went_wrong = starts > 1 or status.state in ("failed", "lost", "stopped")
    return Line(
        run=run.name,
        state=status.state,
        reason=status.reason,
        job=status.job,
        steps=steps,
        total=total,
        return_=return_,
        rate=rate if runs or status.state == "done" else None,
        seconds_left=max(total - steps, 0) / rate if runs and rate else None,
        restarts=max(starts - 1, 0),
        error=_last_error(_log_of(plan, run)) if went_wrong and status.state != "done" else "",
        changed="; ".join(told_changes(run.folder)),
    )


def _log_of(plan: Plan, run: Run) -> Path:
    return ledger_of(plan, run).parent / plan.log_file(run).relative_to(plan.folder)


def _last_metrics(run: Run) -> tuple[dict[str, Any], float | None]:
    """(the last row, the last return); of the last evaluation, else of the last rollout."""
    tail = _tail(run.folder / "metrics.jsonl", _TAIL)
    rows = [row for row in map(parse_row, tail.splitlines(keepends=True)) if row is not None]
    last = rows[-1] if rows else {}
    for key in ("eval/return_mean", "rollout/return_mean"):
        for row in reversed(rows):
            if row.get(key) is not None:
                return last, float(row[key])
    return last, None


def _last_error(log: Path) -> str:
    """The last line in which the program said what went wrong, without what a terminal would obey."""
    lines = _tail(log, _LOG_TAIL).decode("utf-8", errors="replace").splitlines()
    said = [line.partition(_MARK)[2] for line in lines if _MARK in line]
    return "".join(char for char in said[-1] if char.isprintable()).strip() if said else ""


def _tail(path: Path, size: int) -> bytes:
    """The end of a file; nothing where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - size, 0))
            return file.read()
    except OSError:
        return b""


@contextlib.contextmanager
def _keys(stream: IO[str]) -> Iterator[IO[str] | None]:
    """The keyboard, giving each key as it is pressed; None where there is none."""
    if not stream.isatty():
        yield None
        return
    before = termios.tcgetattr(stream)
    try:
        tty.setcbreak(stream)
        yield stream
    finally:
        termios.tcsetattr(stream, termios.TCSADRAIN, before)


def _is_quit_pressed(keys: IO[str] | None, seconds: float) -> bool:
    """Wait so long; whether `q` was pressed meanwhile."""
    deadline = time.monotonic() + seconds
    while (rest := deadline - time.monotonic()) > 0:
        if keys is None:
            time.sleep(rest)
        elif select.select([keys], [], [], rest)[0]:
            pressed = os.read(keys.fileno(), 64)
            if b"q" in pressed or b"Q" in pressed or not pressed:
                return True
    return False
