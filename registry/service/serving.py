"""A gRPC server of one of the services: where it listens, who is let in, health and reflection."""

from __future__ import annotations

import ctypes
import hmac
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from helpers.errors import ConfigurationError
from registry.service.wire.pool import POOL

TOKEN = "authentication-token"  # of the metadata
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of malloc.h
_ALWAYS_OPEN = ("Check", "Watch", "Version", "Status")  # what says that a service lives
_OPTIONS = (
    ("grpc.so_reuseport", 0),  # a port in use is refused, not shared
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.max_concurrent_streams", 1024),
)


class TokenCheck(grpc.aio.ServerInterceptor):
    """Refuses who does not send the token."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def intercept_service(
        self,
        continuation: Callable[[Any], Awaitable[Any]],
        details: Any,
    ) -> Any:
        """The handler of a call, or one that refuses."""
        given = dict(details.invocation_metadata or ()).get(TOKEN, "")
        given = given.encode() if isinstance(given, str) else given
        if details.method.rpartition("/")[2] in _ALWAYS_OPEN or hmac.compare_digest(
            given,
            self._token,
        ):
            return await continuation(details)
        handler = await continuation(details)
        if handler is None:
            return None

        async def refuse(_: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is missing or wrong")

        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[handler.request_streaming, handler.response_streaming]
        return make(refuse)


@dataclass(frozen=True)
class Listening:
    """Where a server listens.

    Attributes:
        host: an address of this machine.
        port: 0 for a free one.
        credentials: (private key, certificate chain) for TLS.
        token: that clients must send; "" for none.
    """

    host: str = "127.0.0.1"
    port: int = 0
    credentials: tuple[bytes, bytes] | None = None
    token: str = ""
    has_reflection: bool = False


def listening_of(options: Mapping[str, Any], environment: Mapping[str, str]) -> Listening:
    """Where the options say; what is not safe is refused.

    Raises:
        ConfigurationError: another host than loopback without TLS, or a file that cannot be read.
    """
    cert, key = options["tls_cert"], options["tls_key"]
    if bool(cert) != bool(key):
        raise ConfigurationError(
            f"--tls_{'key' if cert else 'cert'} is not given.",
            "TLS takes both: --tls_cert=chain.pem --tls_key=key.pem",
        )
    credentials = (_read(key, "tls_key"), _read(cert, "tls_cert")) if cert else None
    if not is_loopback(options["host"]) and credentials is None and not options["insecure"]:
        raise ConfigurationError(
            f"--host={options['host']} would serve other machines without TLS.",
            "Give --tls_cert and --tls_key, or --insecure in a network that you trust.",
        )
    token = environment.get("MILOZERO_REGISTRY_TOKEN", "")
    if options.get("token_file"):
        token = _read(options["token_file"], "token_file").decode("utf-8", "replace").strip()
    return Listening(
        options["host"],
        options["port"],
        credentials,
        token,
        options["grpc_reflection"],
    )


def keep_memory() -> None:
    """Let the C library reuse the memory of pieces of some MiB, which come and go, in place of giving each back."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 << 20)
        mallopt(_TRIM_THRESHOLD, 32 << 20)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    return host in ("localhost", "::1", "[::1]") or host.startswith("127.")


async def start(
    listening: Listening,
    add: Callable[[grpc.aio.Server], None],
    services: tuple[str, ...],
) -> tuple[grpc.aio.Server, int]:
    """(a server that answers, its port).

    Args:
        add: adds the service to a server.
        services: their full names, for health and reflection.

    Raises:
        ConfigurationError: the port is in use, or the certificate is none.
    """
    interceptors = [TokenCheck(listening.token)] if listening.token else []
    server = grpc.aio.server(interceptors=interceptors, options=_OPTIONS)
    add(server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    for name in ("", *services):
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    if listening.has_reflection:
        names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        _add_reflection(server, names)
    port = _bind(server, listening)
    await server.start()
    return server, port


def _add_reflection(server: grpc.aio.Server, names: tuple[str, ...]) -> None:
    for module in (health_pb2, reflection_pb2):
        POOL.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    reflection.enable_server_reflection(names, server, pool=POOL)


def _bind(server: grpc.aio.Server, listening: Listening) -> int:
    host, port = listening.host, listening.port
    names = [f"[{host}]" if ":" in host and host[0] != "[" else host]
    if host in ("localhost", "127.0.0.1"):
        names = ["127.0.0.1", "[::1]"]  # what localhost may mean
    bound = 0
    for name in names:
        try:
            bound = _bind_one(server, f"{name}:{bound or port}", listening.credentials)
        except RuntimeError as error:
            if bound:
                continue  # this machine has no IPv6
            if _is_taken(name.strip("[]"), port):
                raise ConfigurationError(
                    f"Port {port} of {host} is in use.",
                    "Give another --port, or 0 for a free one.",
                ) from error
            raise ConfigurationError(
                f"{host}:{port} cannot be listened on: {' '.join(str(error).split())[:160]}",
                "Give an address of this machine and a free port, and PEM files that belong together.",
            ) from error
    return bound


def _bind_one(
    server: grpc.aio.Server,
    address: str,
    credentials: tuple[bytes, bytes] | None,
) -> int:
    if credentials is None:
        return server.add_insecure_port(address)
    return server.add_secure_port(address, grpc.ssl_server_credentials([credentials]))


def _is_taken(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.connect((host if host != "0.0.0.0" else "127.0.0.1", port))
        except OSError:
            return False
    return True


def _read(path: str, name: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"--{name} {path} cannot be read: {error.strerror}.",
            "Give a file that this user may read.",
        ) from error
