"""A service's entry in a directory: made when the directory is there, seen after, and taken back at the end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from helpers.errors import ConfigurationError
from registry.service.endpoints import Endpoint
from registry.service.serving import TOKEN
from registry.service.storage.archive import LOG
from registry.service.wire import directory_pb2, directory_pb2_grpc

_LONGEST_WAIT, _CHECK_SECONDS, _CALL_SECONDS, _LEAVE_SECONDS = 30.0, 30.0, 10.0, 10.0


@dataclass
class Entry:
    """What is registered.

    Attributes:
        token: that who inquires must give; "" for none.
        service_id, secret: of the directory's answer; 0 and "" before it.
    """

    host: str
    port: int
    has_tls: bool
    properties: dict[str, str]
    token: str
    service_id: int = 0
    secret: str = field(default="", repr=False)


def own_address() -> str:
    """The first address of this machine that others may reach.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        found = []
    for each in found:
        address = str(each[4][0])
        if not address.startswith("127."):
            return address
    raise ConfigurationError(
        "This machine's address for the directory is unknown.",
        "Give it: --directory_registration_host=HOST",
    )


class Registration:
    """Keeps an entry in a directory, from `start` to `stop`."""

    def __init__(self, directory: Endpoint, entry: Entry) -> None:
        self._directory, self.entry = directory, entry
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the directory may come later."""
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Take the entry back; a directory that does not answer is left alone."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if not self.entry.service_id:
            return
        try:
            async with asyncio.timeout(_LEAVE_SECONDS), self._stub() as stub:
                request = directory_pb2.DeregisterRequest(
                    service_id=self.entry.service_id,
                    secret=self.entry.secret,
                )
                async for _ in stub.Deregister(iter([request]), metadata=self._metadata):
                    break
            LOG.info("deregistered at %s", self._directory)
        except (grpc.RpcError, TimeoutError) as error:
            LOG.warning("not deregistered at %s: %s", self._directory, _why(error))

    async def _keep(self) -> None:
        wait, is_told = 0.5, False
        while True:
            try:
                if not await self._is_known():
                    await self._register()
                wait, is_told = 0.5, False
                await asyncio.sleep(_CHECK_SECONDS)
            except (grpc.RpcError, TimeoutError, _FailedError) as error:
                if not is_told:
                    LOG.warning(
                        "%s does not register this service yet: %s",
                        self._directory,
                        _why(error),
                    )
                is_told = True
                await asyncio.sleep(wait)
                wait = min(_LONGEST_WAIT, 2 * wait)

    async def _is_known(self) -> bool:
        if not self.entry.service_id:
            return False
        request = directory_pb2.InquireRequest(service_id=self.entry.service_id)
        async with asyncio.timeout(_CALL_SECONDS), self._stub() as stub:
            try:
                async for _ in stub.Inquire(request, metadata=self._metadata):
                    return True
            except grpc.aio.AioRpcError as error:
                if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise
        return False

    async def _register(self) -> None:
        entry = self.entry
        protocol = (
            directory_pb2.ServiceEndpoint.GRPC_SSL
            if entry.has_tls
            else directory_pb2.ServiceEndpoint.GRPC
        )
        request = directory_pb2.RegisterRequest(
            endpoint=directory_pb2.ServiceEndpoint(
                protocol=protocol,
                host=entry.host,
                port=entry.port,
            ),
            details=directory_pb2.ServiceDetails(
                type=directory_pb2.MODEL_REGISTRY_SERVICE,
                properties=entry.properties,
            ),
        )
        async with self._stub() as stub:
            async with asyncio.timeout(_CALL_SECONDS):
                async for reply in stub.Register(iter([request]), metadata=self._metadata):
                    if reply.status != directory_pb2.RegisterReply.OK:
                        raise _FailedError(reply.error_msg)
                    entry.service_id, entry.secret = reply.service_id, reply.secret
                    LOG.info("registered at %s as service %d", self._directory, reply.service_id)
                    return
        raise _FailedError("it does not answer")

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return ((TOKEN, self.entry.token),) if self.entry.token else ()

    @contextlib.asynccontextmanager
    async def _stub(self) -> AsyncIterator[Any]:
        if self._directory.has_tls:
            channel = grpc.aio.secure_channel(
                self._directory.target,
                grpc.ssl_channel_credentials(),
            )
        else:
            channel = grpc.aio.insecure_channel(self._directory.target)
        async with channel:
            yield directory_pb2_grpc.DirectorySPStub(channel)


class _FailedError(Exception):
    """The directory refuses."""


def _why(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}, {' '.join((error.details() or '').split())[:160]}"
    return str(error) or "it does not answer"
