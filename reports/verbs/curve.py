"""`curve RUN ...`: a quick look at learning curves, as a picture or in the terminal, also while the runs train."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.data_root import place
from helpers.display.progress import can_encode
from helpers.display.terminal import Terminal
from helpers.errors import DONE, ConfigurationError, StorageError
from reports.verbs.options import reporter, screen_width
from reports.verbs.swarms import Verbs

if TYPE_CHECKING:
    from reports.results.curves import Axis
    from reports.results.quick import Look

CURVES = "data/reports/curves"
_FORMATS = ("png", "svg", "pdf")
_SECONDS, _PICTURE_SECONDS = 2.0, 10.0  # between two looks
_ROWS, _AROUND = 16, 5  # of a plot, and of its title, axis and notes
_SIZE = (5.6, 3.4)  # inches, of a single panel


def add(verbs: Verbs) -> None:
    """Declare the verb and its flags."""
    verb = verbs.add_parser(
        "curve",
        help="a quick look at learning curves: a picture, or --term in the terminal; --live follows running runs",
    )
    verb.add_argument(
        "names",
        metavar="RUN|SWARM|FOLDER",
        nargs="+",
        help="a run of data/runs, a swarm, a folder of runs, or a pattern like 'ppo.*'",
    )
    verb.add_argument(
        "--key",
        metavar="METRIC",
        help="of metrics.jsonl (docs/metrics.md); default: eval/return_mean, and rollout/return_mean of runs without",
    )
    verb.add_argument(
        "--against",
        choices=("steps", "time"),
        default="steps",
        help="the horizontal axis: environment steps, or time of training",
    )
    lines = verb.add_mutually_exclusive_group()
    lines.add_argument(
        "--each",
        action="store_true",
        help="a line a run; the default up to six runs",
    )
    lines.add_argument(
        "--groups",
        action="store_true",
        help="a line a group of seeds, their IQM; the default of more runs",
    )
    verb.add_argument("--term", action="store_true", help="draw in the terminal, by characters")
    verb.add_argument(
        "--live",
        action="store_true",
        help="draw again until the runs end; Ctrl-C leaves them alone",
    )
    verb.add_argument(
        "--every",
        type=float,
        metavar="SECONDS",
        help="between two drawings of --live",
    )
    verb.add_argument(
        "--output",
        metavar="FILE",
        help=f"the picture, by its ending one of {', '.join(_FORMATS)}; default: {CURVES}/NAME.png",
    )
    verb.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Draw; the exit code."""
    from reports.collect import is_under_way

    _check(arguments)
    look = _look(arguments)
    if not (arguments.live and is_under_way(arguments.names)):
        if not look.has_points:
            raise ConfigurationError(
                f"There is nothing to draw yet: {'; '.join(look.notes) or 'no run has a value'}.",
                "Wait for the first evaluation, follow the runs with --live, or give another --key.",
            )
        if arguments.live:
            print("note: none of them is trained now, so that there is nothing to follow")
        return _finish(arguments, look)
    pause = arguments.every or (_SECONDS if arguments.term else _PICTURE_SECONDS)
    try:
        if arguments.term and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            _follow_on_screen(arguments, pause)
        else:
            _follow(arguments, pause)
    except KeyboardInterrupt:
        print()  # behind ^C
    return _finish(arguments, _look(arguments))


def _check(arguments: argparse.Namespace) -> None:
    """Refuse flags that do not go together.

    Raises:
        ConfigurationError: they do not.
    """
    if arguments.output is not None:
        if arguments.term:
            raise ConfigurationError(
                "--term draws in the terminal, --output names a picture.",
                "Give one of the two.",
            )
        if Path(arguments.output).suffix.lstrip(".") not in _FORMATS:
            raise ConfigurationError(
                f"--output {arguments.output} has no ending that says which picture it is.",
                f"Give a name that ends in one of .{', .'.join(_FORMATS)}.",
            )
    if arguments.every is not None and not 0 < arguments.every < float("inf"):
        raise ConfigurationError(
            f"--every={arguments.every} is no number of seconds.",
            "Give a number above 0, such as --every=5.",
        )


def _look(arguments: argparse.Namespace) -> Look:
    from reports.results.quick import look_at

    each = True if arguments.each else False if arguments.groups else None
    axis: Axis = "seconds" if arguments.against == "time" else "steps"
    return look_at(arguments.names, key=arguments.key, axis=axis, each=each)


