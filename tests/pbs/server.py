"""A stand-in for PBS, in one process: it runs the scripts that qsub gives it, and answers as OpenPBS does.

Faithful in what the swarm relies on: a script gets no arguments and no environment but its list of variables; TERM
and, `kill_delay` later, KILL for all processes of its session at the end of its walltime, on qdel and when it is
preempted; the same id when it starts again; arrays of two subjobs at least, without lists of indices; history or none.
What the true server answers was taken from its documentation: none was at hand.

    python -m tests.pbs.server FOLDER SLOTS
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.pbs.jobs import Job, RefusedError, environment_of, read_submission, subjobs_of

KILL_DELAY = 2.0  # seconds
TICK = 0.05


class Server:
    """All jobs, and who runs."""

    def __init__(self, folder: Path, slots: int) -> None:
        self.folder, self.slots = folder, slots
        self.jobs: dict[str, Job] = {}  # arrays and their subjobs by their own ids
        self.lock = threading.RLock()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.settings: dict[str, Any] = {
            "max_queued": None,
            "max_array_size": 10000,
            "history": True,
        }
        (folder / "spool").mkdir(exist_ok=True)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What a command prints, and its exit status."""
        with self.lock, (self.folder / "calls").open("a") as calls:
            calls.write(json.dumps([request["program"], *request["arguments"]]) + "\n")
            commands: dict[str, Callable[[dict[str, Any]], str]] = {
                "qsub": self.qsub,
                "qselect": self.qselect,
                "qdel": self.qdel,
                "preempt": self.preempt,
                "set": self.set,
            }
            if request["program"] == "qstat":
                return self.qstat(request["arguments"])
            try:
                return {"out": commands[request["program"]](request), "err": "", "code": 0}
            except RefusedError as error:
                return {"out": "", "err": f"{error}\n", "code": 1}

    def qsub(self, request: dict[str, Any]) -> str:
        """Submit."""
        script, options, resources, variables = read_submission(
            request["arguments"],
            request["environment"],
            request["cwd"],
        )
        number = 1 + max((job.number for job in self.jobs.values()), default=0)
        spooled = self.folder / "spool" / f"{number}.SC"
        shutil.copy(script, spooled)
        spooled.chmod(0o700)
        job = Job(number, spooled, options, resources, variables, is_array="J" in options)
        if "h" in options:
            job.state = "H"
        fresh = subjobs_of(job) if job.is_array else [job]
        most = self.settings["max_queued"]
        waiting = sum(each.state in "QHR" for each in self.jobs.values() if not each.is_array)
        if most is not None and waiting + len(fresh) > most:
            raise RefusedError("qsub: would exceed complex's per-user limit of jobs in 'Q' state")
        if len(fresh) > self.settings["max_array_size"]:
            raise RefusedError("qsub: Array job exceeds server or queue size limit")
        self.jobs[job.id] = job
        if job.is_array:
            job.subjobs = fresh
            self.jobs |= {each.id: each for each in fresh}
        return f"{job.id}\n"

    def qselect(self, _: dict[str, Any]) -> str:
        """The jobs that have not ended."""
        live = [job for job in self.jobs.values() if job.index is None and job.state not in "F"]
        return "".join(f"{job.id}\n" for job in live)

    def qdel(self, request: dict[str, Any]) -> str:
        """Delete."""
        for name in request["arguments"]:
            job = self.jobs.get(name if "." in name else f"{name}.pbs")
            if job is None or job.state in "FX":
                raise RefusedError(f"qdel: Unknown Job Id {name}")
            for each in job.subjobs or [job]:
                if each.state in "QH":
                    self.end(each, 271, "terminated")
                elif each.state == "R":
                    self.ask(each, "deleted")
        return ""

    def preempt(self, request: dict[str, Any]) -> str:
        """What the scheduler does where `preempt_order` says R: the job is ended, and queued again."""
        self.ask(self.jobs[request["arguments"][0]], "preempted")
        return ""

    def set(self, request: dict[str, Any]) -> str:
        """As qmgr does."""
        name, value = request["arguments"]
        self.settings[name] = json.loads(value)
        return ""

    def qstat(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Show jobs in full, or the server."""
        if "-B" in arguments:
            out = f"Server: pbs\n    server_state = Active\n    max_array_size = {self.settings['max_array_size']}\n"
            return {"out": out, "err": "", "code": 0}
        out, err, code = "", "", 0
        if "-x" in arguments and not self.settings["history"]:
            return {
                "out": "",
                "err": "qstat: PBS is not configured to maintain job history\n",
                "code": 175,
            }
        for name in [each for each in arguments if not each.startswith("-")]:
            job = self.jobs.get(name if "." in name else f"{name}.pbs")
            if job is None or (job.state == "F" and not self.settings["history"]):
                err, code = f"{err}qstat: Unknown Job Id {name}\n", 153
            elif job.state == "F" and "-x" not in arguments:
                err += f"qstat: {name} Job has finished, use -x or -H to obtain historical job information\n"
                code = 35
            else:
                out += "".join(
                    each.shown() for each in [job, *(job.subjobs if "-t" in arguments else [])]
                )
        return {"out": out, "err": err, "code": code}

    def work(self) -> None:
        """Start and end jobs, for ever."""
        while True:
            with self.lock:
                for job in [each for each in self.jobs.values() if not each.is_array]:
                    self.look_at(job)
                for job in [each for each in self.jobs.values() if each.is_array]:
                    states = {each.state for each in job.subjobs}
                    job.state = "F" if states <= {"X", "F"} else "B" if states & {"R", "X"} else "Q"
            time.sleep(TICK)

    def look_at(self, job: Job) -> None:
        """Start it, or see what became of it."""
        if job.state == "Q" and self.may_start(job):
            self.start(job)
        elif job.state == "R":
            code = self.processes[job.id].poll()
            if code is not None:
                self.ended(job, code)
            elif job.must_end and time.monotonic() - job.asked_at > KILL_DELAY:
                self.signal(job, signal.SIGKILL)
            elif (
                not job.must_end and job.walltime and time.monotonic() - job.started > job.walltime
            ):
                self.ask(job, "walltime")

    def may_start(self, job: Job) -> bool:
        """Whether there is room, and all that it depends on has ended."""
        used = sum(
            each.cores for each in self.jobs.values() if each.state == "R" and not each.is_array
        )
        if job.index is not None:
            array = self.jobs[f"{job.number}[].pbs"]
            if sum(each.state == "R" for each in array.subjobs) >= array.most_subjobs:
                return False
        _, _, before = job.options.get("W", "").partition("depend=afterany:")
        is_over = not before or self.jobs[before].state == "F"
        return is_over and used + job.cores <= self.slots

    def start(self, job: Job) -> None:
        """Run its script as a login shell's, from its home, with its output spooled."""
        job.state, job.comment = "R", "Job run at Sat Nov 28 at 10:00 on (n1:ncpus=1)"
        job.run_count += 1
        job.must_end, job.started, job.stime = "", time.monotonic(), time.ctime()
        path = f"{self.folder / 'bin'}:/usr/bin:/bin"
        with (self.folder / "spool" / f"{job.id}.OU").open("wb") as output:
            self.processes[job.id] = subprocess.Popen(
                [job.options.get("S", "/bin/sh"), str(job.script)],
                env=environment_of(job, path, str(self.folder)),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def ask(self, job: Job, why: str) -> None:
        """TERM, for whatever reason."""
        job.must_end, job.asked_at = why, time.monotonic()
        self.signal(job, signal.SIGTERM)

    def signal(self, job: Job, number: signal.Signals) -> None:
        """To every process of the job's session."""
        for pid in session_of(self.processes[job.id].pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def ended(self, job: Job, code: int) -> None:
        """Its script is over; what it left behind goes."""
        self.signal(job, signal.SIGKILL)
        if job.must_end == "preempted":
            job.state, job.comment = "Q", "Not Running: Job was preempted"
            return
        words = {"deleted": "terminated", "walltime": "failed"}
        status = -29 if job.must_end == "walltime" else 256 - code if code < 0 else code
        self.end(job, status, words.get(job.must_end, "finished" if code == 0 else "failed"))

    def end(self, job: Job, status: int, word: str) -> None:
        """It is history."""
        job.state, job.exit_status = ("F" if job.index is None else "X"), status
        job.comment = f"{job.comment} and {word}"


def session_of(leader: int) -> Iterator[int]:
    """The processes of a session."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(") ")[2].split()[3]) == leader:
                yield int(path.parent.name)


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        request = json.loads(self.rfile.readline())
        self.wfile.write(json.dumps(self.server.pbs.answer(request)).encode())  # type: ignore[attr-defined]


class _Listener(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


def main(argv: Sequence[str]) -> None:
    """Serve until killed; then no job goes on."""
    folder, slots = Path(argv[0]), int(argv[1])
    server = Server(folder, slots)
    with _Listener(str(folder / "socket.new"), _Handler) as listener:
        listener.pbs = server  # type: ignore[attr-defined]
        (folder / "socket.new").rename(folder / "socket")
        threading.Thread(target=server.work, daemon=True).start()

        def leave(_number: int, _frame: object) -> None:
            for job in server.jobs.values():
                if job.state == "R" and not job.is_array:
                    server.signal(job, signal.SIGKILL)
            os._exit(0)

        signal.signal(signal.SIGTERM, leave)
        listener.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
