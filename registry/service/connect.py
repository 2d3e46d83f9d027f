"""A client's way to a service: channels, a directory's answer, and gRPC's statuses as two lines."""

from __future__ import annotations

import os
from pathlib import Path

import grpc

from helpers.errors import ConfigurationError, UserError
from registry.service import endpoints
from registry.service.wire import directory_pb2, directory_pb2_grpc

TOKEN_VARIABLE, CA_VARIABLE = "MILOZERO_REGISTRY_TOKEN", "MILOZERO_REGISTRY_CA"
_OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


class RegistryError(UserError):
    """A registry refuses or is away.

    Attributes:
        code: the gRPC status: NOT_FOUND, UNAVAILABLE, ...
    """

    exit_code = 2

    def __init__(self, problem: str, remedy: str, code: str = "UNKNOWN") -> None:
        super().__init__(problem, remedy)
        self.code = code


def discover(wanted: endpoints.Discovery) -> endpoints.Endpoint:
    """The newest registry of the directory that COGMENT_DIRECTORY_ENDPOINT names.

    Raises:
        ConfigurationError: it is not set.
        RegistryError: it does not answer, or knows none.
    """
    text = os.environ.get("COGMENT_DIRECTORY_ENDPOINT", "")
    if not text:
        raise ConfigurationError(
            "cogment://discover needs a directory.",
            "Set COGMENT_DIRECTORY_ENDPOINT=grpc://HOST:PORT, or give the registry's own grpc://HOST:PORT.",
        )
    directory = endpoints.parse(text)
    token = os.environ.get("COGMENT_DIRECTORY_AUTHENTICATION_TOKEN", "")
    request = directory_pb2.InquireRequest(service_id=wanted.service_id)
    if not wanted.service_id:
        details = directory_pb2.ServiceDetails(
            type=directory_pb2.MODEL_REGISTRY_SERVICE,
            properties=wanted.properties,
        )
        request = directory_pb2.InquireRequest(details=details)
    try:
        with open_channel(directory) as channel:
            stub = directory_pb2_grpc.DirectorySPStub(channel)
            metadata = (("authentication-token", token),) if token else ()
            for reply in stub.Inquire(request, timeout=10.0, metadata=metadata):
                found = reply.data.endpoint
                has_tls = found.protocol == directory_pb2.ServiceEndpoint.GRPC_SSL
                return endpoints.Endpoint(found.host, found.port, has_tls)
    except grpc.RpcError as error:
        raise error_of(error, directory) from error
    raise RegistryError(
        f"The directory {directory} knows no such model registry.",
        "Start one with --directory_endpoint, and ask with its properties and token.",
        "NOT_FOUND",
    )


def open_channel(endpoint: endpoints.Endpoint) -> grpc.Channel:
    """A channel to a service; with TLS, the authority of MILOZERO_REGISTRY_CA is believed, where that is set."""
    if not endpoint.has_tls:
        return grpc.insecure_channel(endpoint.target, options=_OPTIONS)
    authority = os.environ.get(CA_VARIABLE)
    try:
        roots = Path(authority).read_bytes() if authority else None
    except OSError as error:
        raise ConfigurationError(
            f"{CA_VARIABLE}={authority} cannot be read: {error.strerror}.",
            "Give the PEM file of the authority that signed the registry's certificate.",
        ) from error
    credentials = grpc.ssl_channel_credentials(roots)
    return grpc.secure_channel(endpoint.target, credentials, options=_OPTIONS)


_REMEDIES = {
    "NOT_FOUND": "See what there is: python -m registry models, python -m registry versions NAME",
    "UNAVAILABLE": "Start it (python -m registry serve), or give another --endpoint.",
    "UNAUTHENTICATED": f"Set {TOKEN_VARIABLE} to the registry's token.",
    "DEADLINE_EXCEEDED": "Try again; the registry or the network is slow.",
    "RESOURCE_EXHAUSTED": "Free space there, or raise the registry's limits.",
    "UNIMPLEMENTED": "Give the --endpoint of a model registry.",
}


def error_of(error: grpc.RpcError, endpoint: endpoints.Endpoint) -> RegistryError:
    """A status as what is wrong, and what to do."""
    code = error.code().name
    text = " ".join((error.details() or code).split())[:200]
    if code == "UNAVAILABLE":
        text = "it does not answer"
    is_unknown = text.startswith("no model ")  # which has another status in each request
    remedy = _REMEDIES.get(
        "NOT_FOUND" if is_unknown else code,
        "Change the request, or look at the registry's log.",
    )
    return RegistryError(f"{endpoint}: {text}.", remedy, code)
