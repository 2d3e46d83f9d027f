"""Trains the replay of a run: main.py as a child, followed row by row, and stopped after a row that differs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from helpers.durable import write_atomically
from helpers.errors import ConfigurationError, LaunchError, StorageError
from helpers.parallel.deadline import STOP_SIGNALS
from helpers.parallel.launch import mpiexec, on_this_machine
from helpers.run_folder.capsule import REPOSITORY, redact
from helpers.run_folder.experiment import CONFIG_FILE, group_of
from helpers.trackers.jsonl import parse_row
from reports.replay.bits import compare_rows
from reports.replay.origin import Origin, Stage, is_replay_of, stages_left
from reports.series import METRICS, is_run_folder
from swarm.control import STOP_FILE

_SECONDS = 1.0  # between two looks at the rows


def replay_name(name: str) -> str:
    """What the replay of a run is called where nobody says it: `some_name.replay.seed02`."""
    try:
        group = group_of(name)
    except ConfigurationError:
        return f"{name}.replay.seed00"
    return f"{group}.replay{name[len(group) :]}"


def check_place(origin: Origin, name: str) -> Path:
    """The folder of a replay, which is not there, or holds this replay.

    Raises:
        ConfigurationError: it is another run's, or no run's at all.
    """
    group_of(name)
    folder = origin.folder.parent / name
    if folder.resolve() == origin.folder.resolve():
        raise ConfigurationError(
            f"--name={name} is the run itself.",
            f"Give another name, such as --name={replay_name(name)}.",
        )
    if is_run_folder(folder) and not is_replay_of(
        origin,
        name,
        origin.flags(name, origin.stages[0]),
    ):
        raise ConfigurationError(
            f"{folder} is another run, not the replay of {origin.folder.name}; it is not written into.",
            "Give another --name, or move that folder away.",
        )
    return folder


def command_of(origin: Origin, name: str, stage: Stage) -> list[str]:
    """The command that trains a stage, as a shell in this folder takes it; without secrets."""
    program = "main.py" if Path.cwd() == REPOSITORY else str(REPOSITORY / "main.py")
    launcher = _launcher(origin, "mpiexec")
    return [*launcher, "python", program, *redact(origin.flags(name, stage))]


def _launcher(origin: Origin, mpi: str) -> list[str]:
    return [mpi, "-n", str(origin.workers)] if origin.workers > 1 else []


def program() -> list[str]:
    """What stands for `python main.py`: this Python."""
    return [sys.executable, str(REPOSITORY / "main.py")]


class Rows:
    """The rows of a run that may still write, by iteration; each look reads what is new."""

    def __init__(self, path: Path) -> None:
        self._path, self._at, self._file = path, 0, -1
        self.found: dict[int, dict[str, object]] = {}

    def look(self) -> dict[int, dict[str, object]]:
        """All there are; those that a resumed run has dropped are gone."""
        try:
            with self._path.open("rb") as file:
                now = os.fstat(file.fileno())
                if now.st_ino != self._file or now.st_size < self._at:
                    self._file, self._at, self.found = now.st_ino, 0, {}
                file.seek(self._at)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._at += len(line)
                    row = parse_row(line)
                    if row is not None:
                        self.found[row["iteration"]] = row
        except OSError:
            self.found = {}
        return self.found


def train(origin: Origin, name: str, *, until: int, to_the_end: bool) -> int:
    """Train a replay up to an iteration, from where it is; the exit code of what was started last, 0 where nothing was.

    It is stopped after the first row that differs, unless `to_the_end`.

    Raises:
        StorageError: its folder cannot be written.
        LaunchError: it cannot be started.
    """
    folder = origin.folder.parent / name
    rows = Rows(folder / METRICS)
    code = 0
    for stage in stages_left(origin, _newest(folder), until):
        assert stage.until is not None
        if _is_over(origin, rows, until, to_the_end) or max(rows.look(), default=0) >= until:
            break
        _ask_to_stop(folder, f"{stage.until}\n")

        def is_over() -> bool:
            return _is_over(origin, rows, until, to_the_end)

        words = [*_launcher(origin, mpiexec()), *program(), *origin.flags(name, stage)]
        code = _start(words, folder, is_over)
        _clean(folder)
        if max(rows.look(), default=0) < stage.until:
            break
    return code


def _is_over(origin: Origin, rows: Rows, until: int, to_the_end: bool) -> bool:
    return not to_the_end and compare_rows(origin.rows, rows.look(), until=until)[1] is not None


def _newest(folder: Path) -> int:
    """The iteration of the newest checkpoint; 0 where there is none."""
    try:
        return int(os.readlink(folder / "checkpoints" / "latest").removeprefix("iter_"))
    except (OSError, ValueError):
        return 0


def _ask_to_stop(folder: Path, text: str) -> None:
    """The number of an iteration: after it; nothing: now."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / STOP_FILE, text)
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be written: {error.strerror or error}.",
            "Free space or fix permissions there.",
        ) from error


def _clean(folder: Path) -> None:
    """Remove what only asked to stop; a run that was refused leaves no folder."""
    (folder / STOP_FILE).unlink(missing_ok=True)
    if not (folder / CONFIG_FILE).exists() and not any(folder.iterdir()):
        folder.rmdir()


def _start(command: Sequence[str], folder: Path, is_over: Callable[[], bool]) -> int:
    """Run a command to its end, which comes soon once it is over; the exit code."""
    environment = {"OMP_NUM_THREADS": "1"} | on_this_machine(os.environ)
    try:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise LaunchError(
            f"{command[0]} cannot be started: {error.strerror or error}.",
            "Install the requirements: make, or pip install -r requirements.txt.",
        ) from error
    is_asked = False
    with _signals_for(process):
        while True:
            try:
                return process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                if not is_asked and is_over():
                    _ask_to_stop(folder, "")
                    is_asked = True


@contextmanager
def _signals_for(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Hand signals to stop on, and wait for the run to save and leave. A terminal sends Ctrl-C to both itself."""

    def hand_on(number: int, _: object) -> None:
        if number != signal.SIGINT:
            process.send_signal(number)

    before = {
        each: signal.signal(each, hand_on)
        for each in STOP_SIGNALS
        if signal.getsignal(each) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
