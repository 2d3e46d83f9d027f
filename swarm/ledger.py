"""The ledger of a swarm: who submitted which run, so that no run is lost and none is started twice.

    ledger/<run>/001.claim.json   by a spawner, before it submits: itself, and a token that the job carries
                 001.job.json     by a spawner, after it submitted: the job
                 001.start        by the job script, first thing: this very job runs the submission
                 001.attempts     by the job script: a line for each start and end of the program
                 stop             by a person: do not start it, do not requeue it

Every file but the last two is made by link(2), whole and once: the second to come has lost, on a shared file
system too. Nothing is ever locked, so that nothing stays locked when a process dies; a second submission of
a run has the number 002 and files of its own.

`start` is the lock that counts. A submission of which nobody knows whether it reached the queue is closed by
making its `start` in the job's place: if the job comes up after all, it finds the lock taken and leaves.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.durable import make_folder, make_once
from helpers.errors import StorageError
from helpers.processes import Process

STOP = "stop"
_FILE = re.compile(r"(\d{3,})(?:\+(\d+))?\.(claim\.json|job\.json|start|attempts)")


@dataclass(frozen=True)
class Attempt:
    """One life of the program inside a submission.

    Attributes:
        restart: 0 for the first.
        started: seconds since 1970.
        ended: seconds since 1970; None while it runs, and where nobody was left to write it.
        exit_code: None likewise.
        checkpoint: the latest when it ended, as `iter_000620`; None where there was none.
    """

    restart: int
    started: float
    ended: float | None = None
    exit_code: int | None = None
    checkpoint: str | None = None


@dataclass(frozen=True)
class Submission:
    """What the ledger says of the latest submission of a run.

    Attributes:
        run: its name.
        number: from 1.
        token: what its job carries, to be found again by.
        deployment: by which it was, or was to be, submitted.
        claimed_by: the spawner.
        claimed_at: seconds since 1970.
        job: what `001.job.json` holds; None where nobody has noted the job.
        started_by: what `001.start` holds, of the latest generation; None before any start.
        starts: of the program, over all submissions.
        attempts: in order.
        verdict: (word, reason) of the script after the last attempt: requeue, stopped, gave_up, done.
    """

    run: str
    number: int
    token: str
    deployment: str
    claimed_by: Process
    claimed_at: float
    job: Mapping[str, Any] | None = None
    started_by: Mapping[str, Any] | None = None
    starts: int = 0
    attempts: Sequence[Attempt] = ()
    verdict: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """How files and command lines spell the number."""
        return format_number(self.number)

    @property
    def is_void(self) -> bool:
        """Whether it was closed because nobody knows what became of it."""
        return self.started_by is not None and bool(self.started_by.get("void"))

    @property
    def process(self) -> Process | None:
        """The job script, where it has begun."""
        if self.started_by is None or self.is_void:
            return None
        return Process.of(self.started_by)


class Ledger:
    """The ledger in a folder, which need not be there yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def submission(self, run: str) -> Submission | None:
        """The latest submission of a run; None where nobody ever claimed it.

        Raises:
            StorageError: a file of it cannot be read, or holds something else.
        """
        files = self._files(run)
        numbers = [number for number, _, kind in files if kind == "claim.json"]
        if not numbers:
            return None
        number = max(numbers)
        mine = {(part, kind): path for (num, part, kind), path in files.items() if num == number}
        generation = max((part for part, kind in mine if kind == "start"), default=0)
        older = [key for key in sorted(files) if key[2] == "attempts" and key[0] < number]
        lines = [mine[key] for key in sorted(mine) if key[1] == "attempts"]
        claim = _read_json(mine[0, "claim.json"])
        job, start = mine.get((0, "job.json")), mine.get((generation, "start"))
        attempts, verdict = _read_attempts(lines)
        try:
            return Submission(
                run,
                number,
                token=claim["token"],
                deployment=claim["deployment"],
                claimed_by=Process.of(claim["process"]),
                claimed_at=claim["time"],
                job=None if job is None else _read_json(job),
                started_by=None if start is None else _read_json(start),
                starts=len(attempts) + sum(len(_read_attempts([files[key]])[0]) for key in older),
                attempts=attempts,
                verdict=verdict,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _damage_error(mine[0, "claim.json"], f"{error!r}") from error

    def tokens(self, run: str) -> dict[int, str]:
        """The token of each submission there ever was, by number."""
        files = self._files(run)
        return {
            number: str(_read_json(path).get("token"))
            for (number, _, kind), path in files.items()
            if kind == "claim.json"
        }

    def claim(self, run: str, number: int, *, token: str, deployment: str) -> bool:
        """Take it upon this process to submit a run; whether it was the first to do so.

        Raises:
            StorageError: the ledger cannot be written.
        """
        claim = {
            "token": token,
            "deployment": deployment,
            "process": Process.this().to_json(),
            "time": time.time(),
        }
        return self._make_once(run, f"{format_number(number)}.claim.json", claim)

    def note_job(self, run: str, number: int, job: Mapping[str, Any]) -> bool:
        """Write down the job of a submission; whether nobody had yet."""
        return self._make_once(run, f"{format_number(number)}.job.json", job)

    def void(self, run: str, number: int) -> bool:
        """Close a submission that nobody may run any more; False if its job has begun."""
        start = {"void": True, **Process.this().to_json()}
        return self._make_once(run, f"{format_number(number)}.start", start)

    def begin(self, run: str, number: int) -> bool:
        """Take the lock of a submission for this process, as a job script does."""
        return self._make_once(run, f"{format_number(number)}.start", Process.this().to_json())

    def end(self, run: str, number: int, reason: str) -> None:
        """Write down that this process is done with it."""
        with _storage_errors(self.folder):
            path = self.folder / run / f"{format_number(number)}.attempts"
            with path.open("a", encoding="utf-8") as file:
                file.write(f"done 0 {int(time.time())} {reason}\n")

    def ask_to_stop(self, run: str) -> None:
        """From now on the run is neither started nor requeued."""
        with _storage_errors(self.folder):
            make_shared_folder(self.folder / run)
            (self.folder / run / STOP).touch()

    def withdraw_stop(self, run: str) -> None:
        """Let the run start again."""
        with _storage_errors(self.folder):
            (self.folder / run / STOP).unlink(missing_ok=True)

    def is_asked_to_stop(self, run: str) -> bool:
        """Whether a person asked for it."""
        return (self.folder / run / STOP).exists()

    def _files(self, run: str) -> dict[tuple[int, int, str], Path]:
        """(number, generation, kind) -> file."""
        with _storage_errors(self.folder):
            try:
                names = os.listdir(self.folder / run)
            except FileNotFoundError:
                return {}
        found = ((_FILE.fullmatch(name), name) for name in names)
        return {
            (int(match[1]), int(match[2] or 0), match[3]): self.folder / run / name
            for match, name in found
            if match is not None
        }

    def _make_once(self, run: str, name: str, content: Mapping[str, Any]) -> bool:
        """Make a file that is there whole or not at all; False if it is there already."""
        folder = self.folder / run
        with _storage_errors(self.folder):
            make_shared_folder(folder)
            return make_once(folder / name, json.dumps(content) + "\n")


def new_token() -> str:
    """What a job is found again by; no secret."""
    return f"milozero-{secrets.token_hex(8)}"


def format_number(number: int) -> str:
    """A submission's number as the job script gets it."""
    return f"{number:03d}"


def make_shared_folder(folder: Path) -> None:
    """Make a folder that another process may be making too."""
    while not folder.is_dir():
        try:
            make_folder(folder)
        except FileExistsError as error:
            if not Path(error.filename).is_dir():
                raise  # a file is in the way


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    """Turns an `OSError` into two lines."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{error.filename or path} cannot be used: {error.strerror or error}.",
            "Free space or fix permissions there, then spawn again: nothing starts twice.",
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    with _storage_errors(path):
        text = path.read_text(encoding="utf-8")
    try:
        content = json.loads(text)
    except ValueError as error:
        raise _damage_error(path, str(error)) from error
    if not isinstance(content, dict):
        raise _damage_error(path, "no JSON object")
    return content


def _damage_error(path: Path, detail: str) -> StorageError:
    return StorageError(
        f"{path} is damaged: {detail}.",
        f"Check whether that job runs; if not, remove {path.parent} and spawn again.",
    )


def _read_attempts(paths: Sequence[Path]) -> tuple[tuple[Attempt, ...], tuple[str, str] | None]:
    attempts: list[Attempt] = []
    verdict = None
    for words in _lines(paths):
        kind, restart, when = words[0], int(words[1]), float(words[2])
        if kind == "start":
            attempts.append(Attempt(restart, when))
            verdict = None
        elif kind == "end" and attempts:
            code, checkpoint = int(words[3]), None if words[4] == "none" else words[4]
            attempts[-1] = Attempt(restart, attempts[-1].started, when, code, checkpoint)
        else:
            verdict = (kind, words[3])
    return tuple(attempts), verdict


def _lines(paths: Sequence[Path]) -> Iterator[list[str]]:
    """The words of whole, readable lines; the last may be under way."""
    for path in paths:
        with _storage_errors(path):
            text = path.read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines(keepends=True):
            if re.fullmatch(r"(start|end|\w+) \d+ \d+(\.\d+)? \S+( \S+)?\n", line):
                yield line.split()