def _follow(arguments: argparse.Namespace, pause: float) -> None:
    """Where nothing can be drawn over: a picture is written again, text is drawn at the end."""
    from reports.collect import is_under_way

    if arguments.term:
        print(
            "note: this is no terminal: the curves are drawn when the runs have ended",
            flush=True,
        )
    told = False
    while is_under_way(arguments.names):
        look = None if arguments.term else _look(arguments)
        if look is not None and look.has_points:
            path = _draw(look, arguments)
            if not told:
                print(
                    f"picture: {path}, drawn again every {pause:g} s; Ctrl-C ends that",
                    flush=True,
                )
                told = True
        time.sleep(pause)


def _follow_on_screen(arguments: argparse.Namespace, pause: float) -> None:
    """Draw over what was drawn, until the runs end."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from reports.collect import is_under_way

    console = Console()
    with Live(console=console, auto_refresh=False, screen=True) as live:
        while True:
            screen_width()  # which forgets sizes that were handed down
            size = shutil.get_terminal_size()
            texts = _texts(_look(arguments), rows=size.lines - 1)
            texts.append("Ctrl-C leaves; the runs continue"[: size.columns])
            shown = Text.from_ansi("\n".join(texts), no_wrap=True, overflow="crop")
            live.update(shown, refresh=True)
            if not is_under_way(arguments.names):
                return
            time.sleep(pause)


def _finish(arguments: argparse.Namespace, look: Look) -> int:
    if arguments.term:
        print("\n".join(_texts(look)))
    else:
        for line in look.notes:
            print(f"note: {line}")
        if look.has_points:
            print(f"picture: {_draw(look, arguments)}")
    if look.has_points:
        print(f"next: {shlex.join([*reporter(arguments), 'report', *arguments.names])}")
    return DONE


def _texts(look: Look, rows: int | None = None) -> list[str]:
    """All curves as text, and the notes; in `rows` rows at most, if given."""
    from reports.figures import terminal
    from reports.results.curves import unit_of
    from reports.runs.table import wrapped

    width = screen_width()
    notes = [part for line in look.notes for part in wrapped(f"note: {line}", width)]
    height = _ROWS
    if rows is not None:
        legends = sum(len(curves) + 1 for curves in look.curves.values())
        notes = notes[: max(rows // 4, 1)]
        room = rows - len(notes) - legends - _AROUND * len(look.curves)
        height = max(room // max(len(look.curves), 1), terminal.LEAST_HEIGHT)
    screen = terminal.Screen(
        width=width,
        height=height,
        signs=can_encode(sys.stdout),
        colours=sys.stdout.isatty() and Terminal().has_colours,
    )
    texts: list[str] = []
    for task, curves in look.curves.items():
        unit, below = unit_of(curves, look.axis)
        lines = [terminal.Line(curve.label, curve.x / unit, curve.value) for curve in curves]
        name = f" of {lines[0].label}" if len(lines) == 1 else ""
        texts += terminal.draw(lines, screen, title=f"{task}: {look.ylabel}{name}", below=below)
    texts += notes
    return texts if rows is None else texts[: rows - 1]


def _draw(look: Look, arguments: argparse.Namespace) -> Path:
    """Write the picture.

    Raises:
        StorageError: it cannot be written.
    """
    from reports.figures import learning, style

    path = Path(arguments.output) if arguments.output else place(CURVES) / f"{look.label}.png"
    labels: Sequence[str] = list(
        dict.fromkeys(curve.label for curves in look.curves.values() for curve in curves),
    )
    size = _SIZE if len(look.curves) == 1 else style.PANEL
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with style.styled():
            figure = learning.draw_curves(
                {task: curves for task, curves in look.curves.items() if curves},
                style.looks(labels),
                axis=look.axis,
                ylabel=look.ylabel,
                scales={},
                size=size,
            )
            if len(labels) == 1:
                figure.axes[0].set_title(labels[0], loc="right", fontsize=6.5)
            return style.save(figure, path, (path.suffix.lstrip("."),))[path.suffix.lstrip(".")]
    except OSError as error:
        raise StorageError(
            f"{error.filename or path} cannot be written: {error.strerror or error}.",
            "Free space or fix permissions there, or choose another --output.",
        ) from error
