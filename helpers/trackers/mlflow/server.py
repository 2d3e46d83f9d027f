"""The MLflow server that MLFLOW_TRACKING_URI names: its address, whether it answers, its experiments."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from helpers.config.run import RunConfig
from helpers.errors import ConfigurationError
from helpers.trackers import feeder

VARIABLE = "MLFLOW_TRACKING_URI"
FILE_STORE = "MLFLOW_ALLOW_FILE_STORE"  # MLflow writes folders of files only where this is true
PROBE_SECONDS = 5.0
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def tracking_uri(given: str | None = None) -> str:
    """The address, given or of the environment.

    Raises:
        ConfigurationError: there is none, or it is of a kind that MLflow does not take.
    """
    uri = given or os.environ.get(VARIABLE, "")
    if not uri:
        raise ConfigurationError(
            f"There is no MLflow server: {VARIABLE} is not set.",
            f"export {VARIABLE}=http://HOST:5000, or sqlite:////PATH/mlflow.db; make registry starts one.",
        )
    scheme = urlsplit(uri).scheme.split("+")[0]
    schemes = ["http", "https", "databricks", "azureml", *_DATABASES]
    if os.environ.get(FILE_STORE, "").lower() == "true":
        schemes.append("file")
    if scheme not in schemes:
        raise ConfigurationError(
            f"{VARIABLE}={redacted(uri)} is no address of an MLflow server.",
            f"Give http://HOST:PORT or sqlite:////PATH/mlflow.db; file:///FOLDER only with {FILE_STORE}=true.",
        )
    if scheme == "sqlite" and not database_of(uri).parent.is_dir():
        raise ConfigurationError(
            f"{VARIABLE}={redacted(uri)}: the folder of the file does not exist.",
            f"mkdir -p {database_of(uri).parent}, or give another path.",
        )
    return uri


def quiet() -> None:
    """Let the client of this process print no links and no bars."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


def redacted(uri: str) -> str:
    """An address without its password."""
    return re.sub(r"(?<=://)[^/@\s]+(?=@)", "***", uri)


def check_answers(uri: str) -> None:
    """Refuse a server that does not answer within some seconds.

    Raises:
        ConfigurationError: it does not.
    """
    if not answers(uri):
        raise ConfigurationError(
            f"{redacted(uri)} does not answer.",
            f"Start the server (make registry), or give another {VARIABLE}.",
        )


def answers(uri: str) -> bool:
    """Whether a server answers anything; a database in this process always does."""
    return not uri.startswith(("http://", "https://")) or feeder.answers(uri, PROBE_SECONDS)


def experiment_name(config: RunConfig) -> str:
    """`exp_name`: --mlflow_experiment, else algorithm and environment."""
    return config.mlflow_experiment or f"{config.algo}_{config.env_id}"


def experiment_id(client: Any, name: str, *, uri: str) -> str:
    """The experiment of a name, made where it is missing.

    Without a server, its files go beside the database, not into the working folder.

    Raises:
        ConfigurationError: it was deleted, and its name is taken.
    """
    found = client.get_experiment_by_name(name)
    if found is not None:
        if found.lifecycle_stage == "deleted":
            raise ConfigurationError(
                f"The experiment {name} was deleted in MLflow.",
                "Restore it there, or give another --mlflow_experiment.",
            )
        return str(found.experiment_id)
    location = None
    if uri.startswith("sqlite:"):
        location = (database_of(uri).parent / "mlartifacts").resolve().as_uri()
    return str(client.create_experiment(name, artifact_location=location))


def database_of(uri: str) -> Path:
    """The file of an address that begins with sqlite:///."""
    return Path(urlsplit(uri).path[1:] or ".").absolute()
