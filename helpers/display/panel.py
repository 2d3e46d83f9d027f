"""The live panel of a run: how far, how fast, what it reaches, and what takes its time; laid out by rich."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from helpers.display.numbers import count, format_duration, number, sparkline, trend
from helpers.display.run_progress import RunProgress

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

LABEL = 11  # columns of the longest label and a blank
LEAST_WIDTH, LEAST_HEIGHT = 24, 5  # what a frame needs; below them only the bar is drawn
LEAST_BAR = 12  # columns; below them only percents are
NUMBER = 9  # columns that a return is given, so that curves stand below each other
SMALL_SHARE = 0.005  # of the time: not shown


def render(
    run: RunProgress,
    *,
    title: str,
    width: int,
    height: int,
    signs: bool,
    colours: bool,
) -> list[str]:
    """The lines of the panel, none longer than the width.

    Args:
        run: where it is.
        title: what is trained.
        width, height: columns and lines that there are.
        signs: whether the output knows Unicode.
        colours: whether it knows ANSI colours.
    """
    if width < LEAST_BAR:
        return [f"{run.fraction:.0%}"[: max(width, 0)]]
    # Only who draws loads rich: programs that print one line start faster without it.
    from rich.box import ASCII, ROUNDED
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.table import Table

    is_framed = width >= LEAST_WIDTH and height >= LEAST_HEIGHT
    inner = width - 4 if is_framed else width
    bar = Table.grid(expand=True, padding=(0, 1, 0, 0))
    rows = Table.grid()
    rows.add_column(width=LABEL, style="dim", no_wrap=True)
    rows.add_column(no_wrap=True, overflow="crop")
    _add_bar(bar, run, inner)
    for label, text in _texts(run, inner - LABEL, signs=signs)[: height - 3] if is_framed else ():
        rows.add_row(label, text)
    content: Group | Panel = Group(bar)
    if is_framed:
        shown = title if len(title) <= inner - 2 else ""
        box = ROUNDED if signs else ASCII
        content = Panel(
            Group(bar, rows) if rows.row_count else bar,
            box=box,
            title=shown or None,
            title_align="left",
            border_style="dim",
            width=width,
        )
    console = Console(
        file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8" if signs else "ascii"),
        width=width,
        height=height,
        force_terminal=True,
        color_system="standard" if colours else None,
        no_color=not colours,
        legacy_windows=False,
        highlight=False,
        markup=False,
    )
    with console.capture() as capture:
        console.print(content, overflow="crop", no_wrap=True, crop=True)
    return capture.get().splitlines()


def _add_bar(bar: Table, run: RunProgress, width: int) -> None:
    """Percent, bar and time left: as much of it as there is room for."""
    from rich.progress_bar import ProgressBar

    percent = f"{run.fraction:4.0%}"
    left = "" if run.seconds_left is None else f"{format_duration(run.seconds_left)} left"
    if len(percent) + 1 + len(left) > width:
        left = ""
    room = width - len(percent) - len(left) - 2
    cells: list[str | ProgressBar] = [percent]
    bar.add_column(no_wrap=True)
    if room >= 4:
        bar.add_column(ratio=1)
        done = int(1000 * run.fraction)
        cells.append(ProgressBar(total=1000, completed=done, complete_style="green"))
    if left:
        bar.add_column(no_wrap=True, justify="right")
        cells.append(left)
    bar.add_row(*cells)


def _texts(run: RunProgress, width: int, *, signs: bool) -> list[tuple[str, Text]]:
    """Labels and values, the most important first; a value longer than the width loses its end."""
    lines = [
        ("return", _return(run, width, signs=signs)),
        ("evaluation", _evaluation(run, width, signs=signs)),
        ("speed", _speed(run, width)),
        ("time", _shares(run, width)),
        ("steps", _steps(run, width)),
    ]
    return [(label, text) for label, text in lines if text.plain]


def _return(run: RunProgress, width: int, *, signs: bool) -> Text:
    """Of training episodes: the last iteration's, and the curve since the start."""
    if run.rollout_return is None:
        return _fit([], width)
    curve = sparkline(run.rollouts.points, width - NUMBER - 1, signs=signs)
    return _fit([f"{number(run.rollout_return):{NUMBER}}", (curve, "cyan")], width, gap=" ")


def _evaluation(run: RunProgress, width: int, *, signs: bool) -> Text:
    """The last evaluation's, whether they rise, their curve, and the best."""
    if not run.evaluations or run.best is None:
        return _fit([], width)
    value = f"{number(run.evaluations[-1]):{NUMBER}}"
    best = f"best {number(run.best)}"
    arrow = trend(run.evaluations, signs=signs)
    curve = sparkline(run.tests.points, width - NUMBER - len(best) - 5, signs=signs)
    return _fit([(value, "bold"), (curve, "green"), arrow, best], width, gap=" ")


def _speed(run: RunProgress, width: int) -> Text:
    rate = f"{count(run.rate)} steps/s" if run.rate else ""
    return _fit([rate, f"{format_duration(run.elapsed)} so far" if run.elapsed else ""], width)


def _shares(run: RunProgress, width: int) -> Text:
    """What takes the time, the slowest first; of rollouts and updates what within them is not this worker's work."""
    within = {"rollout": "physics", "update": "waiting for workers"}
    details = {part: run.shares.of(name) for part, name in within.items()}
    for is_detailed in (True, False):
        parts: list[str | tuple[str, str]] = []
        for name, share in run.shares.largest_first():
            if share < SMALL_SHARE:
                continue
            detail = details.get(name, 0.0)
            text = f"{name} {share:.0%}"
            if is_detailed and detail >= SMALL_SHARE:
                text += f" ({within[name]} {detail:.0%})"
            parts.append(text if parts else (text, "yellow"))
        if sum(len(each if isinstance(each, str) else each[0]) + 2 for each in parts) - 2 <= width:
            break
    return _fit(parts, width)


def _steps(run: RunProgress, width: int) -> Text:
    done = f"{count(run.step)} of {count(run.total_steps)}"
    return _fit([done, f"iteration {run.iteration}"], width)


def _fit(parts: list[str | tuple[str, str]], width: int, *, gap: str = "  ") -> Text:
    """Texts, with a style or without, beside one another, as long as the next one fits."""
    from rich.text import Text

    text = Text()
    for part in parts:
        words, style = (part, "") if isinstance(part, str) else part
        if words and len(text) + len(gap) * bool(text) + len(words.rstrip()) <= width:
            text.append(gap if text else "").append(words, style=style)
    text.truncate(max(width, 0), overflow="crop")
    return text
