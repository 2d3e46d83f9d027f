"""The directory: who comes first does not matter, and what is wrong is refused."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from registry.client import RegistryClient, RegistryError
from registry.service.wire import directory_pb2 as messages
from registry.service.wire import directory_pb2_grpc
from tests.registry.service.running import Service, service, wait_for


def test_a_registry_registers_when_the_directory_comes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = {"COGMENT_DIRECTORY_ENDPOINT": f"grpc://localhost:{port}"}
    with service("model_registry", tmp_path / "registry", environment=address) as registry:
        wait_for("does not register this service yet", registry)
        with service("directory", tmp_path / "directory", f"--port={port}"):
            wait_for("registered at", registry)
            monkeypatch.setenv("COGMENT_DIRECTORY_ENDPOINT", address["COGMENT_DIRECTORY_ENDPOINT"])
            with RegistryClient("cogment://discover") as client:
                assert client.endpoint.port == registry.port


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service("directory", tmp_path_factory.mktemp("directory"), "--check_seconds=1") as made:
        yield made


@pytest.fixture
def stub(directory: Service) -> Iterator[Any]:
    with grpc.insecure_channel(f"localhost:{directory.port}") as channel:
        yield directory_pb2_grpc.DirectorySPStub(channel)


def request(host: str = "localhost", port: int = 9, protocol: int = 1, type_: int = 100) -> Any:
    endpoint = messages.ServiceEndpoint(protocol=protocol, host=host, port=port)
    details = messages.ServiceDetails(type=type_, properties={"a": "b", "c": ""})
    return messages.RegisterRequest(endpoint=endpoint, details=details)


@pytest.mark.parametrize(
    "wrong",
    [{"host": ""}, {"port": 0}, {"protocol": 0}, {"type_": 0}, {"type_": 77}],
)
def test_what_cannot_be_registered(stub: Any, wrong: dict[str, Any]) -> None:
    (reply,) = stub.Register(iter([request(**wrong)]))
    assert reply.status == messages.RegisterReply.FAILED and reply.error_msg
    assert reply.service_id == 0


def test_a_registry_that_does_not_answer_is_not_registered(stub: Any) -> None:
    (reply,) = stub.Register(iter([request(port=1, type_=messages.MODEL_REGISTRY_SERVICE)]))
    assert reply.status == messages.RegisterReply.FAILED
    assert "does not answer" in reply.error_msg


def test_tokens_properties_and_secrets(stub: Any) -> None:
    mine = (("authentication-token", "mine"),)
    (reply,) = stub.Register(iter([request()]), metadata=mine)
    assert reply.status == messages.RegisterReply.OK and len(reply.secret) == 5

    def found(metadata: Any, **properties: str) -> list[int]:
        details = messages.ServiceDetails(properties=properties)
        answers = stub.Inquire(messages.InquireRequest(details=details), metadata=metadata)
        return [each.data.service_id for each in answers]

    assert found(mine) == found(mine, a="b") == found(mine, a="b", c="") == [reply.service_id]
    assert found(()) == found(mine, a="c") == found(mine, d="") == []
    for secret, metadata in (("wrong", mine), (reply.secret, ())):
        leave = messages.DeregisterRequest(service_id=reply.service_id, secret=secret)
        (answer,) = stub.Deregister(iter([leave]), metadata=metadata)
        assert answer.status == messages.DeregisterReply.FAILED
    leave = messages.DeregisterRequest(service_id=reply.service_id, secret=reply.secret)
    (answer,) = stub.Deregister(iter([leave]), metadata=mine)
    assert answer.status == messages.DeregisterReply.OK
    assert found(mine) == []


def test_nobody_knows_a_registry(directory: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COGMENT_DIRECTORY_ENDPOINT", f"grpc://localhost:{directory.port}")
    with pytest.raises(RegistryError, match="knows no such model registry"):
        RegistryClient("cogment://discover?x=y")
