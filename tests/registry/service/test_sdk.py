"""Cogment's own client, from an environment of its own that this test makes, against our registry and directory."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.patience import patience
from tests.registry.service.running import service, wait_for

PROGRAM = Path(__file__).with_name("sdk_program.py")
# Its own bounds are of Python 3.10 and gRPC 1.48; it works with what is current (2.10.1 is the last that was made).
SDK = ("--no-deps", "--ignore-requires-python", "cogment==2.10.1")
BESIDE = ("grpcio==1.76.0", "protobuf==6.33.6", "prometheus-client", "typing_extensions", "psutil")


@pytest.fixture(scope="module")
def python() -> Path:
    """A Python that has the SDK."""
    folder = Path(tempfile.gettempdir()) / f"milozero_cogment_sdk_{os.getuid()}"
    folder.mkdir(exist_ok=True, mode=0o700)
    made, ready = folder / "bin" / "python", folder / "ready-2.10.1"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            for words in (SDK, BESIDE):
                subprocess.run([str(made), "-m", "pip", "install", "-q", *words], check=True)
            ready.touch()
    return made


def run(python: Path, *arguments: str, environment: dict[str, str] | None = None) -> list[dict]:
    done = subprocess.run(
        [str(python), str(PROGRAM), *arguments],
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=patience(60.0),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_all_that_it_can_do(python: Path, tmp_path: Path) -> None:
    with service("model_registry", tmp_path) as registry:
        said = run(python, registry.endpoint)
    assert said[-1] == {"done": True}
    assert {"updates": [26, 27, 28, 29]} in said


def test_it_finds_a_registry_by_the_directory_with_token_and_properties(
    python: Path,
    tmp_path: Path,
) -> None:
    with service("directory", tmp_path / "directory") as directory:
        address = f"grpc://localhost:{directory.port}"
        of_directory = {
            "COGMENT_DIRECTORY_ENDPOINT": address,
            "COGMENT_DIRECTORY_AUTHENTICATION_TOKEN": "GH670ploT",
        }
        named = "--directory_registration_properties=Sim=20,hpp,mem=HIGH"
        with service(
            "model_registry",
            tmp_path / "registry",
            named,
            environment=of_directory,
        ) as registry:
            wait_for("registered at", registry)
            found = run(python, "cogment://discover?Sim=20&mem=HIGH", environment=of_directory)
            assert found[-1] == {"done": True}
            other = subprocess.run(
                [str(python), str(PROGRAM), "cogment://discover?Sim=21"],
                env=os.environ | of_directory,
                capture_output=True,
                text=True,
                timeout=patience(60.0),
            )
            assert other.returncode != 0
            registry.stop()
            assert "deregistered" in registry.output
        wait_for("deregistered", directory)
