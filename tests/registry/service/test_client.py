"""Our client: transfers over a server that is killed, addresses, and the verbs of the command line."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.errors import CheckpointError, ConfigurationError
from policy import load_policy
from registry.cli import main
from registry.client import RegistryClient, RegistryError
from registry.package import packed
from registry.service import endpoints
from tests.patience import patience
from tests.registry.service.running import Service, service

SIZE = 24 << 20


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Service]:
    with service("model_registry", tmp_path / "served", "--log_level=warning") as made:
        yield made


def once_half(registry: Service, do: Callable[[], None]) -> Callable[[int, int], None]:
    """A progress that does something when half is over, once."""
    done = []

    def progress(now: int, total: int) -> None:
        if now * 2 > total and not done:
            done.append(now)
            do()

    return progress


def restart(registry: Service) -> Callable[[], None]:
    def do() -> None:
        registry.kill()
        registry.start()

    return do


def test_transfers_and_watching_go_on_over_a_killed_server(
    registry: Service,
    tmp_path: Path,
) -> None:
    data = os.urandom(SIZE)
    with RegistryClient(registry.endpoint, patience=patience(20.0)) as client:
        client.put_model("model")
        watching = client.watch("model")
        info = client.put(
            "model",
            data,
            archived=True,
            progress=once_half(registry, restart(registry)),
        )
        assert [each.number for each in client.versions("model")] == [info.number]
        assert next(watching) == info
        target = tmp_path / "fetched"
        client.download("model", target, progress=once_half(registry, restart(registry)))
        assert target.read_bytes() == data
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
        other = client.put("model", b"newer", archived=True)
        assert next(watching) == other  # and not the first a second time


def test_a_registry_that_is_away(tmp_path: Path) -> None:
    with (
        RegistryClient("grpc://localhost:1", patience=0.3) as client,
        pytest.raises(RegistryError) as away,
    ):
        client.model("model")
    assert away.value.code == "UNAVAILABLE"
    assert "does not answer" in away.value.problem


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost:9000",
        "http://localhost:9000",
        "grpc://localhost",
        "grpc://a:0",
        "grpc://a:99999",
        "grpc://a b:1",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigurationError):
        endpoints.parse(text)


@pytest.mark.parametrize(
    "text",
    ["grpc://a:1", "grpc://a:1/", "grpc://a:1/m/0", "grpc://a:1/m@other", "grpc://a:1/m/x"],
)
def test_what_is_no_address_of_a_model(text: str) -> None:
    with pytest.raises(ConfigurationError):
        endpoints.parse_model(text)


def test_addresses_of_models() -> None:
    assert endpoints.parse_model("grpc://a:1/m") == endpoints.ModelAddress("grpc://a:1", "m")
    assert endpoints.parse_model("grpcs://a:1/m/-2").number == -2
    assert endpoints.parse_model("grpc://a:1/m@best").kind == "best"
    assert endpoints.parse_discovery("cogment://discover?a=b&c=") == endpoints.Discovery(
        0,
        {"a": "b", "c": ""},
    )
    assert endpoints.parse_discovery("cogment://discover/service?__id=7") == endpoints.Discovery(7)
    assert endpoints.properties_of("Sim=20, hpp,,mem=HIGH,a=b=c,=d") == (
        {"Sim": "20", "hpp": "", "mem": "HIGH"},
        ["a=b=c", "=d"],
    )


def test_the_verbs(registry: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"data")
    at = ["--endpoint", registry.endpoint]

    def said(*words: str) -> str:
        assert main([*words, *at]) == 0, capsys.readouterr()
        return capsys.readouterr().out

    assert "no model is there" in said("models")
    assert "archived  a=b" in said("put", "walker", str(file), "--archived", "--user_data", "a=b")
    assert "walker" in said("models")
    assert json.loads(said("versions", "walker", "--json"))[0]["size"] == 4
    target = tmp_path / "back"
    assert f"file: {target}" in said("get", "walker", str(target))
    assert target.read_bytes() == b"data"
    assert main(["get", "walker", str(target), *at]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["rm", "walker", *at]) == 2
    assert "--yes" in capsys.readouterr().err
    assert "deleted: walker, 1 versions" in said("rm", "walker", "--yes")
    assert main(["versions", "walker", *at]) == 2
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize(
    "names",
    [["contract.json", "../out"], ["contract.json", "a/b"], ["other"], []],
)
def test_what_is_no_package(names: list[str], tmp_path: Path) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    for data in (target.getvalue(), b"no zip"):
        with pytest.raises(CheckpointError):
            packed.unpack(data, tmp_path / "package")
    assert sorted(tmp_path.iterdir()) == []


def test_a_version_that_is_no_policy(registry: Service) -> None:
    with RegistryClient(registry.endpoint) as client:
        client.put_model("model")
        client.put("model", b"no package")
    with pytest.raises(CheckpointError, match="no policy package"):
        load_policy(f"{registry.endpoint}/model")
    with pytest.raises(RegistryError, match="no version that is the best"):
        load_policy(f"{registry.endpoint}/model@best")
