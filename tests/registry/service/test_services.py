"""Starting services: options that cannot be used, logs, progress at a terminal."""

from __future__ import annotations

import io
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.errors import ConfigurationError, StorageError
from registry import service_cli
from registry.cli import main
from registry.service import logs, options, services

WRONG = {
    "no service": [],
    "another service": ["orchestrator"],
    "an unknown option": ["model_registry", "--colour=red"],
    "a word": ["model_registry", "9000"],
    "a port that is none": ["model_registry", "--port=70000"],
    "a port in words": ["model_registry", "--port", "many"],
    "a negative number": ["model_registry", "--cache_max_items=-1"],
    "no cache": ["model_registry", "--cache_max_items=0"],
    "no value": ["model_registry", "--archive_dir"],
    "neither on nor off": ["model_registry", "--grpc_reflection=maybe"],
    "a level that is none": ["directory", "--log_level=loud"],
    "a level by a number that is none": ["directory", "--log_level=9"],
    "other machines without TLS": ["model_registry", "--host=0.0.0.0"],
    "a certificate without its key": ["model_registry", "--tls_cert=chain.pem"],
    "files that are not there": ["model_registry", "--tls_cert=no.pem", "--tls_key=no.pem"],
    "a token that is not there": ["model_registry", "--token_file=no/token"],
    "a directory that is no address": ["model_registry", "--directory_endpoint=localhost:9005"],
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_used(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*WRONG[what]]
    if words[:1] == ["model_registry"] and words[-1] != "--archive_dir":
        words.insert(1, f"--archive_dir={tmp_path / 'models'}")
    assert main(["services", *words]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 2 and said.startswith("milozero: "), said
    assert not (tmp_path / "models").exists()


def test_a_variable_that_cannot_be_used() -> None:
    with pytest.raises(ConfigurationError, match="COGMENT_MODEL_REGISTRY_PORT"):
        services.run(["model_registry"], {"COGMENT_MODEL_REGISTRY_PORT": "x"})


def test_a_page_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["services", "registry", "-h"]) == 0
    said = capsys.readouterr().out
    for option in options.MODEL_REGISTRY:
        assert f"--{option.name}" in said and option.variable in said


def test_a_log_file_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    days = [1]
    clock = SimpleNamespace(now=lambda _: datetime(2026, 11, days[0], tzinfo=UTC))
    monkeypatch.setattr(logs, "datetime", clock)
    logger = logging.getLogger("registry.service")
    before = logger.handlers, logger.level, logger.propagate
    try:
        logs.start("warning", str(tmp_path / "logs" / "cogment.log"))
        logger.warning("first")
        logger.info("not this")
        days[0] = 2
        logger.error("second")
    finally:
        logger.handlers[0].close()
        logger.handlers, logger.level, logger.propagate = before
    found = {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()}
    assert sorted(found) == ["cogment_2026-11-01.log", "cogment_2026-11-02.log"]
    assert (
        "first" in found["cogment_2026-11-01.log"]
        and "not this" not in found["cogment_2026-11-01.log"]
    )
    assert "second" in found["cogment_2026-11-02.log"]


def test_a_log_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="log_file"):
        logs.start("info", str(tmp_path / "file" / "cogment.log"))


def test_progress_is_shown_at_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    times = iter([0.0, 1.0, 1.1, 2.0])
    monkeypatch.setattr(service_cli, "time", SimpleNamespace(monotonic=lambda: next(times)))
    with service_cli.Bar("sent", quiet=False) as bar:
        bar.show(256 << 10, 1 << 20)
        bar.show(300 << 10, 1 << 20)  # too soon after the first
        bar.show(512 << 10, 1 << 20)
    assert "sent [######..................] 256 KiB of 1 MiB, 3 s left" in screen.getvalue()
    assert "300" not in screen.getvalue() and "512 KiB" in screen.getvalue()
