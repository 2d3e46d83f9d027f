"""Logs of a service: to stdout, or to a file a day, NAME_2026-11-27.log."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

from helpers.errors import StorageError

_LEVELS = {
    "off": logging.CRITICAL + 1,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": 5,
}
_FORM = "%(asctime)s %(levelname)-7s %(message)s"


class DailyFile(logging.Handler):
    """Writes to a file whose name ends with the day, by UTC."""

    def __init__(self, base: Path) -> None:
        super().__init__()
        self._base, self._day = base, ""
        self._file = self._open()

    def _open(self):  # type: ignore[no-untyped-def]
        self._day = f"{datetime.now(UTC):%Y-%m-%d}"
        path = self._base.with_name(f"{self._base.stem}_{self._day}{self._base.suffix or '.log'}")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a", encoding="utf-8")

    def emit(self, record: logging.LogRecord) -> None:
        """Append a line."""
        try:
            if self._day != f"{datetime.now(UTC):%Y-%m-%d}":
                self._file.close()
                self._file = self._open()
            self._file.write(self.format(record) + "\n")
            self._file.flush()
        except OSError:
            pass  # a full disk does not stop a service

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def start(level: str, file: str) -> None:
    """Send the logs of the services there.

    Raises:
        StorageError: the file cannot be opened.
    """
    try:
        handler = DailyFile(Path(file).expanduser()) if file else logging.StreamHandler(sys.stdout)
    except OSError as error:
        raise StorageError(
            f"log_file {file} cannot be written: {error.strerror}.",
            "Give another --log_file, or none for stdout.",
        ) from error
    handler.setFormatter(logging.Formatter(_FORM))
    logger = logging.getLogger("registry.service")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(_LEVELS[level])
    logging.getLogger("grpc").setLevel(logging.CRITICAL)  # a client's garbage is no news
