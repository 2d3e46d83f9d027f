"""`python -m registry services model_registry|directory`: a service of Cogment's, until it is stopped.

python -m registry services model_registry --port=9000 --archive_dir=./models/
python -m registry services directory --port=9005
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.errors import DONE, ConfigurationError
from registry.service import endpoints, logs, options, serving
from registry.service.directory import SERVICE as DIRECTORY
from registry.service.directory import Directory
from registry.service.model_registry import (
    SAFE_CHUNK,
    SERVICES,
    ModelRegistry,
    Transfers,
    add_model_registry,
)
from registry.service.registration import Entry, Registration, own_address
from registry.service.storage.archive import LOG, Archive
from registry.service.storage.store import Limits, Store
from registry.service.wire import directory_pb2_grpc

_NAMES = {
    "model_registry": "model_registry",
    "registry": "model_registry",
    "directory": "directory",
}
_STOP_SECONDS = 5.0
_HELP = ("-h", "--help", "help")


def run(argv: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Serve what the words name, until SIGINT or SIGTERM; the exit code.

    Raises:
        ConfigurationError: an option cannot be used.
        StorageError: the archive or the log cannot.
    """
    name = _NAMES.get(argv[0]) if argv else None
    if name is None:
        raise ConfigurationError(
            f"There is no service {argv[0][:40]!r}." if argv else "services: no service is named.",
            "Give one: python -m registry services model_registry, or services directory",
        )
    known = options.MODEL_REGISTRY if name == "model_registry" else options.DIRECTORY
    if any(word in _HELP for word in argv[1:]):
        print(options.page(known, usage=f"python -m registry services {name}"))
        return DONE
    values, given = options.read(known, argv[1:], environment)
    listening = serving.listening_of(values, environment)
    logs.start(values["log_level"], values["log_file"])
    if name == "directory":
        asyncio.run(_serve_directory(values, listening))
    else:
        serving.keep_memory()
        chunk = values["sent_version_chunk_size"]
        if "sent_version_chunk_size" not in given:
            chunk = min(chunk, SAFE_CHUNK)
        asyncio.run(_serve_model_registry(values, listening, chunk))
    return DONE


async def _serve_model_registry(
    values: Mapping[str, Any],
    listening: serving.Listening,
    chunk: int,
) -> None:
    directory = _directory_of(values)
    archive = Archive(Path(values["archive_dir"]).expanduser())
    store = Store(
        archive,
        Limits(
            values["cache_max_items"],
            values["max_version_bytes"],
            values["max_archive_bytes"],
            values["max_models"],
        ),
    )
    registration = None
    try:
        await store.load()
        transfers = Transfers(chunk, values["upload_seconds"], values["idle_seconds"])
        servicer = ModelRegistry(store, transfers)
        server, port = await serving.start(
            listening,
            lambda each: add_model_registry(each, servicer),
            SERVICES,
        )
        if directory is not None:
            registration = Registration(directory, _entry_of(values, listening, port))
            registration.start()
        _say("model registry", listening, port)
        print(f"archive: {archive.folder}")
        endpoint = f"grpc{'s' if listening.credentials else ''}://localhost:{port}"
        print(f"next: python -m registry models --endpoint {endpoint}", flush=True)
        await _until_stopped()
        if registration is not None:
            await registration.stop()
        await server.stop(_STOP_SECONDS)
    finally:
        await store.close()


async def _serve_directory(values: Mapping[str, Any], listening: serving.Listening) -> None:
    servicer = Directory(values["check_seconds"])
    server, port = await serving.start(
        listening,
        lambda each: directory_pb2_grpc.add_DirectorySPServicer_to_server(servicer, each),
        (DIRECTORY,),
    )
    checks = asyncio.create_task(servicer.check())
    _say("directory", listening, port)
    print(
        f"next: python -m registry serve --directory_endpoint=grpc://localhost:{port}",
        flush=True,
    )
    await _until_stopped()
    checks.cancel()
    await server.stop(_STOP_SECONDS)


def _say(name: str, listening: serving.Listening, port: int) -> None:
    kind = "with TLS" if listening.credentials else "without TLS"
    guard = "a token" if listening.token else "no token"
    LOG.info("%s on %s:%d, %s, %s", name, listening.host, port, kind, guard)
    print(f"{name}: {listening.host}:{port}")


async def _until_stopped() -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(RuntimeError, ValueError):  # in another thread than the main one
            loop.add_signal_handler(each, stopped.set)
    await stopped.wait()
    LOG.info("stopping")


def _directory_of(values: Mapping[str, Any]) -> endpoints.Endpoint | None:
    text = values["directory_endpoint"]
    return endpoints.parse(text) if text else None


def _entry_of(values: Mapping[str, Any], listening: serving.Listening, port: int) -> Entry:
    properties, wrong = endpoints.properties_of(values["directory_registration_properties"])
    for item in wrong:
        LOG.warning("directory_registration_properties: %r is no name=value, left out", item)
    host, source = values["directory_registration_host"], "Self-Command_Line"
    if not host:
        source = "Self-Implicit"
        host = "127.0.0.1" if serving.is_loopback(listening.host) else own_address()
    properties |= {"__registration_source": source, "__version": "milozero"}
    return Entry(
        host,
        port,
        listening.credentials is not None,
        properties,
        values["directory_authentication_token"],
    )
