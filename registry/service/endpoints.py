"""Addresses of services: grpc://HOST:PORT, grpcs://HOST:PORT with TLS, cogment://discover by a directory."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from helpers.errors import ConfigurationError

_GRPC = re.compile(r"(grpcs?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})", re.ASCII)
_MODEL = re.compile(r"(grpcs?://[^/]+)/([^/@]+)(?:/(-?\d{1,9})|@([a-z]+))?", re.ASCII)
_DISCOVER = "cogment://discover"


@dataclass(frozen=True)
class Endpoint:
    """A service's address."""

    host: str
    port: int
    has_tls: bool = False

    @property
    def target(self) -> str:
        """For gRPC."""
        return f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"grpc{'s' if self.has_tls else ''}://{self.target}"


@dataclass(frozen=True)
class Discovery:
    """What to ask a directory for.

    Attributes:
        service_id: of one service; 0 for any with these properties.
    """

    service_id: int = 0
    properties: dict[str, str] = field(default_factory=dict)


def parse(text: str) -> Endpoint:
    """The endpoint.

    Raises:
        ConfigurationError: it is none.
    """
    match = _GRPC.fullmatch(text)
    if match is None or not 0 < int(match[3]) < 65536:
        raise ConfigurationError(
            f"{text[:100]!r} is no address of a service.",
            "Give grpc://HOST:PORT, as grpc://localhost:9002; with TLS grpcs://HOST:PORT.",
        )
    return Endpoint(match[2], int(match[3]), match[1] == "grpcs")


def parse_discovery(text: str) -> Discovery | None:
    """What cogment://discover[/modelregistry][?name=value&...] asks for; None for another address."""
    if text != _DISCOVER and not text.startswith((f"{_DISCOVER}/", f"{_DISCOVER}?")):
        return None
    path, _, query = text.removeprefix(_DISCOVER).partition("?")
    properties = dict(parse_qsl(query, keep_blank_values=True))
    if path in ("/service", "/service/") and properties.get("__id", "").isdigit():
        return Discovery(int(properties["__id"]))
    if path.strip("/").lower() not in ("", "modelregistry"):
        raise ConfigurationError(
            f"{text[:100]!r} asks for {unquote(path)[:40]!r}, and a model registry is wanted.",
            f"Give {_DISCOVER} or {_DISCOVER}/modelregistry?name=value.",
        )
    return Discovery(0, properties)


@dataclass(frozen=True)
class ModelAddress:
    """A version of a model in a registry.

    Attributes:
        number: -n for the n-th to last; -1 is the newest.
        kind: best or last, of the versions that a training archived; None for `number`.
    """

    endpoint: str
    model_id: str
    number: int = -1
    kind: str | None = None


def parse_model(text: str) -> ModelAddress:
    """The version that grpc://HOST:PORT/NAME, .../NAME/3, .../NAME/-2 or .../NAME@best is.

    Raises:
        ConfigurationError: it is none.
    """
    match = _MODEL.fullmatch(text)
    if match is None or (match[4] or "best") not in ("best", "last") or match[3] in ("0", "-0"):
        raise ConfigurationError(
            f"{text[:120]!r} is no address of a model.",
            "Give grpc://HOST:PORT/NAME, grpc://HOST:PORT/NAME/VERSION or grpc://HOST:PORT/NAME@best.",
        )
    parse(match[1])
    return ModelAddress(match[1], match[2], int(match[3] or -1), match[4])


def properties_of(text: str) -> tuple[dict[str, str], list[str]]:
    """(properties of "name=value,name", what is wrong with items that are left out)."""
    found, wrong = {}, []
    for item in (part.strip() for part in text.split(",")):
        if not item:
            continue
        name, *rest = item.split("=")
        if len(rest) > 1 or not name.strip():
            wrong.append(item)
            continue
        found[name.strip()] = rest[0].strip() if rest else ""
    return found, wrong
