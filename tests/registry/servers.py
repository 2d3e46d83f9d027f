"""MLflow on this machine for tests: a database in a file, or a real server that can be killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from swarm.backends.children import die_with_parent
from tests.patience import patience
from tests.slurm.cluster import free_ports


class MlflowServer:
    """`mlflow server` on a free port, with a database and artifacts in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (self.port,) = free_ports(1)  # one that nobody is given unasked while the server is away
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> MlflowServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.folder.mkdir(exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--workers",
            "1",
        ]
        command += [
            "--port",
            str(self.port),
            "--backend-store-uri",
            f"sqlite:///{self.folder}/mlflow.db",
        ]
        command += ["--artifacts-destination", f"{self.folder}/artifacts"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},  # eight processes
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        end = time.monotonic() + patience(60)
        while not self.answers():
            assert time.monotonic() < end, (self.folder / "log").read_text()
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.1)

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.uri}/health", timeout=2).close()
        except (OSError, urllib.error.URLError):
            return False
        return True

    def kill(self) -> None:
        """As a machine that fails: all its processes, at once."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
