"""A stage for rendered scripts: bash runs them for real, and stand-ins on the PATH play the other parts."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from swarm.plan import Launch, Plan, Run
from swarm.scripts import render
from tests.patience import patience
from tests.swarm.plans import planned

# Takes the next line of the scenario, "CODE ITERATION": saves that checkpoint and ends with that code.
ACTOR = """#!/bin/bash
printf '%s\\0' "$@" >>"$STAGE/argv"
env -0 >"$STAGE/env"
[ -z "$MILOZERO_LAUNCHED" ] || touch "$MILOZERO_LAUNCHED"
read -r code iteration <"$STAGE/scenario"
sed -i 1d "$STAGE/scenario"
[ -z "$iteration" ] || { mkdir -p "$RUN/checkpoints" && ln -sfn "$iteration" "$RUN/checkpoints/latest"; }
[ "$code" = wait ] || exit "$code"
exec python3 -I -S -c "$WAIT"
"""
# Not bash: it cannot trap what was ignored when it began.
WAIT = """
import os, signal, sys
def stop(number, frame):
    if os.path.exists(os.environ["RUN"] + "/stop"):
        open(os.environ["STAGE"] + "/saw_stop", "w")
    sys.exit(75)
signal.signal(signal.SIGUSR1, stop)
signal.alarm(600)
open(os.environ["STAGE"] + "/waiting", "w")
while True:
    signal.pause()
"""
RECORDER = """#!/bin/bash
printf '%s\\0' "$@" >>"$STAGE/{name}"
{then}
"""


@dataclass
class Stage:
    """A folder with a plan of one run and programs of its own."""

    folder: Path
    launch: Launch
    request: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        self.program("mpiexec", 'shift 2; exec "$@"')
        self.program("sleep")
        (self.bin / "actor").write_text(ACTOR)
        (self.bin / "actor").chmod(0o755)
        home = self.folder / "home"
        home.mkdir()
        launch = replace(
            self.launch,
            working_folder=home,
            python=self.bin / "actor",
            mpiexec=str(self.bin / "mpiexec"),
        )
        self.plan: Plan = planned(launch=launch, **self.request)
        self.run: Run = self.plan.runs[0]
        self.script = self.run.job_script
        self.script.parent.mkdir(parents=True)
        (self.plan.folder / "logs").mkdir(parents=True)
        self.script.write_text(render.render_job(self.plan, self.run))
        self.environment = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "HOME": str(home),
            "STAGE": str(self.folder),
            "RUN": str(self.run.folder),
            "WAIT": WAIT,
        }

    def program(self, name: str, then: str = "") -> None:
        """A program that records its arguments, and then does what is said."""
        path = self.bin / name
        path.write_text(RECORDER.format(name=name, then=then))
        path.chmod(0o755)

    def hide(self, *names: str) -> None:
        """Make programs of this machine unknown to scripts: the PATH is the stage's alone."""
        for path in (Path("/usr/bin"), Path("/bin")):
            for each in path.iterdir():
                link = self.bin / each.name
                if each.name not in names and not link.is_symlink() and not link.exists():
                    link.symlink_to(each)
        self.environment["PATH"] = str(self.bin)

    def start(
        self,
        *scenario: str,
        submission: str = "001",
        **environment: str,
    ) -> subprocess.Popen:
        """Let bash run the script; each line of the scenario, if there is a new one, is one start of the run."""
        if scenario:
            (self.folder / "scenario").write_text("".join(f"{line}\n" for line in scenario))
        return subprocess.Popen(
            ["bash", str(self.script), submission],
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def play(self, *scenario: str, submission: str = "001", **environment: str) -> int:
        """The same, to its end; the script's exit code."""
        process = self.start(*scenario, submission=submission, **environment)
        self.output, _ = process.communicate(timeout=patience(30))
        return process.returncode

    @property
    def ledger(self) -> Path:
        return self.plan.run_ledger(self.run)

    def attempts(self, submission: str = "001") -> list[str]:
        """The lines of the ledger, without their times and process ids."""
        path = self.ledger / f"{submission}.attempts"
        told = []
        for line in path.read_text().splitlines() if path.exists() else []:
            what, number, seconds, *rest = line.split(" ")
            assert int(seconds) > 10**9
            told.append(" ".join([what, number, *(rest if what != "start" else [])]))
        return told

    def starts(self) -> int:
        """How often the run was started."""
        return sum(line.startswith("start ") for line in self.attempts())

    def recorded(self, name: str) -> list[str]:
        """All arguments that a stand-in was given."""
        path = self.folder / name
        return path.read_bytes().decode().split("\0")[:-1] if path.exists() else []

    def seen(self) -> dict[str, str]:
        """The environment of the last start of the run."""
        pairs = (self.folder / "env").read_bytes().decode(errors="surrogateescape").split("\0")
        return dict(pair.partition("=")[::2] for pair in pairs if pair)


def await_file(path: Path) -> None:
    """Wait until a file is there."""
    end = time.monotonic() + patience(20)
    while not path.exists():
        assert time.monotonic() < end, f"{path} does not come"
        time.sleep(0.02)
