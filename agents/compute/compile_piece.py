"""A process that compiles: python -m agents.compute.compile_piece PARENT AT_ONCE, with its jobs on standard input.

It is no part of its parent's process group, so that what stops a run never meets torch in the middle of a test of
the processor or g++ in the middle of a file; it dies with its parent. Each piece is compiled in a fork of its own.
What is compiled for other vector instructions than `MILOZERO_MARCH` implies is an error, not a slow piece.

A line in: {"program": a file of torch.export, "library": where the shared library is to be}. A line out, for each:
{"library", "error": a line or ""}. A library is wholly there or not at all.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from helpers.durable import write_atomically
from helpers.machine.processor import NATIVE, instruction_set, kind, march
from helpers.parallel.deadline import STOP_SIGNALS

Job = dict[str, str]
IDLE_SECONDS = 20.0  # without work, until it ends
PAUSE = 0.05
TIMES = "seconds.json"  # in the cache: what a piece takes, for each kind of machine
PIECE_SECONDS = 10.0  # where none was compiled yet
_PR_SET_PDEATHSIG = 1
# Bits of a vector, as Inductor is configured; 1 lets it use none. Of other processors it finds the only one.
_BITS = {"AVX-512": 512, "AVX2": 256, "SSE4.2": 1, "SSE2": 1}


def main(parent: int, at_once: int) -> None:
    """Compile what is asked for, `at_once` pieces at a time, until there is no more for a while."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    _die_with(parent)
    _import_torch()
    work, busy_at = _Work(at_once), time.monotonic()
    while time.monotonic() - busy_at < IDLE_SECONDS:
        work.take_in()
        work.reap()
        work.begin()
        if work.queue or work.running:
            busy_at = time.monotonic()


class _Work:
    """Pieces that wait to be compiled, and those that are, by their process."""

    def __init__(self, at_once: int) -> None:
        self.at_once, self.queue = at_once, list[Job]()
        self.running: dict[int, Job] = {}
        self._unread = b""

    def take_in(self) -> None:
        """What the parent asks for; a pause where it asks for nothing."""
        if select.select([0], [], [], PAUSE)[0]:
            read = os.read(0, 1 << 16)
            if not read:  # the parent has closed it
                os.killpg(0, signal.SIGKILL)
            *lines, self._unread = (self._unread + read).split(b"\n")
            self.queue += [json.loads(line) for line in lines]

    def reap(self) -> None:
        """Tell the parent of what has ended."""
        for process in list(self.running):
            if os.waitpid(process, os.WNOHANG)[0]:
                _report(self.running.pop(process))

    def begin(self) -> None:
        """Let the next ones be compiled."""
        for job in list(self.queue):
            if Path(job["library"]).exists():
                _report(job)
            elif len(self.running) < self.at_once:
                self.running[_fork(job)] = job
            else:
                continue
            self.queue.remove(job)


def _die_with(parent: int) -> None:
    """Be killed when this process, the parent, dies, however. On Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before it could be asked for
        os._exit(1)


def _import_torch() -> None:
    """All that compiling needs, once for all pieces."""
    import torch._inductor.codecache
    import torch._inductor.codegen.cpp
    import torch._inductor.compile_fx
    import torch.export

    torch.set_num_threads(1)
    from agents.compute import linear  # noqa: F401  # the operations that it defines


def _errors_of(job: Job) -> Path:
    return Path(job["program"]).with_suffix(".errors")


def _report(job: Job) -> None:
    """Tell the parent how it ended."""
    error = ""
    if not Path(job["library"]).exists():
        errors = _errors_of(job)
        text = errors.read_text(encoding="utf-8", errors="replace") if errors.exists() else ""
        error = error_line(text) or "the compiling process was killed"
    print(json.dumps({"library": job["library"], "error": error}), flush=True)


def error_line(text: str) -> str:
    """Of what a failed compilation prints, the line that says most."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line] + lines[-1:]
    return telling[0] if telling else ""


