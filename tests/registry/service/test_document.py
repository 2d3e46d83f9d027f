"""Every command of Cogment's document on its model registry, as it is written there, and by `buf curl`."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registry.service import options
from tests.patience import patience
from tests.registry.service.running import ROOT, Service, service

HASH = "jY0g3VkUK62ILPr2JuaW5g7uQi0EcJVZJu8IYp3yfhI="
MODEL = {"modelId": "my_model", "userData": {"type": "my_model_type"}}
OTHER = {"modelId": "my_other_model", "userData": {"type": "my_model_type"}}
SERVES = "cogment services model_registry --port=9000 --archive_dir=./models/"


def version(number: int) -> dict[str, Any]:
    return {
        "modelId": "my_model",
        "versionNumber": number,
        "archived": True,
        "dataHash": HASH,
        "dataSize": "14",
    }


MAKE = (
    r"""echo "{\"model_info\":{\"model_id\":\"my_model\",\"user_data\":{\"type\":\"my_model_type\"}}}" | """
    "grpcurl -plaintext -d @ localhost:9000 cogmentAPI.ModelRegistrySP/CreateOrUpdateModel"
)
CREATE = r"""echo "{\"header\":{\"version_info\":{
    \"model_id\":\"my_model\",\
    \"archived\":true,\
    \"data_size\":$(printf chunk_1chunk_2 | wc -c)\
  }}}\
  {\"body\":{\
    \"data_chunk\":\"$(printf chunk_1 | base64)\"\
  }}\
  {\"body\":{\
    \"data_chunk\":\"$(printf chunk_2 | base64)\"\
  }}" | grpcurl -plaintext -d @ localhost:9000 cogmentAPI.ModelRegistrySP/CreateVersion"""
# (the document's command, its reply without times), in an order that makes what it presupposes
STEPS = (
    (MAKE, {}),
    (MAKE.replace('my_model\\"', 'my_other_model\\"', 1), {}),
    (
        r"""echo "{}" | """
        "grpcurl -plaintext -d @ localhost:9000 cogmentAPI.ModelRegistrySP/RetrieveModels",
        {"modelInfos": [MODEL, OTHER], "nextModelHandle": "2"},
    ),
    (
        r"""echo "{\"model_ids\":[\"my_other_model\"]}" | """
        "grpcurl -plaintext -d @ localhost:9000 cogmentAPI.ModelRegistrySP/RetrieveModels",
        {"modelInfos": [OTHER], "nextModelHandle": "1"},
    ),
    (CREATE, {"versionInfo": version(1)}),
    (CREATE, {"versionInfo": version(2)}),
    (
        r"""echo "{\"model_id\":\"my_model\"}" | """
        "grpcurl -plaintext -d @ localhost:9000 cogmentAPI.ModelRegistrySP/RetrieveVersionInfos",
        {"versionInfos": [version(1), version(2)], "nextVersionHandle": "3"},
    ),
    (
        r"""echo "{\"model_id\":\"my_model\", \"version_numbers\":[1]}" | """
        "grpcurl -plaintext -d @ localhost:9000 cogmentAPI.ModelRegistrySP/RetrieveVersionInfos",
        {"versionInfos": [version(1)], "nextVersionHandle": "2"},
    ),
    (
        r"""echo "{\"model_id\":\"my_model\", \"version_numbers\":[-2]}" | """
        "grpcurl -plaintext -d @ localhost:9000 cogmentAPI.ModelRegistrySP/RetrieveVersionInfos",
        {"versionInfos": [version(1)], "nextVersionHandle": "2"},
    ),
    (
        r"""echo "{\"model_id\":\"my_model\", \"version_number\":1}" | """
        "grpcurl -plaintext -d @ localhost:9000 cogment.ModelRegistrySP/RetrieveVersionData",
        {"dataChunk": "Y2h1bmtfMWNodW5rXzI="},
    ),
    (
        r"""echo "{\"model_id\":\"my_model\"}" | """
        "grpcurl -plaintext -d @ localhost:9000 cogmentAPI.ModelRegistrySP/DeleteModel",
        {},
    ),
)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Service]:
    reflection = {"COGMENT_MODEL_REGISTRY_GRPC_REFLECTION": "1"}
    with service("model_registry", tmp_path, environment=reflection) as made:
        yield made


def run(command: str, registry: Service, programs: Path) -> Any:
    """The reply to a command of the document, which calls the grpcurl that lies in `programs`."""
    done = subprocess.run(
        ["bash", "-c", command],
        env=os.environ
        | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "GRPCURL_PORT": str(registry.port),
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=patience(20.0),
    )
    assert done.returncode == 0, done.stderr
    return without_times(json.loads(done.stdout))


def without_times(reply: Any) -> Any:
    if isinstance(reply, list):
        return [without_times(each) for each in reply]
    if isinstance(reply, dict):
        return {
            key: without_times(each) for key, each in reply.items() if key != "creationTimestamp"
        }
    return reply


def program(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "grpcurl"
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)
    return folder


def test_every_command_as_it_is_written(registry: Service, tmp_path: Path) -> None:
    shim = f'exec {shlex.quote(sys.executable)} -m tests.registry.service.grpcurl "$@"'
    programs = program(tmp_path / "programs", shim)
    for command, wanted in STEPS:
        assert run(command, registry, programs) == wanted, command
    listed = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.registry.service.grpcurl",
            "-plaintext",
            registry.endpoint[7:],
            "list",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cogmentAPI.ModelRegistrySP" in listed.stdout.split()
    assert "grpc.health.v1.Health" in listed.stdout.split()


def test_every_command_by_buf_curl(registry: Service, tmp_path: Path) -> None:
    buf = shutil.which("buf", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert buf is not None, "pip install -r requirements-dev.txt"
    call = f"exec {shlex.quote(buf)} curl --protocol grpc --http2-prior-knowledge -d @-"
    programs = program(tmp_path / "programs", f'{call} "http://127.0.0.1:$GRPCURL_PORT/${{@: -1}}"')
    for command, wanted in STEPS:
        assert run(command, registry, programs) == wanted, command


def test_the_documents_way_to_start_it(tmp_path: Path) -> None:
    words = shlex.split(SERVES.removeprefix("cogment "))
    assert words[:2] == ["services", "model_registry"]
    values, given = options.read(options.MODEL_REGISTRY, words[2:], {})
    assert values["port"] == 9000 and values["archive_dir"] == "./models/"
    assert given == {"port", "archive_dir"}


@pytest.mark.parametrize(
    ("name", "variable", "flag", "value", "default"),
    [
        ("port", "COGMENT_MODEL_REGISTRY_PORT", "--port=12000", 12000, 9002),
        (
            "grpc_reflection",
            "COGMENT_MODEL_REGISTRY_GRPC_REFLECTION",
            "--grpc_reflection",
            True,
            False,
        ),
        (
            "archive_dir",
            "COGMENT_MODEL_REGISTRY_ARCHIVE_DIR",
            "--archive_dir=./path/to/models/",
            "./path/to/models/",
            ".cogment/model_registry",
        ),
        (
            "cache_max_items",
            "COGMENT_MODEL_REGISTRY_VERSION_CACHE_MAX_ITEMS",
            "--cache_max_items=500",
            500,
            100,
        ),
        (
            "sent_version_chunk_size",
            "COGMENT_MODEL_REGISTRY_SENT_MODEL_VERSION_DATA_CHUNK_SIZE",
            "--sent_version_chunk_size=10000000",
            10_000_000,
            5_242_880,
        ),
        ("log_level", "COGMENT_LOG_LEVEL", "--log_level=debug", "debug", "info"),
        (
            "log_file",
            "COGMENT_LOG_FILE",
            "--log_file=./path/to/cogment.log",
            "./path/to/cogment.log",
            "",
        ),
        (
            "directory_endpoint",
            "COGMENT_DIRECTORY_ENDPOINT",
            "--directory_endpoint=grpc://foo:9005",
            "grpc://foo:9005",
            "",
        ),
        (
            "directory_authentication_token",
            "COGMENT_DIRECTORY_AUTHENTICATION_TOKEN",
            "--directory_authentication_token=GH670ploT",
            "GH670ploT",
            "",
        ),
        (
            "directory_registration_host",
            "COGMENT_MODEL_REGISTRY_DIRECTORY_REGISTRATION_HOST",
            "--directory_registration_host=foo.bar",
            "foo.bar",
            "",
        ),
        (
            "directory_registration_properties",
            "COGMENT_MODEL_REGISTRY_DIRECTORY_REGISTRATION_PROPERTIES",
            '--directory_registration_properties="Sim=20,hpp,mem=HIGH"',
            "Sim=20,hpp,mem=HIGH",
            "",
        ),
    ],
)
def test_its_options(name: str, variable: str, flag: str, value: Any, default: Any) -> None:
    def read(argv: list[str], environment: dict[str, str]) -> Any:
        return options.read(options.MODEL_REGISTRY, argv, environment)[0][name]

    assert read([], {}) == default
    assert read(shlex.split(flag), {}) == value
    text = re.sub(r".*?=|--grpc_reflection", "", flag.replace('"', ""), count=1) or "1"
    assert read([], {variable: text}) == value
    other = "5" if isinstance(value, int) and not isinstance(value, bool) else "error"
    if name == "grpc_reflection":
        assert read(["--grpc_reflection=0"], {variable: "1"}) is False
    else:
        assert read(shlex.split(flag), {variable: other}) == value  # a flag beats the environment


def test_levels_by_number() -> None:
    for number, level in enumerate(options.LEVELS):
        assert (
            options.read(options.MODEL_REGISTRY, [], {"COGMENT_LOG_LEVEL": str(number)})[0][
                "log_level"
            ]
            == level
        )
