"""A client of the model registry service, ours or Cogment's.

    from registry.client import RegistryClient

    with RegistryClient("grpc://localhost:9002") as registry:
        registry.put_model("walker", {"env": "Walker2d-v5"})
        info = registry.put("walker", Path("walker.zip"), archived=True)
        data = registry.get("walker")  # the newest version
        for info in registry.watch("walker"):
            ...

Calls block. A server that is away is waited for, `patience` seconds; a broken transfer is resumed where it was.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

import grpc

from helpers.durable import temporary_name
from helpers.errors import ConfigurationError, StorageError
from registry.service import endpoints
from registry.service.connect import TOKEN_VARIABLE, RegistryError, discover, error_of, open_channel
from registry.service.wire import model_registry_pb2, model_registry_pb2_grpc

_CHUNK = 1 << 20
_PAGE = 100
_PASSING = (grpc.StatusCode.UNAVAILABLE,)
Result = TypeVar("Result")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ModelInfo:
    """A model of a registry."""

    model_id: str
    user_data: dict[str, str]


@dataclass(frozen=True)
class VersionInfo:
    """A version of a model.

    Attributes:
        created: nanoseconds since 1970.
        data_hash: SHA-256 of the data, base64.
        size: bytes.
    """

    model_id: str
    number: int
    created: int
    archived: bool
    data_hash: str
    size: int
    user_data: dict[str, str]


class RegistryClient:
    """Talks to a model registry.

    Args:
        endpoint: grpc://HOST:PORT, grpcs://HOST:PORT with TLS, or cogment://discover, which a directory answers:
            COGMENT_DIRECTORY_ENDPOINT, COGMENT_DIRECTORY_AUTHENTICATION_TOKEN.
        token: that the server wants; unset: MILOZERO_REGISTRY_TOKEN.
        timeout: seconds of a short call, and of a stall within a long one.
        patience: seconds that a server which is away is waited for.

    Raises:
        ConfigurationError: the endpoint is none.
        RegistryError: no directory answers, or none knows a registry.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        token: str | None = None,
        timeout: float = 20.0,
        patience: float = 20.0,
    ) -> None:
        self._timeout, self._patience = timeout, patience
        discovery = endpoints.parse_discovery(endpoint)
        self.endpoint = endpoints.parse(endpoint) if discovery is None else discover(discovery)
        given = os.environ.get(TOKEN_VARIABLE, "") if token is None else token
        self._metadata = (("authentication-token", given),) if given else ()
        self._channel = open_channel(self.endpoint)
        self._stub = model_registry_pb2_grpc.ModelRegistrySPStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    # Models

    def put_model(self, model_id: str, user_data: Mapping[str, str] | None = None) -> None:
        """Make a model, or replace its user_data."""
        info = model_registry_pb2.ModelInfo(model_id=model_id, user_data=dict(user_data or {}))
        request = model_registry_pb2.CreateOrUpdateModelRequest(model_info=info)
        self._call(self._stub.CreateOrUpdateModel, request)

    def delete_model(self, model_id: str) -> None:
        """Remove a model and all its versions."""
        request = model_registry_pb2.DeleteModelRequest(model_id=model_id)
        self._call(self._stub.DeleteModel, request)

    def model(self, model_id: str) -> ModelInfo:
        """A model."""
        request = model_registry_pb2.RetrieveModelsRequest(model_ids=[model_id])
        (found,) = self._call(self._stub.RetrieveModels, request).model_infos
        return ModelInfo(found.model_id, dict(found.user_data))

    def models(self) -> Iterator[ModelInfo]:
        """All models, by name."""
        handle = ""
        while True:
            request = model_registry_pb2.RetrieveModelsRequest(
                models_count=_PAGE,
                model_handle=handle,
            )
            reply = self._call(self._stub.RetrieveModels, request)
            yield from (
                ModelInfo(each.model_id, dict(each.user_data)) for each in reply.model_infos
            )
            if len(reply.model_infos) < _PAGE:
                return
            handle = reply.next_model_handle

    # Versions

    def version(self, model_id: str, number: int = -1) -> VersionInfo:
        """What is known of a version; -n for the n-th to last."""
        request = model_registry_pb2.RetrieveVersionInfosRequest(
            model_id=model_id,
            version_numbers=[number],
        )
        (found,) = self._call(self._stub.RetrieveVersionInfos, request).version_infos
        return _version(found)

    def versions(self, model_id: str) -> Iterator[VersionInfo]:
        """What is known of all versions that there are, upwards."""
        handle = ""
        while True:
            request = model_registry_pb2.RetrieveVersionInfosRequest(
                model_id=model_id,
                versions_count=_PAGE,
                version_handle=handle,
            )
            reply = self._call(self._stub.RetrieveVersionInfos, request)
            yield from map(_version, reply.version_infos)
            if len(reply.version_infos) < _PAGE:
                return
            handle = reply.next_version_handle

    def put(
        self,
        model_id: str,
        data: bytes | Path,
        *,
        archived: bool = False,
        user_data: Mapping[str, str] | None = None,
        progress: Progress | None = None,
    ) -> VersionInfo:
        """Make a version; where the connection breaks, it is sent again, and is there once.

        Args:
            data: the bytes, or a file of them.
            archived: kept on the registry's disk; else until it is evicted.
            progress: called with bytes sent, and bytes in all.
        """
        with _source(data) as file:
            size, proof = _measure(file)
            wanted = model_registry_pb2.ModelVersionInfo(
                model_id=model_id,
                creation_timestamp=time.time_ns(),
                archived=archived,
                data_hash=proof,
                data_size=size,
                user_data=dict(user_data or {}),
            )

            def send() -> VersionInfo:
                reply = self._stub.CreateVersion(
                    _chunks(wanted, file, progress),
                    metadata=self._metadata,
                )
                return _version(reply.version_info)

            return self._patiently(send, done=lambda: self._find(wanted))

    def get(
        self,
        model_id: str,
        number: int = -1,
        *,
        progress: Progress | None = None,
    ) -> bytes:
        """The data of a version, proven by its hash."""
        target = io.BytesIO()
        self._receive(self.version(model_id, number), target, progress)
        return target.getvalue()

    def download(
        self,
        model_id: str,
        target: Path,
        number: int = -1,
        *,
        progress: Progress | None = None,
    ) -> VersionInfo:
        """Write the data of a version to a file, which appears when it is whole and proven.

        Raises:
            StorageError: it cannot be written.
        """
        info = self.version(model_id, number)
        staged = target.with_name(temporary_name())
        try:
            with staged.open("xb") as file:
                self._receive(info, file, progress)
                file.flush()
                os.fsync(file.fileno())
            staged.rename(target)
        except OSError as error:
            raise StorageError(
                f"{target} cannot be written: {error.strerror}.",
                "Free space or fix permissions there, or give another file.",
            ) from error
        finally:
            staged.unlink(missing_ok=True)
        return info

    def watch(self, model_id: str) -> Iterator[VersionInfo]:
        """The newest version, then each newer one when it comes; for ever, over restarts of the server."""
        last = (0, 0)
        request = model_registry_pb2.VersionUpdateRequest(model_id=model_id)
        quiet_since: float | None = None
        while True:
            try:
                for reply in self._stub.VersionUpdate(request, metadata=self._metadata):
                    quiet_since = None
                    info = _version(reply.version_info)
                    if (info.number, info.created) != last:
                        last = info.number, info.created
                        yield info
            except grpc.RpcError as error:
                if error.code() not in _PASSING:
                    raise error_of(error, self.endpoint) from None
                quiet_since = quiet_since or time.monotonic()
                if time.monotonic() - quiet_since > self._patience:
                    raise error_of(error, self.endpoint) from None
                time.sleep(0.5)

    # Calls

    def _receive(self, info: VersionInfo, target: Any, progress: Progress | None) -> None:
        proof, done = hashlib.sha256(), 0
        request = model_registry_pb2.RetrieveVersionDataRequest(
            model_id=info.model_id,
            version_number=info.number,
        )

        def receive() -> None:
            nonlocal done
            skip = done  # what came before the connection broke
            for reply in self._stub.RetrieveVersionData(request, metadata=self._metadata):
                data = reply.data_chunk
                fresh = data[min(skip, len(data)) :]
                skip -= len(data) - len(fresh)
                target.write(fresh)
                proof.update(fresh)
                done += len(fresh)
                if progress is not None:
                    progress(done, info.size)

        self._patiently(receive)
        if base64.b64encode(proof.digest()).decode() != info.data_hash:
            raise RegistryError(
                f"Version {info.number} of {info.model_id} did not arrive as it was stored.",
                "Fetch it again; if that fails, too, the registry's disk has altered it.",
                "DATA_LOSS",
            )

    def _find(self, wanted: Any) -> VersionInfo | None:
        """The version of an upload whose answer was lost."""
        with contextlib.suppress(RegistryError):
            for info in self.versions(wanted.model_id):
                if (info.created, info.data_hash) == (wanted.creation_timestamp, wanted.data_hash):
                    return info
        return None

    def _call(self, method: Any, request: Any) -> Any:
        return self._patiently(
            lambda: method(request, timeout=self._timeout, metadata=self._metadata),
        )

    def _patiently(
        self,
        call: Callable[[], Result],
        *,
        done: Callable[[], Result | None] = lambda: None,
    ) -> Result:
        """Call again while the server is away; `done` finds what a call did whose answer was lost."""
        until, wait = time.monotonic() + self._patience, 0.1
        while True:
            try:
                return call()
            except grpc.RpcError as error:
                if error.code() not in _PASSING or time.monotonic() > until:
                    raise error_of(error, self.endpoint) from None
            time.sleep(wait)
            wait = min(2.0, 2 * wait)
            found = done()
            if found is not None:
                return found


