"""What trackers need, looked at before hours of work: folders that can be written, keys, experiments that are there."""

from __future__ import annotations

import json
import netrc
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlsplit

from helpers.config.run import RunConfig
from helpers.errors import ConfigurationError, StorageError
from helpers.trackers.experiment_folder import wanted_folder
from helpers.trackers.mlflow.server import (
    PROBE_SECONDS,
    database_of,
    experiment_name,
    redacted,
    tracking_uri,
)

_PROBE = bytes(1 << 16)  # more than what a full disk still takes into its last block
_WANDB = "https://api.wandb.ai"
_WANDB_FILES = ("~/.config/wandb/settings", "wandb/settings")


def check_trackers(config: RunConfig) -> None:
    """Refuse trackers that cannot keep what they are given; nothing is made or sent.

    A server that does not answer is no reason: what is tracked is kept, and sent when it is back.

    Raises:
        StorageError: a folder that cannot be written, or a disk that is full.
        ConfigurationError: no key for wandb where it is asked for by --wandb_mode=online; an experiment that was
            deleted in MLflow.
    """
    folder = wanted_folder(config)
    if folder is not None:
        _check_writable(folder, "--experiment_directory or --experiment_name")
    if config.wandb_mode == "online":
        _check_key()
    if config.mlflow:
        _check_experiment(config)


def _check_writable(folder: Path, flags: str) -> None:
    """Write something where a folder is, or would be made, and remove it."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        why = "is a file"
    else:
        try:
            with tempfile.TemporaryFile(dir=there) as file:
                file.write(_PROBE)
                file.flush()
            return
        except OSError as error:
            why = f"cannot be written ({error.strerror or error})"
    raise StorageError(
        f"The metrics cannot be written to {folder}: {there} {why}.",
        f"Give another {flags}, free space, or mend its permissions.",
    )


def _check_key() -> None:
    """Refuse wandb online without a key: of the environment, or of `wandb login`."""
    given = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")
    lowered = os.environ.get("WANDB_MODE") in ("offline", "dryrun")
    if lowered or any(os.environ.get(name) for name in given):
        return
    host = urlsplit(_wandb_url()).hostname or ""
    for path in (os.environ.get("NETRC", "~/.netrc"), "~/_netrc"):
        try:
            if netrc.netrc(Path(path).expanduser()).authenticators(host):
                return
        except (OSError, netrc.NetrcParseError):
            continue
    raise ConfigurationError(
        f"wandb_mode=online needs a key for {host}, and there is none.",
        "wandb login, or export WANDB_API_KEY=...; or keep it here and send it later: --wandb_mode=offline.",
    )


def _wandb_url() -> str:
    """The server that wandb's client would take."""
    if url := os.environ.get("WANDB_BASE_URL"):
        return url
    for path in _WANDB_FILES:
        try:
            lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        for key, _, value in (line.partition("=") for line in lines):
            if key.strip() == "base_url":
                return value.strip()
    return _WANDB


def _check_experiment(config: RunConfig) -> None:
    """Refuse a database that cannot be written, and an experiment that was deleted on a server that answers."""
    uri = tracking_uri()
    if uri.startswith("sqlite:"):
        _check_writable(database_of(uri).parent, "database in MLFLOW_TRACKING_URI")
    if not uri.startswith(("http://", "https://")):
        return
    name = experiment_name(config)
    query = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(name, safe='')}"
    try:
        with urllib.request.urlopen(query, timeout=PROBE_SECONDS) as answer:
            stage = json.loads(answer.read())["experiment"]["lifecycle_stage"]
    except (OSError, ValueError, LookupError, TypeError):
        return  # there is none yet, or nobody answers, or only to those who log in
    if stage == "deleted":
        raise ConfigurationError(
            f"The experiment {name} was deleted on {redacted(uri)}, and its name is taken.",
            "Restore it there, or give another --mlflow_experiment.",
        )
