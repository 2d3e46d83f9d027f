"""Ids and requests that are wrong in every way, and clients that stall: nothing leaves the archive, nothing hangs.

python -m benchmarks.registry.hostile [--requests 10000] [--slow 200] [--seconds 60]
"""

from __future__ import annotations

import argparse
import random
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc

from helpers.machine.processor import cpu_model, instruction_set
from registry.client import RegistryClient
from registry.service.wire import model_registry_pb2 as messages
from registry.service.wire import model_registry_pb2_grpc
from tests.registry.service.running import Service, service

SERVICE = "/cogmentAPI.ModelRegistrySP/"
NASTY = (
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "/etc/passwd",
    "%2e%2e",
    "a\x00b",
    "x" * 300,
    "\u202e",
    ".hidden",
    "-rf",
    "a\nb",
    "model/../../x",
    "\\\\host\\share",
    "CON",
    "true",
    "null",
    "1a",
    "model ",
    "\ud7ff",
    "{{x}}",
    "$(id)",
)
UNARY = (
    "CreateOrUpdateModel",
    "DeleteModel",
    "RetrieveModels",
    "RetrieveVersionInfos",
    "Version",
    "Status",
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.registry.hostile",
        description=__doc__,
    )
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--slow", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args(argv)
    print(f"{cpu_model()}, {instruction_set()}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with service(
            "model_registry",
            root / "served",
            "--idle_seconds=2",
            "--log_level=error",
        ) as registry:
            before = {path for path in root.rglob("*") if "models" not in path.parts}
            codes = send(registry, arguments.requests)
            wrong = {path for path in root.rglob("*") if "models" not in path.parts} - before
            if wrong or "Traceback" in registry.output:
                raise SystemExit(
                    f"written outside the archive: {wrong}; log: {registry.output[-2000:]}",
                )
            told = ", ".join(f"{code} {count}" for code, count in codes.most_common())
            print(
                f"{arguments.requests} requests: {told}; nothing outside the archive, no traceback",
                flush=True,
            )
            serve_beside_slow(registry, arguments.slow, arguments.seconds)
            if "Traceback" in registry.output:
                raise SystemExit(registry.output[-2000:])
    return 0


def send(registry: Service, count: int) -> Counter[str]:
    """Requests that are generated; how each ended."""
    generator = random.Random(0)
    codes: Counter[str] = Counter()
    target = registry.endpoint.removeprefix("grpc://")
    with grpc.insecure_channel(target) as channel:
        stub = model_registry_pb2_grpc.ModelRegistrySPStub(channel)
        stub.CreateOrUpdateModel(
            messages.CreateOrUpdateModelRequest(model_info=messages.ModelInfo(model_id="model")),
        )
        for _ in range(count):
            codes[attempt(channel, stub, generator)] += 1
        stub.CreateOrUpdateModel(
            messages.CreateOrUpdateModelRequest(model_info=messages.ModelInfo(model_id="model")),
            timeout=10,
        )
    return codes


def attempt(channel: grpc.Channel, stub: Any, generator: random.Random) -> str:
    """One request; its status. One that is not answered in 20 s ends the benchmark."""
    kind = generator.randrange(4)
    try:
        if kind == 0:
            stub.CreateVersion(iter(list(chunks(generator))), timeout=20)
        elif kind == 1:
            name = generator.choice(UNARY)
            raw = channel.unary_unary(SERVICE + name)
            raw(generator.randbytes(generator.randrange(40)), timeout=20)
        elif kind == 2:
            info = messages.ModelInfo(
                model_id=text(generator),
                user_data={text(generator): text(generator)},
            )
            stub.CreateOrUpdateModel(
                messages.CreateOrUpdateModelRequest(model_info=info),
                timeout=20,
            )
        else:
            read(stub, generator)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and "stalled" not in (
            error.details() or ""
        ):
            raise SystemExit("a handler is stuck") from error
        return str(error.code().name)
    except ValueError:
        return "no request"  # protobuf itself does not take it
    return "OK"


