"""A model registry, or a directory, as a process of its own, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.patience import patience

ROOT = Path(__file__).resolve().parents[3]
_START_SECONDS = 20.0


class Service:
    """A service that runs.

    Attributes:
        port: that it serves on.
        log: where its output goes.
    """

    def __init__(
        self,
        name: str,
        log: Path,
        *options: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._name, self.log, self._options = name, log, options
        self._environment = os.environ | {"PYTHONUNBUFFERED": "1"} | dict(environment or {})
        self.port = 0
        self.start()

    def start(self) -> None:
        """Start it; again on the same port where it was there before."""
        command = [sys.executable, "-m", "registry", "services", self._name]
        self._before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, f"--port={self.port}", *self._options],  # of two, the later counts
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + patience(_START_SECONDS)
        while "next: " not in self.output:
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"{self._name} does not start:\n{self.output}")
            time.sleep(0.02)
        line = next(
            each
            for each in self.output.splitlines()
            if each.startswith(f"{self._name.replace('_', ' ')}: ")
        )
        self.port = int(line.rpartition(":")[2])

    @property
    def output(self) -> str:
        """What it said since it was started."""
        return self.log.read_bytes()[self._before :].decode(errors="replace")

    @property
    def endpoint(self) -> str:
        """For clients."""
        return f"grpc://localhost:{self.port}"

    def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=patience(20.0))


@contextlib.contextmanager
def service(
    name: str,
    folder: Path,
    *options: str,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Service]:
    """A service, ended with the block; a model registry has its archive in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if name == "model_registry":
        options = (f"--archive_dir={folder / 'models'}", *options)
    made = Service(name, folder / f"{name}.log", *options, environment=environment)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.kill()


def wait_for(text: str, each: Service) -> None:
    """Return when a service has said something."""
    until = time.monotonic() + patience(15.0)
    while text not in each.output:
        assert time.monotonic() < until, each.output
        time.sleep(0.05)
