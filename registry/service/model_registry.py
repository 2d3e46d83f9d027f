"""The model registry as a gRPC service: Cogment's requests, answered from a store.

Every refusal has the status that Cogment's own server gives (docs/model_registry_service.md); where that one would lose
data or leave its archive, ours refuses.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc

from registry.service import faults
from registry.service.storage.archive import LOG
from registry.service.storage.layout import VersionInfo
from registry.service.storage.store import Model, Store
from registry.service.wire import (
    common_pb2,
    misprint_pb2,
    misprint_pb2_grpc,
    model_registry_pb2,
    model_registry_pb2_grpc,
)

SERVICES = tuple(
    module.DESCRIPTOR.services_by_name["ModelRegistrySP"].full_name
    for module in (model_registry_pb2, misprint_pb2)
)
SAFE_CHUNK = 2 << 20  # a client of gRPC takes 4 MiB unless it says otherwise


@dataclass(frozen=True)
class Transfers:
    """How data goes out and comes in.

    Attributes:
        chunk: most bytes of a piece that is sent.
        upload_seconds: most seconds of an upload.
        idle_seconds: that a client may stall within one.
    """

    chunk: int = SAFE_CHUNK
    upload_seconds: float = 3600.0
    idle_seconds: float = 60.0


def _answers(method: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a refusal to the client as its status; whatever else goes wrong is INTERNAL, and in the log."""
    name = method.__name__

    @functools.wraps(method)
    async def answer(self: Any, request: Any, context: grpc.aio.ServicerContext) -> Any:
        try:
            return await method(self, request, context)
        except faults.Refusal as refusal:
            LOG.info("%s refused: %s, %s", name, refusal.code, refusal.text)
            code, text = grpc.StatusCode[refusal.code], refusal.text
        except OSError as error:
            LOG.error("%s: %s", name, error)
            code, text = grpc.StatusCode.INTERNAL, faults.of_disk(error).text
        except (TypeError, ValueError, LookupError, AttributeError, RuntimeError, AssertionError):
            LOG.exception("%s", name)
            code, text = grpc.StatusCode.INTERNAL, "this is a fault of the server; its log has more"
        await context.abort(code, text)

    return answer


