"""What a tracker needs is looked at before hours of work, and refused in two lines."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from helpers.errors import ConfigurationError, StorageError
from helpers.trackers.checks import check_trackers
from tests.launch import ROOT
from tests.patience import patience

NOTHING = {
    "experiment_directory": None,
    "experiment_name": None,
    "wandb_mode": None,
    "mlflow": False,
    "mlflow_experiment": "gone",
}


def check(**settings: Any) -> None:
    check_trackers(SimpleNamespace(**NOTHING | settings))


@pytest.fixture(autouse=True)
def no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_a_folder_is_tried_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    check(experiment_directory=str(tmp_path / "not" / "yet"))
    assert not list(tmp_path.iterdir())
    with pytest.raises(StorageError, match="/proc cannot be written"):  # for root, too
        check(experiment_directory="/proc/nonesuch")
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="is a file"):
        check(experiment_directory=str(tmp_path / "file"), experiment_name="x")


def test_a_full_disk_is_found(tmp_path: Path) -> None:
    """On a small tmpfs in a mount namespace of its own, which needs no root."""
    program = (
        "from types import SimpleNamespace\n"
        "from helpers.trackers.checks import check_trackers\n"
        f"check_trackers(SimpleNamespace(**{NOTHING | {'experiment_directory': str(tmp_path)}!r}))"
    )
    script = f'mount -t tmpfs -o size=16k tmpfs {tmp_path} && {sys.executable} -c "$0"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=patience(60))
    assert "No space left on device" in done.stderr and "StorageError" in done.stderr, done.stderr


def test_online_by_name_needs_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"a key for api.wandb.ai[\s\S]*wandb login"):
        check(wandb_mode="online")
    for mode in (None, "offline", "disabled"):
        check(wandb_mode=mode)
    (tmp_path / "netrc").write_text(f"machine api.wandb.ai login user password {'0' * 40}\n")
    check(wandb_mode="online")
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.my.lab")
    with pytest.raises(ConfigurationError, match="wandb.my.lab"):
        check(wandb_mode="online")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    check(wandb_mode="online")


class Answers(http.server.BaseHTTPRequestHandler):
    """MLflow's answer about an experiment, and none about others."""

    def do_GET(self) -> None:
        name = parse_qs(urlsplit(self.path).query)["experiment_name"][0]
        stage = {"gone": "deleted", "a/b c": "active"}.get(name)
        self.send_response(200 if stage else 404)
        self.end_headers()
        self.wfile.write(json.dumps({"experiment": {"lifecycle_stage": stage}}).encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


def test_an_experiment_that_was_deleted_is_refused(
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    with pytest.raises(ConfigurationError, match="gone was deleted"):
        check(mlflow=True)
    for name in ("a/b c", "not made yet"):
        check(mlflow=True, mlflow_experiment=name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody: it is sent later
    check(mlflow=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/mlflow.db")
    with pytest.raises(StorageError, match="/proc cannot be written"):
        check(mlflow=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    check(mlflow=True)