def _fork(job: Job) -> int:
    """Compile in a new process; its number."""
    server = os.getpid()
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        _die_with(server)
        with _errors_of(job).open("w", encoding="utf-8") as errors:
            os.dup2(errors.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            if not Path(job["library"]).exists():
                compile_program(Path(job["program"]), Path(job["library"]))
            status = 0
    except Exception as error:  # noqa: BLE001  # whatever it is, it is sent to the parent
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def compile_program(program: Path, library: Path) -> None:
    """Make a shared library of an exported program.

    Raises:
        RuntimeError: Inductor would take other vector instructions than asked for.
    """
    import torch
    from torch._inductor import config, cpu_vec_isa

    chosen, started = options(), time.monotonic()
    _skip_tests_of_vectors()
    with config.patch(chosen):
        vectors = cpu_vec_isa.pick_vec_isa()
    check_vectors(str(vectors), vectors.bit_width() if vectors else 0)
    exported = torch.export.load(program)
    package = program.with_suffix(".package.pt2")
    made = torch._inductor.aoti_compile_and_package(
        exported,
        package_path=str(package),
        inductor_configs=chosen,
    )
    with zipfile.ZipFile(str(made)) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".so"))
        code = archive.read(name)
    _record_seconds(library.parent, time.monotonic() - started)
    write_atomically(library, code)


def expected_seconds(cache: Path) -> float:
    """What a piece took of late on this kind of machine; a guess where none was compiled yet."""
    return float(_times(cache).get(kind(), PIECE_SECONDS))


def _record_seconds(cache: Path, seconds: float) -> None:
    """The mean of this and of what was known."""
    times = _times(cache)
    mean = (float(times.get(kind(), seconds)) + seconds) / 2
    with contextlib.suppress(OSError):
        write_atomically(cache / TIMES, json.dumps(times | {kind(): round(mean, 1)}) + "\n")


def _times(cache: Path) -> dict[str, float]:
    with contextlib.suppress(OSError, ValueError):
        times = json.loads((cache / TIMES).read_text(encoding="utf-8"))
        return times if isinstance(times, dict) else {}
    return {}


def options() -> dict[str, Any]:
    """Inductor's, for a worker of one core and the instruction set that `MILOZERO_MARCH` names."""
    from agents.compute import linear

    operations = getattr(linear, "OPERATIONS", {})
    asked = march()
    return {
        "compile_threads": 1,
        "cpp.threads": 1,
        "cpp.march": None if asked == NATIVE else asked,
        "cpp.simdlen": _BITS.get(instruction_set()),
        # Precompiling headers takes 10 s of processor time and saves 1.5 s a piece.
        "aot_inductor.precompile_headers": False,
        "aot_inductor.enable_line_tables": False,
        "aot_inductor.custom_ops_to_c_shims": {
            operation: [declaration] for operation, declaration in operations.values()
        },
    }


def _skip_tests_of_vectors() -> None:
    """Let torch take the instruction set that is known here, without compiling a test of each it could take.

    Each takes a second or more, and one that is disturbed would count as a processor without vectors.
    """
    import torch
    from torch._inductor import config, cpu_vec_isa

    name = {"AVX-512": "avx512", "AVX2": "avx2"}.get(instruction_set())
    if name is not None:
        config.cpp.vec_isa_ok = True
        cpu_vec_isa.x86_isa_checker = lambda: [name]
        torch.cpu._is_avx512_bf16_supported = lambda: False  # no piece has such numbers


def check_vectors(name: str, bits: int) -> None:
    """Raises RuntimeError if the width of vectors in bits is not that of `instruction_set`."""
    wanted = _BITS.get(instruction_set())
    if bits == (0 if wanted == 1 else wanted) or (wanted is None and bits):
        return
    raise RuntimeError(f"Inductor would compile for {name} in place of {instruction_set()}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