class ModelRegistry(model_registry_pb2_grpc.ModelRegistrySPServicer):
    """Answers requests from a store."""

    def __init__(self, store: Store, transfers: Transfers) -> None:
        self._store, self._transfers = store, transfers

    @_answers
    async def CreateOrUpdateModel(self, request: Any, context: Any) -> Any:
        """Make a model, or replace its user_data."""
        info = request.model_info
        await self._store.put_model(info.model_id, dict(info.user_data))
        LOG.info("model %s is kept", info.model_id)
        return model_registry_pb2.CreateOrUpdateModelReply()

    @_answers
    async def DeleteModel(self, request: Any, context: Any) -> Any:
        """Remove a model and its versions."""
        await self._store.delete_model(request.model_id)
        LOG.info("model %s is deleted", request.model_id)
        return model_registry_pb2.DeleteModelReply()

    @_answers
    async def RetrieveModels(self, request: Any, context: Any) -> Any:
        """Models: all, or by their names; page by page."""
        found, handle = self._store.models(
            list(request.model_ids),
            request.model_handle,
            request.models_count,
        )
        return model_registry_pb2.RetrieveModelsReply(
            model_infos=[_model(each) for each in found],
            next_model_handle=handle,
        )

    @_answers
    async def CreateVersion(self, request_iterator: Any, context: Any) -> Any:
        """A new version, from a header and pieces of its data."""
        try:
            async with asyncio.timeout(self._transfers.upload_seconds):
                return await self._create(request_iterator)
        except TimeoutError:
            raise faults.Refusal("DEADLINE_EXCEEDED", "the upload takes too long") from None

    async def _create(self, chunks: Any) -> Any:
        first = await self._next(chunks)
        if first is None or first.WhichOneof("msg") != "header":
            raise faults.invalid("the first message must have a header")
        if not first.header.HasField("version_info"):
            raise faults.invalid("the header must have a version_info")
        declared = first.header.version_info
        async with self._store.upload(
            declared.model_id,
            declared.data_size,
            archived=declared.archived,
        ) as incoming:
            while (chunk := await self._next(chunks)) is not None:
                if chunk.WhichOneof("msg") != "body":
                    raise faults.invalid("each message after the first must have a body")
                await incoming.write(chunk.body.data_chunk)
            info = await incoming.keep(
                created=declared.creation_timestamp,
                data_hash=declared.data_hash,
                user_data=dict(declared.user_data),
            )
        kind = "archived" if info.archived else "transient"
        LOG.info("%s version %d: %d bytes, %s", info.model_id, info.number, info.size, kind)
        return model_registry_pb2.CreateVersionReply(version_info=_version(info))

    async def _next(self, chunks: Any) -> Any:
        """The next message; None at the end."""
        try:
            async with asyncio.timeout(self._transfers.idle_seconds):
                return await anext(chunks, None)
        except TimeoutError:
            raise faults.Refusal("DEADLINE_EXCEEDED", "the client has stalled") from None

    @_answers
    async def RetrieveVersionInfos(self, request: Any, context: Any) -> Any:
        """What is known of versions: all, or by their numbers; page by page."""
        found, handle = self._store.versions(
            request.model_id,
            list(request.version_numbers),
            request.version_handle,
            request.versions_count,
        )
        return model_registry_pb2.RetrieveVersionInfosReply(
            version_infos=[_version(each) for each in found],
            next_version_handle=handle,
        )

    @_answers
    async def RetrieveVersionData(self, request: Any, context: Any) -> None:
        """The data of a version, in pieces."""
        info = self._store.version(request.model_id, request.version_number)
        pieces = self._store.read(info, self._transfers.chunk)
        try:
            async for data in pieces:
                await self._send(
                    context,
                    model_registry_pb2.RetrieveVersionDataReplyChunk(data_chunk=data),
                )
        finally:
            await pieces.aclose()  # type: ignore[attr-defined]

    @_answers
    async def VersionUpdate(self, request: Any, context: Any) -> None:
        """The newest version, and each newer one when it comes, until the client leaves."""
        try:
            self._store.model(request.model_id)
        except faults.Refusal as refusal:
            raise faults.invalid(refusal.text) from None
        async for info in self._store.watch(request.model_id):
            reply = model_registry_pb2.VersionUpdateReply(version_info=_version(info))
            await self._send(context, reply)

    async def _send(self, context: Any, message: Any) -> None:
        try:
            async with asyncio.timeout(self._transfers.idle_seconds):
                await context.write(message)
        except TimeoutError:
            raise faults.Refusal(
                "DEADLINE_EXCEEDED",
                "the client does not take what is sent",
            ) from None

    @_answers
    async def Version(self, request: Any, context: Any) -> Any:
        """Versions of the program: none are given, as by Cogment's server."""
        return common_pb2.VersionInfo()

    @_answers
    async def Status(self, request: Any, context: Any) -> Any:
        """The load, which a directory asks for to see that the service lives."""
        wanted = set(request.names) & {"overall_load", "*"}
        return common_pb2.StatusReply(statuses={"overall_load": "0"} if wanted else {})


def _model(model: Model) -> Any:
    return model_registry_pb2.ModelInfo(model_id=model.model_id, user_data=model.user_data)


def _version(info: VersionInfo) -> Any:
    return model_registry_pb2.ModelVersionInfo(
        model_id=info.model_id,
        version_number=info.number,
        creation_timestamp=info.created,
        archived=info.archived,
        data_hash=info.data_hash,
        data_size=info.size,
        user_data=dict(info.user_data),
    )


def add_model_registry(server: grpc.aio.Server, servicer: ModelRegistry) -> None:
    """Serve it under its name, and under that of a misprint in Cogment's document."""
    model_registry_pb2_grpc.add_ModelRegistrySPServicer_to_server(servicer, server)
    misprint_pb2_grpc.add_ModelRegistrySPServicer_to_server(servicer, server)
