"""Calls of MLflow's client: what they raise as two lines, and all pages of what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from helpers.errors import ConfigurationError
from helpers.trackers.mlflow.server import redacted


class NotThereError(ConfigurationError):
    """MLflow has no model, version, run or experiment of that name."""


@contextmanager
def refusals(uri: str) -> Iterator[None]:
    """What MLflow raises, as two lines.

    Raises:
        NotThereError: what was asked for does not exist.
        ConfigurationError: MLflow refuses what it was asked, or does not answer.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        said = " ".join(str(error).split())[:300]
        if "Max retries exceeded" in said or "Connection" in said or "timed out" in said:
            raise ConfigurationError(
                f"{redacted(uri)} does not answer any more.",
                "Start the server again, then repeat the command.",
            ) from error
        # The code, not the text: only a server's text begins with it.
        missing = error.error_code == "RESOURCE_DOES_NOT_EXIST"
        raise (NotThereError if missing else ConfigurationError)(
            f"MLflow refuses: {redacted(said)}",
            "Change what it names; python -m registry list shows what is there.",
        ) from error


def pages(search: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
    """Everything that a search finds, page by page."""
    token = None
    while True:
        page = search(*arguments, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