@contextlib.contextmanager
def _source(data: bytes | Path) -> Iterator[BinaryIO]:
    if not isinstance(data, Path):
        yield io.BytesIO(data)
        return
    try:
        file = data.open("rb")
    except OSError as error:
        raise ConfigurationError(
            f"{data} cannot be read: {error.strerror}.",
            "Give a file that is there.",
        ) from error
    with file:
        yield file


def _measure(file: BinaryIO) -> tuple[int, str]:
    """(bytes, SHA-256 as base64)."""
    proof, size = hashlib.sha256(), 0
    while data := file.read(_CHUNK):
        proof.update(data)
        size += len(data)
    return size, base64.b64encode(proof.digest()).decode()


def _chunks(wanted: Any, file: BinaryIO, progress: Progress | None) -> Iterator[Any]:
    kind = model_registry_pb2.CreateVersionRequestChunk
    file.seek(0)
    yield kind(header=kind.Header(version_info=wanted))
    done = 0
    while data := file.read(_CHUNK):
        yield kind(body=kind.Body(data_chunk=data))
        done += len(data)
        if progress is not None:
            progress(done, wanted.data_size)


def _version(info: Any) -> VersionInfo:
    return VersionInfo(
        info.model_id,
        info.version_number,
        info.creation_timestamp,
        info.archived,
        info.data_hash,
        info.data_size,
        dict(info.user_data),
    )
