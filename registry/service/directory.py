"""A small Cogment directory: services register, are checked, and are found by who inquires.

For tests, and for labs that have none. What it knows lives in memory; registries register again after a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from registry.service.serving import TOKEN
from registry.service.storage.archive import LOG
from registry.service.wire import (
    common_pb2,
    directory_pb2,
    directory_pb2_grpc,
    model_registry_pb2_grpc,
)

SERVICE = "cogmentAPI.DirectorySP"
_MOST_SERVICES, _MOST_FAILURES = 10_000, 3
_CHECK_SECONDS = 2.0  # that a service may take to answer, doubled twice
_SECRET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_CHECKED = {directory_pb2.MODEL_REGISTRY_SERVICE: model_registry_pb2_grpc.ModelRegistrySPStub}


@dataclass
class Service:
    """What was registered.

    Attributes:
        since: order of registration.
        failures: health checks in a row that it did not pass; one that failed the last is not shown.
        checked: when, by the monotonic clock.
    """

    service_id: int
    secret: str
    token: str
    endpoint: Any
    details: Any
    permanent: bool
    since: int
    failures: int = 0
    checked: float = field(default_factory=time.monotonic)


class Directory(directory_pb2_grpc.DirectorySPServicer):
    """Answers requests, and checks what is registered.

    Args:
        check_seconds: between two health checks of a service.
    """

    def __init__(self, check_seconds: float) -> None:
        self._check_seconds = check_seconds
        self._services: dict[int, Service] = {}
        self._count = 0

    # Requests

    async def Register(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        """Register each service of a stream."""
        token = _token_of(context)
        async for request in request_iterator:
            problem = self._problem(request)
            service = None if problem else self._add(request, token)
            if service is not None and not await self._is_healthy(service):
                del self._services[service.service_id]
                problem = "the service does not answer at its endpoint"
            if problem or service is None:
                yield directory_pb2.RegisterReply(
                    status=directory_pb2.RegisterReply.FAILED,
                    error_msg=problem,
                )
                continue
            LOG.info("service %d registered: %s", service.service_id, _where(service))
            yield directory_pb2.RegisterReply(
                status=directory_pb2.RegisterReply.OK,
                service_id=service.service_id,
                secret=service.secret,
            )

    async def Deregister(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        """Take back each service of a stream; its secret and its token must be right."""
        token = _token_of(context)
        async for request in request_iterator:
            service = self._services.get(request.service_id)
            if (
                service is None
                or not _same(service.secret, request.secret)
                or not _same(service.token, token)
            ):
                yield directory_pb2.DeregisterReply(
                    status=directory_pb2.DeregisterReply.FAILED,
                    error_msg="unknown service, or wrong secret or token",
                )
                continue
            del self._services[service.service_id]
            LOG.info("service %d deregistered", service.service_id)
            yield directory_pb2.DeregisterReply(status=directory_pb2.DeregisterReply.OK)

    async def Inquire(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """The services that match, the newest first."""
        token = _token_of(context)
        for service in sorted(self._services.values(), key=lambda each: -each.since):
            if (
                service.failures
                or not _same(service.token, token)
                or not _matches(service, request)
            ):
                continue
            yield directory_pb2.InquireReply(
                data=directory_pb2.FullServiceData(
                    endpoint=service.endpoint,
                    service_id=service.service_id,
                    details=service.details,
                    permanent=service.permanent,
                ),
            )

    async def Version(self, request: Any, context: Any) -> Any:
        """Versions of the program: none are given."""
        return common_pb2.VersionInfo()

    async def Status(self, request: Any, context: Any) -> Any:
        """The load."""
        wanted = set(request.names) & {"overall_load", "*"}
        return common_pb2.StatusReply(statuses={"overall_load": "0"} if wanted else {})

    def _problem(self, request: Any) -> str:
        endpoint, type_ = request.endpoint, request.details.type
        if not endpoint.host:
            return "the endpoint has no host"
        if endpoint.protocol not in directory_pb2.ServiceEndpoint.Protocol.values()[1:]:
            return "the endpoint's protocol is not known"
        if (
            endpoint.protocol != directory_pb2.ServiceEndpoint.COGMENT
            and not 0 < endpoint.port < 65536
        ):
            return "the endpoint has no port"
        if type_ not in directory_pb2.ServiceType.values()[1:]:
            return "the service's type is not known"
        if len(self._services) >= _MOST_SERVICES:
            return f"this directory takes {_MOST_SERVICES} services"
        return ""

    def _add(self, request: Any, token: str) -> Service:
        self._count += 1
        service = Service(
            secrets.randbelow(2**63 - 1) + 1,
            "".join(secrets.choice(_SECRET) for _ in range(5)),
            token,
            request.endpoint,
            request.details,
            request.permanent,
            self._count,
        )
        self._services[service.service_id] = service
        return service

    # Health

    async def check(self) -> None:
        """Check each service from time to time; for ever."""
        while True:
            await asyncio.sleep(min(5.0, self._check_seconds))
            now = time.monotonic()
            due = [
                each for each in self._services.values() if now - each.checked > self._check_seconds
            ]
            await asyncio.gather(*map(self._check_one, due))

    async def _check_one(self, service: Service) -> None:
        service.checked = time.monotonic()
        if await self._is_healthy(service):
            service.failures = 0
            return
        service.failures += 1
        if service.failures >= _MOST_FAILURES and not service.permanent:
            if self._services.pop(service.service_id, None) is not None:
                LOG.warning(
                    "service %d removed, it does not answer: %s",
                    service.service_id,
                    _where(service),
                )

    async def _is_healthy(self, service: Service) -> bool:
        make, endpoint = _CHECKED.get(service.details.type), service.endpoint
        if make is None or endpoint.protocol == directory_pb2.ServiceEndpoint.COGMENT:
            return True
        target = f"{endpoint.host}:{endpoint.port}"
        is_ssl = endpoint.protocol == directory_pb2.ServiceEndpoint.GRPC_SSL
        for attempt in range(3):
            if is_ssl:
                channel = grpc.aio.secure_channel(target, grpc.ssl_channel_credentials())
            else:
                channel = grpc.aio.insecure_channel(target)
            async with channel:
                stub = make(channel)
                with contextlib.suppress(grpc.RpcError):
                    return await _answers(stub, _CHECK_SECONDS * 2**attempt)
        return False


async def _answers(stub: Any, seconds: float) -> bool:
    try:
        await stub.Status(common_pb2.StatusRequest(names=["overall_load"]), timeout=seconds)
    except grpc.aio.AioRpcError as error:
        if error.code() != grpc.StatusCode.UNIMPLEMENTED:
            raise
        await stub.Version(common_pb2.VersionRequest(), timeout=seconds)
    return True


def _matches(service: Service, request: Any) -> bool:
    if request.WhichOneof("inquiry") == "service_id":
        return bool(service.service_id == request.service_id)
    wanted = request.details
    if wanted.type and wanted.type != service.details.type:
        return False
    have = service.details.properties
    return all(name in have and have[name] == value for name, value in wanted.properties.items())


def _token_of(context: Any) -> str:
    given = dict(context.invocation_metadata() or ()).get(TOKEN, "")
    return given if isinstance(given, str) else given.decode("utf-8", "replace")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _where(service: Service) -> str:
    name = directory_pb2.ServiceType.Name(service.details.type)
    return f"{name} at {service.endpoint.host}:{service.endpoint.port}"
