"""Requests that are wrong, each with its status; limits; a token; TLS."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from registry.cli import main
from registry.client import RegistryClient, RegistryError
from registry.service.wire import model_registry_pb2 as messages
from registry.service.wire import model_registry_pb2_grpc
from tests.patience import patience
from tests.registry.service.running import Service, service

KIND = messages.CreateVersionRequestChunk
LIMITS = (
    "--max_version_bytes=1000000",
    "--max_models=20",
    "--idle_seconds=1",
    "--cache_max_items=10",
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service("model_registry", tmp_path_factory.mktemp("registry"), *LIMITS) as made:
        with RegistryClient(made.endpoint) as client:
            client.put_model("model", {"a": "b"})
            client.put("model", b"one", archived=True)
            client.put("model", b"two", archived=True)
            client.put_model("empty")
        yield made


@pytest.fixture
def stub(registry: Service) -> Iterator[Any]:
    with grpc.insecure_channel(registry.endpoint.removeprefix("grpc://")) as channel:
        yield model_registry_pb2_grpc.ModelRegistrySPStub(channel)


def code_of(call: Any, request: Any) -> str:
    """The status of a call."""
    try:
        answer = call(request, timeout=patience(10.0))
        list(answer) if hasattr(answer, "cancel") else None
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "%2e%2e",
        "a\0b",
        "x" * 300,
        "1a",
        "-a",
        "_a",
        "a.b",
        "a b",
        "ä",
        "a\n",
        "a\\b",
    ],
)
def test_what_is_no_name(stub: Any, registry: Service, name: str) -> None:
    info = messages.ModelInfo(model_id=name)
    request = messages.CreateOrUpdateModelRequest(model_info=info)
    assert code_of(stub.CreateOrUpdateModel, request) == "INVALID_ARGUMENT"
    assert code_of(stub.DeleteModel, messages.DeleteModelRequest(model_id=name)) == "NOT_FOUND"
    infos = messages.RetrieveVersionInfosRequest(model_id=name)
    assert code_of(stub.RetrieveVersionInfos, infos) == "NOT_FOUND"
    assert code_of(stub.CreateVersion, iter([header(model_id=name)])) == "INTERNAL"
    folder = registry.log.parent
    assert sorted(path.name for path in folder.iterdir()) == ["model_registry.log", "models"]


def header(**info: Any) -> Any:
    return KIND(header=KIND.Header(version_info=messages.ModelVersionInfo(**info)))


def body(data: bytes) -> Any:
    return KIND(body=KIND.Body(data_chunk=data))


DIGEST = base64.b64encode(hashlib.sha256(b"data").digest()).decode()
UPLOADS: dict[str, tuple[list[Any], str]] = {
    "nothing": ([], "INVALID_ARGUMENT"),
    "neither": ([KIND()], "INVALID_ARGUMENT"),
    "body first": ([body(b"data")], "INVALID_ARGUMENT"),
    "header without info": ([KIND(header=KIND.Header())], "INVALID_ARGUMENT"),
    "header twice": ([header(model_id="model"), header(model_id="model")], "INVALID_ARGUMENT"),
    "no model": ([header(model_id="nobody", data_size=4), body(b"data")], "INTERNAL"),
    "too few bytes": ([header(model_id="model", data_size=5), body(b"data")], "INVALID_ARGUMENT"),
    "too many bytes": ([header(model_id="model", data_size=3), body(b"data")], "INVALID_ARGUMENT"),
    "no size": ([header(model_id="model"), body(b"data")], "INVALID_ARGUMENT"),
    "wrong hash": (
        [header(model_id="model", data_size=4, data_hash="lies"), body(b"data")],
        "INVALID_ARGUMENT",
    ),
    "right hash": (
        [header(model_id="model", data_size=4, data_hash=DIGEST), body(b"da"), body(b"ta")],
        "OK",
    ),
    "no data": ([header(model_id="model")], "OK"),
    "an empty piece": ([header(model_id="model"), body(b"")], "OK"),
    "too large": ([header(model_id="model", data_size=2**64 - 1)], "RESOURCE_EXHAUSTED"),
}


@pytest.mark.parametrize("what", UPLOADS)
def test_uploads(stub: Any, registry: Service, what: str) -> None:
    pieces, wanted = UPLOADS[what]
    assert code_of(stub.CreateVersion, iter(pieces)) == wanted
    left = [path.name for path in registry.log.parent.rglob(".upload-*")]
    assert not left, left


REQUESTS: dict[str, list[tuple[Any, str]]] = {
    "RetrieveModels": [
        (messages.RetrieveModelsRequest(model_handle="x"), "INVALID_ARGUMENT"),
        (messages.RetrieveModelsRequest(model_handle="-1"), "INVALID_ARGUMENT"),
        (messages.RetrieveModelsRequest(model_ids=["model", "nobody"]), "NOT_FOUND"),
        (
            messages.RetrieveModelsRequest(model_ids=["model"], model_handle="9", models_count=7),
            "OK",
        ),
    ],
    "RetrieveVersionInfos": [
        (messages.RetrieveVersionInfosRequest(model_id="nobody"), "NOT_FOUND"),
        (messages.RetrieveVersionInfosRequest(model_id="model", version_numbers=[0]), "NOT_FOUND"),
        (
            messages.RetrieveVersionInfosRequest(model_id="model", version_numbers=[1, 999]),
            "NOT_FOUND",
        ),
        (
            messages.RetrieveVersionInfosRequest(model_id="model", version_numbers=[-999]),
            "NOT_FOUND",
        ),
        (
            messages.RetrieveVersionInfosRequest(model_id="model", version_handle="?"),
            "INVALID_ARGUMENT",
        ),
    ],
    "RetrieveVersionData": [
        (messages.RetrieveVersionDataRequest(model_id="model"), "NOT_FOUND"),
        (messages.RetrieveVersionDataRequest(model_id="nobody", version_number=1), "NOT_FOUND"),
        (messages.RetrieveVersionDataRequest(model_id="empty", version_number=-1), "NOT_FOUND"),
    ],
    "VersionUpdate": [(messages.VersionUpdateRequest(model_id="nobody"), "INVALID_ARGUMENT")],
}


@pytest.mark.parametrize("method", REQUESTS)
def test_requests(stub: Any, method: str) -> None:
    for request, wanted in REQUESTS[method]:
        assert code_of(getattr(stub, method), request) == wanted, request


def test_pages(stub: Any) -> None:
    page = messages.RetrieveModelsRequest(models_count=1)
    first = stub.RetrieveModels(page)
    assert [each.model_id for each in first.model_infos] == ["empty"]
    assert first.next_model_handle == "1"
    past = stub.RetrieveModels(messages.RetrieveModelsRequest(model_handle="7"))
    assert (list(past.model_infos), past.next_model_handle) == ([], "7")
    infos = messages.RetrieveVersionInfosRequest(
        model_id="model",
        versions_count=1,
        version_handle="2",
    )
    second = stub.RetrieveVersionInfos(infos)
    assert [each.version_number for each in second.version_infos] == [2]
    assert second.next_version_handle == "3"
    none = stub.RetrieveVersionInfos(messages.RetrieveVersionInfosRequest(model_id="empty"))
    assert (list(none.version_infos), none.next_version_handle) == ([], "0")


def test_an_empty_version_is_one_empty_piece(stub: Any, registry: Service) -> None:
    with RegistryClient(registry.endpoint) as client:
        number = client.put("model", b"").number
    request = messages.RetrieveVersionDataRequest(model_id="model", version_number=number)
    assert [each.data_chunk for each in stub.RetrieveVersionData(request)] == [b""]


def test_more_models_than_there_may_be(registry: Service) -> None:
    with RegistryClient(registry.endpoint) as client:
        for index in range(18):
            client.put_model(f"more_{index}")
        with pytest.raises(RegistryError) as refused:
            client.put_model("one_more")
        assert refused.value.code == "RESOURCE_EXHAUSTED"
        for index in range(18):
            client.delete_model(f"more_{index}")


def test_who_stalls_is_cut_and_leaves_nothing(stub: Any, registry: Service) -> None:
    over = threading.Event()

    def slow() -> Iterator[Any]:
        yield header(model_id="model", data_size=10)
        yield body(b"1")
        over.wait(patience(10.0))

    try:
        assert code_of(stub.CreateVersion, slow()) == "DEADLINE_EXCEEDED"
    finally:
        over.set()
    assert not list(registry.log.parent.rglob(".upload-*"))


def test_an_upload_that_drips_is_cut(tmp_path: Path) -> None:
    def drip() -> Iterator[Any]:
        yield header(model_id="model", data_size=1000)
        while True:
            yield body(b"1")
            time.sleep(0.1)

    with (
        service("model_registry", tmp_path, "--upload_seconds=1") as slow,
        grpc.insecure_channel(
            slow.endpoint.removeprefix("grpc://"),
        ) as channel,
    ):
        stub = model_registry_pb2_grpc.ModelRegistrySPStub(channel)
        info = messages.ModelInfo(model_id="model")
        stub.CreateOrUpdateModel(messages.CreateOrUpdateModelRequest(model_info=info))
        assert code_of(stub.CreateVersion, drip()) == "DEADLINE_EXCEEDED"
        assert "the upload takes too long" in slow.output
        assert not list(tmp_path.rglob(".upload-*"))


def test_a_port_in_use(
    registry: Service,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["serve", f"--port={registry.port}", f"--archive_dir={tmp_path / 'models'}"]
    assert main(words) == 2
    assert f"Port {registry.port} of 127.0.0.1 is in use." in capsys.readouterr().err


def test_transient_versions_fall_out_of_the_cache_and_archived_ones_do_not(
    registry: Service,
) -> None:
    with RegistryClient(registry.endpoint) as client:
        client.put_model("cached")
        first = client.put("cached", b"first")
        stored = client.put("cached", b"stored", archived=True)
        for _ in range(10):
            client.put("cached", b"later")
        assert client.get("cached", stored.number) == b"stored"
        with pytest.raises(RegistryError) as gone:
            client.get("cached", first.number)
        assert gone.value.code == "NOT_FOUND"
        numbers = [each.number for each in client.versions("cached")]
        assert numbers == [2, *range(4, 13)]
        assert client.version("cached", -1).number == 12
        client.delete_model("cached")


def test_each_version_update_is_newer(registry: Service) -> None:
    with RegistryClient(registry.endpoint) as client, RegistryClient(registry.endpoint) as other:
        client.put_model("watched")
        seen = []
        for number in range(1, 4):
            client.put("watched", bytes([number]))
            if number == 1:
                watching = other.watch("watched")
            seen.append(next(watching).number)
        assert seen == [1, 2, 3]
        client.delete_model("watched")
        with pytest.raises(RegistryError) as gone:
            next(watching)
        assert gone.value.code == "NOT_FOUND"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(chain, key) for localhost, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    chain, key = folder / "chain.pem", folder / "key.pem"
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(private, hashes.SHA256())
    )
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    return chain, key


def test_tls_and_a_token(
    certificate: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain, key = certificate
    token = tmp_path / "token"
    token.write_text("a secret\n")
    options = (f"--tls_cert={chain}", f"--tls_key={key}", f"--token_file={token}", "--host=0.0.0.0")
    with service("model_registry", tmp_path / "served", *options) as registry:
        monkeypatch.setenv("MILOZERO_REGISTRY_CA", str(chain))
        endpoint = f"grpcs://localhost:{registry.port}"
        with RegistryClient(endpoint, token="a secret") as client:
            client.put_model("model")
            assert client.put("model", b"data").number == 1
        for wrong in ("", "another"):
            with (
                RegistryClient(endpoint, token=wrong) as client,
                pytest.raises(RegistryError) as refused,
            ):
                client.put("model", b"data")
            assert refused.value.code == "UNAUTHENTICATED"
        with (
            RegistryClient(registry.endpoint, patience=0.5) as client,
            pytest.raises(RegistryError) as refused,
        ):
            client.put_model("plain")
        assert refused.value.code == "UNAVAILABLE"
        assert "a secret" not in registry.output


def test_many_creators_have_numbers_of_their_own(registry: Service) -> None:
    numbers: list[int] = []
    with RegistryClient(registry.endpoint) as client:
        client.put_model("shared")

        def create(index: int) -> None:
            with RegistryClient(registry.endpoint) as mine:
                numbers.extend(
                    mine.put("shared", b"x", archived=bool(index % 2)).number for _ in range(5)
                )

        threads = [threading.Thread(target=create, args=(index,)) for index in range(16)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        client.delete_model("shared")
    assert sorted(numbers) == list(range(1, 81))
