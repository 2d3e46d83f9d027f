"""What a worker has compiled for it: given to a child process (compile_piece.py), done without meanwhile, waited for.

Workers of one machine share: the one that takes the lock of a piece traces and compiles it, the others turn to the
next one, and find the library in the end. So the pieces spread over the workers.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from agents.compute.compile_piece import error_line, expected_seconds
from helpers.errors import Stopped
from helpers.locks import Lock, take_lock
from helpers.machine.native import ROOT, cache_folder
from helpers.machine.processor import instruction_set
from helpers.parallel.deadline import received_signal
from helpers.parallel.launch import find_announcement

_log = logging.getLogger("agents.compute.compiled_step")
TRIES = 2
PAUSE = 0.05  # seconds between two looks
TELL_SECONDS = 10.0  # between two lines
START_SECONDS = 4.0  # of the child
PREFIX = "milozero-compile-"  # of folders
SWEPT_SECONDS = 60.0  # old, at least, is a folder that is nobody's


@dataclass
class Job:
    """A piece that is to be compiled.

    Attributes:
        library: what it becomes.
        trace: gives its graph.
        tensors: of its inputs' forms.
        lock: held where this worker has it compiled.
        program: the exported graph, in a folder of this process.
        error: why it did not.
        tries: how often it was asked for.
    """

    library: Path
    trace: Callable[[], torch.fx.GraphModule]
    tensors: Sequence[Tensor]
    lock: Lock | None = None
    program: Path | None = None
    error: str = ""
    tries: int = 0

    @property
    def is_done(self) -> bool:
        """Whether the library is there, or will never be."""
        return self.library.exists() or (bool(self.error) and self.tries >= TRIES)


@dataclass
class _Child:
    """The process that compiles, and the pipes to and from it."""

    process: subprocess.Popen[bytes]
    jobs: IO[bytes]
    answers: IO[bytes]


class Jobs:
    """The pieces of this process."""

    def __init__(self) -> None:
        self._jobs: dict[Path, Job] = {}
        self._batch: list[Job] = []  # those that messages are about
        self._child: _Child | None = None
        self._folder: Path | None = None
        self._alive: Lock | None = None  # locked in the folder, as long as this process lives
        self._told = 0  # of the batch, what a line has announced
        self._started = self._told_at = 0.0
        self._unread = b""
        self._process = 0

    def begin(
        self,
        trace: Callable[[], torch.fx.GraphModule],
        tensors: Sequence[Tensor],
        library: Path,
    ) -> None:
        """Let a graph be compiled into a library, which must not be there yet.

        Args:
            trace: gives the graph; called where no other worker has it compiled.
            tensors: the graph's inputs, or others of their forms.
            library: to be made.

        Raises:
            OSError, RuntimeError, ...: it cannot be exported or written, or there is no compiler.
        """
        compiler = os.environ.get("CXX") or "g++"
        if shutil.which(compiler) is None:
            raise FileNotFoundError(f"there is no C++ compiler: {compiler}")
        if self._folder is None:
            _sweep()
            self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))  # for this user alone
            self._alive = _lock(self._folder / "alive")
            if self._process != os.getpid():
                self._process = os.getpid()
                atexit.register(self.close)
        if all(job.is_done for job in self._batch):
            self._batch.clear()
            self._told, self._started = 0, time.monotonic()
        job = Job(library, trace, tensors)
        self._claim(job)
        self._jobs[library] = job
        self._batch.append(job)

    def wait(self, library: Path) -> str:
        """Wait until a library is there; why it never will be, or "".

        Raises:
            Stopped: a signal to stop has come, and compiling is over.
            OSError, RuntimeError, ...: of `begin`, where the worker that had it compiled has given up.
        """
        job = self._jobs.get(library)
        while job is not None and not job.library.exists():
            self._hear()
            if job.lock is None:
                self._claim(job)
            if job.error and job.tries >= TRIES:
                break
            if job.error:
                if all(each.error or each.is_done for each in self._batch):
                    self._stop_child()  # a fresh one
                self._ask_for(job)
            if stop := received_signal():
                self.close()
                raise Stopped(
                    f"Stopped by signal {stop} while gradient steps were being compiled.",
                    "The same command resumes from the last checkpoint.",
                )
            self._tell()
            time.sleep(PAUSE)
        if self._folder is not None and all(each.is_done for each in self._batch):
            self._hear()
            done = sum(each.library.exists() for each in self._batch)
            seconds = time.monotonic() - self._started
            if done and self._told:
                _log.info("compiled %s in %.0f s", _steps(done), seconds)
            self._end()
        if job is not None:  # let go of what belongs to an agent
            job.trace, job.tensors = _no_graph, ()
        return "" if job is None or job.library.exists() else job.error

    def announce(self) -> None:
        """Say in a line what is being compiled, unless that is said already."""
        waiting = [job for job in self._batch if not job.is_done]
        if not waiting or self._told >= len(self._batch):
            return
        self._told, self._told_at = len(self._batch), time.monotonic()
        _log.info(
            "compiling %s for %s, once on this kind of machine: about %.0f s",
            _steps(len(waiting)),
            instruction_set(),
            self._estimate_seconds(len(waiting)),
        )

    def close(self) -> None:
        """End the child and what it has begun. What is not finished is not there."""
        if os.getpid() == self._process:  # not in a fork of this process
            self._end()
            self._jobs.clear()

    def _stop_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()
            for pipe in (child.jobs, child.answers):
                with contextlib.suppress(OSError):
                    pipe.close()

    def _end(self) -> None:
        self._stop_child()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        if self._alive is not None:
            self._alive.close()
            self._alive = None
        for job in self._batch:
            if job.lock is not None:
                job.lock.close()
        self._batch.clear()
        self._told = 0

    def _claim(self, job: Job) -> None:
        """Have it compiled, unless another worker has."""
        assert self._folder is not None
        lock = _lock(job.library)
        if lock is None:
            return
        try:
            if not job.library.exists():
                if self._child is None:
                    self._start()  # comes up while the graph is traced
                job.program = self._folder / f"{job.library.stem}.program.pt2"
                exported = torch.export.export(job.trace(), tuple(job.tensors))
                torch.export.save(exported, job.program)
                self._ask_for(job)
                job.lock = lock
        finally:
            if job.lock is None:
                lock.close()

    def _ask_for(self, job: Job) -> None:
        job.error, job.tries = "", job.tries + 1
        text = json.dumps({"program": str(job.program), "library": str(job.library)}) + "\n"
        while True:
            child = self._child or self._start()
            try:
                child.jobs.write(text.encode())
                child.jobs.flush()
            except BrokenPipeError:  # it had nothing to do for a while
                time.sleep(PAUSE)
                self._hear()
                job.error = ""
            else:
                return

    def _start(self) -> _Child:
        assert self._folder is not None
        once = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        environment = {
            **os.environ,
            **once,
            "TORCHINDUCTOR_CACHE_DIR": str(self._folder / "inductor"),
            "PYTHONWARNINGS": "ignore",
        }
        command = [
            sys.executable,
            "-m",
            "agents.compute.compile_piece",
            str(os.getpid()),
            str(at_once()),
        ]
        with (self._folder / "errors").open("wb") as errors:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # signals to the run's process group do not reach it
            )
        assert process.stdin is not None and process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._unread = b""
        self._child = _Child(process, process.stdin, process.stdout)
        return self._child

    def _hear(self) -> None:
        """Take in what the child says, and that it has ended."""
        child = self._child
        if child is None:
            return
        has_ended = child.process.poll() is not None  # asked first: nothing comes after
        *lines, self._unread = (self._unread + (child.answers.read() or b"")).split(b"\n")
        for line in lines:
            message = json.loads(line)
            job = self._jobs.get(Path(message["library"]))
            if job is not None:
                job.error = message["error"]
        if not has_ended:
            return
        self._child = None
        assert self._folder is not None
        text = (self._folder / "errors").read_text(encoding="utf-8", errors="replace")
        for job in self._jobs.values():
            if not job.library.exists():
                job.error = job.error or error_line(text) or f"status {child.process.returncode}"

    def _tell(self) -> None:
        self.announce()
        now = time.monotonic()
        if now - self._told_at < TELL_SECONDS:
            return
        self._told_at = now
        jobs, passed = self._batch, now - self._started
        done = sum(job.is_done for job in jobs)
        rest = self._estimate_seconds(len(jobs)) - passed
        if rest < 1.0:  # it takes longer than estimated: extrapolate from what is done
            rest = passed * (len(jobs) - done) / done if done else 0.0
        left = f", about {rest:.0f} s left" if rest else f" after {passed:.0f} s"
        _log.info("compiling: %d of %s done%s", done, _steps(len(jobs)), left)

    def _estimate_seconds(self, count: int) -> float:
        """Seconds for `count` pieces, with the other workers of a machine beside this one."""
        cores = len(os.sched_getaffinity(0))
        return START_SECONDS + math.ceil(count / cores) * expected_seconds(cache_folder())


def _lock(library: Path) -> Lock | None:
    """Held as long as this process has a library compiled; None: another process has."""
    return take_lock(library.with_suffix(".lock"))


def _sweep() -> None:
    """Remove folders of processes that were killed."""
    for alive in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/alive.lock"):
        with contextlib.suppress(OSError):
            if time.time() - alive.stat().st_mtime > SWEPT_SECONDS and (lock := _lock(alive)):
                with lock:
                    shutil.rmtree(alive.parent, ignore_errors=True)


def _no_graph() -> torch.fx.GraphModule:
    raise RuntimeError("this library was compiled already, and is gone")


def at_once() -> int:
    """Pieces that this worker has compiled at a time: its share of the cores; one more, since last ones are alone."""
    announcement = find_announcement()
    workers = 1 if announcement is None else announcement.size or 1
    share = len(os.sched_getaffinity(0)) // workers
    return share + 1 if share > 1 else 1


def _steps(count: int) -> str:
    return f"{count} gradient step{'' if count == 1 else 's'}"


JOBS = Jobs()