def read(stub: Any, generator: random.Random) -> None:
    """A request that reads, or deletes."""
    name, number = text(generator), generator.randrange(-(2**31), 2**31)
    choice = generator.randrange(4)
    if choice == 0:
        stub.DeleteModel(messages.DeleteModelRequest(model_id=name), timeout=20)
    elif choice == 1:
        request = messages.RetrieveVersionDataRequest(model_id=name, version_number=number)
        list(stub.RetrieveVersionData(request, timeout=20))
    elif choice == 2:
        infos = messages.RetrieveVersionInfosRequest(
            model_id=name,
            version_numbers=[number],
            version_handle=text(generator),
            versions_count=generator.randrange(2**32),
        )
        stub.RetrieveVersionInfos(infos, timeout=20)
    else:
        models = messages.RetrieveModelsRequest(
            model_ids=[name] * generator.randrange(3),
            model_handle=generator.choice(["", "0", "7", "-1", "9" * 30, text(generator)]),
            models_count=generator.randrange(2**32),
        )
        stub.RetrieveModels(models, timeout=20)


def text(generator: random.Random) -> str:
    """A name, mostly a wrong one."""
    if generator.random() < 0.3:
        return "model"
    if generator.random() < 0.5:
        return generator.choice(NASTY)
    return "".join(chr(generator.randrange(1, 0xD7FF)) for _ in range(generator.randrange(8)))


def chunks(generator: random.Random) -> Iterator[Any]:
    """An upload, mostly a wrong one."""
    kind = messages.CreateVersionRequestChunk
    for _ in range(generator.randrange(4)):
        if generator.random() < 0.5:
            info = messages.ModelVersionInfo(
                model_id=text(generator),
                data_size=generator.choice([0, 1, 5, 2**63, 2**64 - 1]),
                data_hash=generator.choice(
                    ["", "jY0g3VkUK62ILPr2JuaW5g7uQi0EcJVZJu8IYp3yfhI=", text(generator)],
                ),
                archived=generator.random() < 0.5,
                creation_timestamp=generator.choice([0, 1, 2**63, 2**64 - 1]),
            )
            yield kind(header=kind.Header(version_info=info))
        else:
            yield kind(body=kind.Body(data_chunk=generator.randbytes(generator.randrange(8))))


def serve_beside_slow(registry: Service, count: int, seconds: float) -> None:
    """Other clients are served while `count` connections stall, within a handshake and within uploads."""
    host, port = "127.0.0.1", registry.port
    raw = []
    for index in range(count // 2):
        each = socket.create_connection((host, port))
        each.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[: index % 24])
        raw.append(each)
    over = threading.Event()
    stalled = [
        threading.Thread(target=stall, args=(registry, over), daemon=True)
        for _ in range(count - len(raw))
    ]
    for thread in stalled:
        thread.start()
    delays, until = [], time.monotonic() + seconds
    with RegistryClient(registry.endpoint) as client:
        while time.monotonic() < until:
            started = time.perf_counter()
            info = client.put("model", b"x" * 10_000)
            client.get("model", info.number)
            delays.append(time.perf_counter() - started)
            for each in raw[:: max(1, len(raw) // 8)]:
                try:
                    each.sendall(b"\0")
                except OSError:
                    pass  # it was cut
            time.sleep(0.05)
    over.set()
    delays.sort()
    print(
        f"{count} connections that stall, {seconds:.0f} s: {len(delays)} versions stored and fetched beside them, "
        f"{1000 * statistics.median(delays):.1f} ms (median), {1000 * delays[int(0.99 * len(delays))]:.1f} ms (99 %)",
    )


def stall(registry: Service, over: threading.Event) -> None:
    """Upload a byte, and wait for nothing; again when it is cut."""
    kind = messages.CreateVersionRequestChunk

    def slow() -> Iterator[Any]:
        info = messages.ModelVersionInfo(model_id="model", data_size=1000)
        yield kind(header=kind.Header(version_info=info))
        yield kind(body=kind.Body(data_chunk=b"x"))
        over.wait(30)

    options = (("grpc.use_local_subchannel_pool", 1),)
    with grpc.insecure_channel(
        registry.endpoint.removeprefix("grpc://"),
        options=options,
    ) as channel:
        stub = model_registry_pb2_grpc.ModelRegistrySPStub(channel)
        while not over.is_set():
            try:
                stub.CreateVersion(slow(), timeout=60)
            except grpc.RpcError:
                time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
