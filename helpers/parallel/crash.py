"""What happens when a worker fails: its traceback is kept, the error is reported, and no worker is left waiting.

Without this, one failed worker leaves the others waiting for it in a collective for ever.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from helpers.errors import BAD_CONFIGURATION, BUG, Stopped, UserError
from helpers.parallel.workers import Workers
from helpers.user_code import users_line

_INTERRUPTED = 130  # what a shell gives for Ctrl-C
_PATIENCE = 0.5  # seconds for the other workers to fail in the same way
_PATIENCE_A_RANK = 0.1  # more for each rank, so that one speaks and ends the others before they do
_MOST_PATIENCE = 4.0
_CRASHES = Path("data/crashes")  # tracebacks of what has no run folder
Discard = Callable[[bool], bool]


def install_crash_handler(
    workers: Workers,
    folder: Path | None,
    discard: Discard | None = None,
) -> None:
    """From now on an exception that nobody catches ends all workers, within seconds.

    The traceback goes to `folder/crash_worker_003.txt` first, if that folder exists. A `UserError` is
    shown as its two lines and gives its exit code; what came out of a user's own file (his task, a module of his)
    as two lines that name it, with status 2; everything else is shown with its traceback and
    gives 70. If all workers fail together, each different error is shown once, and they end in
    order; if only some do, these are shown and the others are aborted.

    An exception in a daemon thread is kept and shown but ends nothing: such threads belong to
    libraries that watch over themselves, and a tracker must not end a run.

    Args:
        workers: all of the run.
        folder: of the run; None before there is one.
        discard: removes the folder of a run that has no checkpoint, or, if so asked, none that learned anything; says
            whether it did.
    """

    def in_main_thread(
        kind: type[BaseException],
        error: BaseException,
        trace: TracebackType | None,
    ) -> None:
        refused = _is_refusal(error) and discard is not None and discard(_is_users(error))
        left = None if refused else folder
        raise SystemExit(_end_together(workers, left, error.with_traceback(trace)))

    def in_other_thread(failure: threading.ExceptHookArgs) -> None:
        error = failure.exc_value
        if error is None or isinstance(error, SystemExit):
            return
        code, text = _report(error, workers, folder)
        _say(text)
        if failure.thread is None or not failure.thread.daemon:
            workers.abort(code)

    faulthandler.enable()  # where a segmentation fault was; the launcher ends the others
    sys.excepthook = in_main_thread
    threading.excepthook = in_other_thread


def _is_refusal(error: BaseException) -> bool:
    """Whether its reader can mend it and start again."""
    if isinstance(error, UserError):
        return not isinstance(error, Stopped)
    return _is_users(error)


def _is_users(error: BaseException) -> bool:
    """Whether it came out of code that is not this project's."""
    return error.is_users if isinstance(error, UserError) else users_line(error) is not None


def _end_together(workers: Workers, folder: Path | None, error: BaseException) -> int:
    """The exit code that all workers leave with, if all have failed; else does not return."""
    code, text = _report(error, workers, folder)
    channel = workers.last_words
    if channel is not None:
        patience = min(_PATIENCE + _PATIENCE_A_RANK * workers.rank, _MOST_PATIENCE)
        if not channel.all_end(patience=patience):
            _say(text)
            workers.abort(code)
        # Tracebacks of one failure differ by their paths through the program; its own words do not.
        said: dict[tuple[int, str], str] = {}
        for its_code, words, its_text in channel.allgather_json([code, str(error), text]):
            said.setdefault((its_code, words), its_text)
        code, text = max(code for code, _ in said), "\n".join(said.values())
    if workers.is_root:
        _say(text)
    if channel is not None:
        channel.barrier()  # some launchers kill the others when the first one has ended
    return code


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more; the others still have to end
        _tell(text)


def _tell(text: str) -> None:
    """In one write: an abort a moment later must not cut the line's end."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _report(error: BaseException, workers: Workers, folder: Path | None) -> tuple[int, str]:
    """(exit code, what is shown); keeps the traceback.

    Shown are two lines, after the traceback if this is no failure that its reader can mend.
    """
    if isinstance(error, KeyboardInterrupt):
        return _INTERRUPTED, "milozero: Interrupted.\n  remedy: The same command starts again."
    if isinstance(error, Stopped):
        return error.exit_code, f"milozero: {error.problem}\n  remedy: {error.remedy}"
    trace = "".join(traceback.format_exception(error))
    place = None if isinstance(error, UserError) else users_line(error)
    kept = _keep(trace, workers, _place(workers, folder, always=_is_users(error)))
    if isinstance(error, UserError):
        detail = f"{error.detail}\n" if error.detail else ""
        remedy = (
            f"{error.remedy.rstrip('.')}. All of it: {kept}." if error.is_users else error.remedy
        )
        return error.exit_code, f"{detail}milozero: {error.problem}\n  remedy: {remedy}"
    what = traceback.format_exception_only(error)[-1].strip()
    if place is not None:
        return BAD_CONFIGURATION, f"milozero: {what}\n  remedy: Mend {place}. All of it: {kept}."
    return BUG, (
        f"{trace}milozero: Worker {workers.rank} of {workers.size} failed: {what}\n"
        f"  remedy: This is a defect of the program; please report it with {kept}."
    )


def _keep(trace: str, workers: Workers, path: Path | None) -> str:
    """Write the traceback; where it lies, in words."""
    if path is None:
        return "the traceback above"
    when = time.strftime("%Y-%m-%d %H:%M:%S %z")
    head = f"worker {workers.rank} of {workers.size}, process {os.getpid()}, {when}\n\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(head + trace)
            file.flush()
            os.fsync(file.fileno())
    except OSError as trouble:
        return f"the traceback above ({path} cannot be written: {trouble.strerror})"
    return str(path)


def _place(workers: Workers, folder: Path | None, *, always: bool) -> Path | None:
    """Where a traceback is kept: in the run folder, else, if it is not shown, beside the runs."""
    if folder is not None and folder.is_dir():
        return folder / f"crash_worker_{workers.rank:03d}.txt"
    name = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_worker_{workers.rank:03d}.txt"
    return _CRASHES / name if always else None
