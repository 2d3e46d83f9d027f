"""The options of the services: a flag beats its environment variable, which beats its default. The names are Cogment's.

`--port=9000` and `--port 9000` are the same; a flag that is on or off may stand alone: `--grpc_reflection`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helpers.errors import ConfigurationError

LEVELS = ("off", "error", "warning", "info", "debug", "trace")
_REGISTRY = "COGMENT_MODEL_REGISTRY_"
_TRUE, _FALSE = ("1", "t", "true", "yes", "on"), ("0", "f", "false", "no", "off", "")


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        name: of the flag.
        variable: of the environment; "" where there is none.
        default: its type is the option's.
        least, most: of a number.
    """

    name: str
    variable: str
    default: Any
    help: str
    least: int = 0
    most: int = 2**62


_LISTENS = (
    Option("host", "MILOZERO_REGISTRY_HOST", "127.0.0.1", "address to listen on"),
    Option("insecure", "", False, "listen on other addresses than loopback without TLS"),
    Option("tls_cert", "MILOZERO_REGISTRY_TLS_CERT", "", "certificate chain, a PEM file"),
    Option("tls_key", "MILOZERO_REGISTRY_TLS_KEY", "", "its private key, a PEM file"),
)
_TOKEN = (
    Option(
        "token_file",
        "MILOZERO_REGISTRY_TOKEN_FILE",
        "",
        "file with a token that clients must send; or set MILOZERO_REGISTRY_TOKEN",
    ),
)
_LOGS = (
    Option("log_level", "COGMENT_LOG_LEVEL", "info", f"{', '.join(LEVELS)}, or 0 to 5"),
    Option("log_file", "COGMENT_LOG_FILE", "", "base name of a log file a day; unset: stdout"),
)
_DIRECTORY = (
    Option(
        "directory_endpoint",
        "COGMENT_DIRECTORY_ENDPOINT",
        "",
        "grpc://HOST:PORT to register at",
    ),
    Option(
        "directory_authentication_token",
        "COGMENT_DIRECTORY_AUTHENTICATION_TOKEN",
        "",
        "that who inquires must give; better by its variable, for others see the command line",
    ),
    Option(
        "directory_registration_host",
        f"{_REGISTRY}DIRECTORY_REGISTRATION_HOST",
        "",
        "host to register; unset: this machine's address",
    ),
    Option(
        "directory_registration_properties",
        f"{_REGISTRY}DIRECTORY_REGISTRATION_PROPERTIES",
        "",
        'to register: "name=value,name"',
    ),
)
MODEL_REGISTRY = (
    Option("port", f"{_REGISTRY}PORT", 9002, "TCP port; 0 for a free one", most=65535),
    Option("grpc_reflection", f"{_REGISTRY}GRPC_REFLECTION", False, "serve gRPC reflection"),
    Option(
        "archive_dir",
        f"{_REGISTRY}ARCHIVE_DIR",
        ".cogment/model_registry",
        "folder of models and archived versions",
    ),
    Option(
        "cache_max_items",
        f"{_REGISTRY}VERSION_CACHE_MAX_ITEMS",
        100,
        "versions in the cache; transient ones that fall out of it are gone",
        least=1,
    ),
    Option(
        "sent_version_chunk_size",
        f"{_REGISTRY}SENT_MODEL_VERSION_DATA_CHUNK_SIZE",
        5_242_880,
        "most bytes of a piece that is sent; unset, pieces have 2 MiB, which every client takes",
        least=1,
        most=64 << 20,
    ),
    *_LOGS,
    *_DIRECTORY,
    *_LISTENS,
    *_TOKEN,
    Option("max_version_bytes", "", 16 << 30, "most bytes of a version", least=1),
    Option("max_archive_bytes", "", 0, "most bytes of all versions together; 0: no limit"),
    Option("max_models", "", 10_000, "most models", least=1),
    Option("upload_seconds", "", 3600, "most seconds of an upload", least=1),
    Option("idle_seconds", "", 60, "seconds that a client may stall within a transfer", least=1),
)
DIRECTORY = (
    Option("port", "COGMENT_DIRECTORY_PORT", 9005, "TCP port; 0 for a free one", most=65535),
    Option("grpc_reflection", "COGMENT_DIRECTORY_GRPC_REFLECTION", False, "serve gRPC reflection"),
    *_LOGS,
    *_LISTENS,
    Option("check_seconds", "", 60, "seconds between two health checks of a service", least=1),
)


def read(
    options: Sequence[Option],
    argv: Sequence[str],
    environment: Mapping[str, str] = os.environ,
) -> tuple[dict[str, Any], set[str]]:
    """(each option's value by its name, the names that were given).

    Raises:
        ConfigurationError: a flag is not known, or a value is not of its type or out of bounds.
    """
    known = {option.name: option for option in options}
    values = {option.name: option.default for option in options}
    given = set()
    for each in options:
        if each.variable and environment.get(each.variable, "") != "":
            values[each.name] = _value(each, environment[each.variable], each.variable)
            given.add(each.name)
    words = list(argv)
    while words:
        word = words.pop(0)
        match = re.fullmatch(r"--?([A-Za-z][A-Za-z0-9_-]*)(?:=(.*))?", word, re.DOTALL)
        option = known.get(match[1].replace("-", "_")) if match else None
        if match is None or option is None:
            raise ConfigurationError(
                f"{word.split('=')[0][:60]!r} is no option of this service.",
                f"Options: {', '.join(f'--{name}' for name in known)}",
            )
        text = match[2]
        if text is None and isinstance(option.default, bool):
            text = "true"
        elif text is None:
            if not words:
                raise ConfigurationError(f"--{option.name} has no value.", f"Give {option.help}.")
            text = words.pop(0)
        values[option.name] = _value(option, text, f"--{option.name}")
        given.add(option.name)
    return values, given


def _value(option: Option, text: str, source: str) -> Any:
    if isinstance(option.default, bool):
        if text.lower() in _TRUE or text.lower() in _FALSE:
            return text.lower() in _TRUE
        raise ConfigurationError(f"{source}={text[:40]!r} is neither on nor off.", "Give 1 or 0.")
    if option.name == "log_level":
        level = LEVELS[int(text)] if text in "012345" and text else text.lower()
        if level not in LEVELS:
            raise ConfigurationError(
                f"{source}={text[:40]!r} is no level of logs.",
                f"Give one of {', '.join(LEVELS)}.",
            )
        return level
    if not isinstance(option.default, int):
        return text
    if (
        not re.fullmatch(r"\d{1,19}", text, re.ASCII)
        or not option.least <= int(text) <= option.most
    ):
        bounds = (
            f"{option.least} to {option.most}" if option.most < 2**62 else f"{option.least} or more"
        )
        raise ConfigurationError(
            f"{source}={text[:40]!r} is no whole number from {bounds}.",
            f"It is the {option.help}; default: {option.default}.",
        )
    return int(text)


def page(options: Sequence[Option], *, usage: str) -> str:
    """The help page of a service."""
    lines = [f"usage: {usage} [OPTION ...]", ""]
    for option in options:
        form = "" if isinstance(option.default, bool) else "=VALUE"
        default = option.default if option.default != "" else "unset"
        lines.append(f"  --{option.name}{form}")
        where = f"; environment: {option.variable}" if option.variable else ""
        lines.append(f"      {option.help} (default: {default}{where})")
    return "\n".join(lines)
