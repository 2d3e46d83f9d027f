"""What a registry carries: many creators, large versions, many subscribers; and how fast, beside a bare gRPC stream.

    python -m benchmarks.registry.load [creators memory throughput subscribers] [--rounds 5] [--size 256]

throughput: creating and retrieving a version of --size MiB over loopback, against a bare gRPC server that takes, or
gives, the same bytes in the same messages and computes their SHA-256 one after the other; in turn, medians.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from helpers.machine.processor import cpu_model, instruction_set
from registry.client import RegistryClient
from registry.service.serving import keep_memory
from registry.service.wire import model_registry_pb2, model_registry_pb2_grpc
from tests.registry.service.running import Service, service

CHUNK = 2 << 20


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.registry.load", description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=256, help="MiB")
    arguments = parser.parse_args(argv)
    print(f"{cpu_model()}, {instruction_set()}")
    keep_memory()
    for name in arguments.parts:
        with (
            tempfile.TemporaryDirectory() as folder,
            service(
                "model_registry",
                Path(folder),
                "--log_level=warning",
                "--cache_max_items=4000",
            ) as registry,
        ):
            PARTS[name](registry, arguments)
    return 0


def creators(registry: Service, arguments: argparse.Namespace) -> None:
    """64 creators of one model, 50 versions each."""
    numbers: list[int] = []
    with RegistryClient(registry.endpoint) as client:
        client.put_model("model")

    def create(index: int) -> None:
        with RegistryClient(registry.endpoint) as client:
            for each in range(50):
                info = client.put("model", f"{index} {each}".encode(), archived=each % 2 == 0)
                numbers.append(info.number)

    started = time.perf_counter()
    with ThreadPoolExecutor(64) as pool:
        list(pool.map(create, range(64)))
    seconds = time.perf_counter() - started
    if sorted(numbers) != list(range(1, 3201)):
        raise SystemExit("numbers are missing or double")
    print(
        f"creators: 64 x 50 versions, numbers 1 to 3200, each once; {3200 / seconds:,.0f} versions/s",
    )


def memory(registry: Service, arguments: argparse.Namespace) -> None:
    """An upload and a download of 1 GiB."""
    with tempfile.TemporaryDirectory() as folder, RegistryClient(registry.endpoint) as client:
        path = Path(folder) / "data"
        piece = bytes(range(256)) * 4096
        with path.open("wb") as file:
            for _ in range(1024):
                file.write(piece)
        client.put_model("model")
        before = peak(registry)
        client.put("model", path, archived=True)
        after = peak(registry)
        client.download("model", Path(folder) / "back")
    print(
        f"memory: 1 GiB stored with a peak of {after:.0f} MiB (before it {before:.0f}), "
        f"fetched with {peak(registry):.0f} MiB",
    )


def peak(registry: Service) -> float:
    """Largest resident memory of the server so far, MiB."""
    status = Path(f"/proc/{registry.process.pid}/status").read_text()
    line = next(each for each in status.splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def throughput(registry: Service, arguments: argparse.Namespace) -> None:
    """Creating and retrieving, against a bare stream."""
    size = arguments.size << 20
    data = bytes(range(256)) * (size // 256)
    with RegistryClient(registry.endpoint) as client, bare(data) as port:
        client.put_model("model")
        stub = model_registry_pb2_grpc.ModelRegistrySPStub(
            grpc.insecure_channel(registry.endpoint.removeprefix("grpc://")),
        )
        other = model_registry_pb2_grpc.ModelRegistrySPStub(
            grpc.insecure_channel(f"127.0.0.1:{port}"),
        )
        works: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "create": (lambda: create(stub, data), lambda: create(other, data)),
            "create, archived": (
                lambda: create(stub, data, archived=True),
                lambda: create(other, data),
            ),
            "retrieve": (lambda: retrieve(stub), lambda: retrieve(other)),
        }
        for name, (ours, theirs) in works.items():
            ratios, speeds = [], []
            for index in range(arguments.rounds):
                if (
                    name != "retrieve"
                ):  # memory of a virtual machine that nothing has used yet is slow to write to
                    client.delete_model("model")
                    client.put_model("model")
                pair = (ours, theirs) if index % 2 else (theirs, ours)
                taken = {each: measure(each) for each in pair}
                ratios.append(taken[theirs] / taken[ours])
                speeds.append((size / taken[ours], size / taken[theirs]))
            mine, bare_ = (statistics.median(each) / 2**20 for each in zip(*speeds, strict=True))
            print(
                f"{name}: {statistics.median(ratios):.2f} of a bare stream with SHA-256 "
                f"({min(ratios):.2f} to {max(ratios):.2f}); {mine:,.0f} and {bare_:,.0f} MiB/s",
                flush=True,
            )


def measure(work: Callable[[], None]) -> float:
    """Seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def create(stub: Any, data: bytes, *, archived: bool = False) -> None:
    """Send a version."""
    kind = model_registry_pb2.CreateVersionRequestChunk

    def chunks() -> Iterator[Any]:
        info = model_registry_pb2.ModelVersionInfo(
            model_id="model",
            data_size=len(data),
            archived=archived,
        )
        yield kind(header=kind.Header(version_info=info))
        for start in range(0, len(data), CHUNK):
            yield kind(body=kind.Body(data_chunk=data[start : start + CHUNK]))

    stub.CreateVersion(chunks())


def retrieve(stub: Any) -> None:
    """Fetch a version."""
    request = model_registry_pb2.RetrieveVersionDataRequest(model_id="model", version_number=-1)
    for _ in stub.RetrieveVersionData(request):
        pass


class Bare(model_registry_pb2_grpc.ModelRegistrySPServicer):
    """Takes and gives bytes, computes their SHA-256, and keeps nothing."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def CreateVersion(self, chunks: Any, context: Any) -> Any:
        proof = hashlib.sha256()
        async for each in chunks:
            if each.WhichOneof("msg") == "body":
                proof.update(each.body.data_chunk)
        return model_registry_pb2.CreateVersionReply()

    async def RetrieveVersionData(self, request: Any, context: Any) -> None:
        proof = hashlib.sha256()
        for start in range(0, len(self._data), CHUNK):
            piece = self._data[start : start + CHUNK]
            proof.update(piece)
            await context.write(model_registry_pb2.RetrieveVersionDataReplyChunk(data_chunk=piece))


class bare:
    """A bare server in a process of its own; its port."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __enter__(self) -> int:
        import multiprocessing

        self._ours, theirs = multiprocessing.get_context("spawn").Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(
            target=_serve_bare,
            args=(theirs, len(self._data)),
            daemon=True,
        )
        self._process.start()
        return int(self._ours.recv())

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()


def _serve_bare(pipe: Any, size: int) -> None:
    keep_memory()

    async def serve() -> None:
        server = grpc.aio.server()
        servicer = Bare(bytes(range(256)) * (size // 256))
        model_registry_pb2_grpc.add_ModelRegistrySPServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        pipe.send(port)
        await server.wait_for_termination()

    asyncio.run(serve())


def subscribers(registry: Service, arguments: argparse.Namespace) -> None:
    """100 subscribers of a model hear of 50 new versions."""
    with RegistryClient(registry.endpoint) as client:
        client.put_model("model")
    delays = asyncio.run(_subscribe(registry.endpoint.removeprefix("grpc://")))
    delays.sort()
    print(
        f"subscribers: 100 heard of {len(delays) // 100} versions; from its creation's first byte "
        f"{1000 * statistics.median(delays):.1f} ms "
        f"(median), {1000 * delays[int(0.99 * len(delays))]:.1f} ms (99 %)",
    )


async def _subscribe(target: str) -> list[float]:
    times: dict[int, float] = {}
    heard: list[tuple[int, float]] = []
    ready = asyncio.Semaphore(0)

    async def listen() -> None:
        async with grpc.aio.insecure_channel(
            target,
            options=(("grpc.use_local_subchannel_pool", 1),),
        ) as channel:
            stub = model_registry_pb2_grpc.ModelRegistrySPStub(channel)
            request = model_registry_pb2.VersionUpdateRequest(model_id="model")
            async for reply in stub.VersionUpdate(request):
                number = reply.version_info.version_number
                heard.append((number, time.perf_counter()))
                ready.release()
                if number == 51:
                    return

    listening = [asyncio.create_task(listen()) for _ in range(100)]
    async with grpc.aio.insecure_channel(target) as channel:
        stub = model_registry_pb2_grpc.ModelRegistrySPStub(channel)
        kind = model_registry_pb2.CreateVersionRequestChunk
        for number in range(1, 52):
            info = model_registry_pb2.ModelVersionInfo(model_id="model", data_size=1)
            times[number] = time.perf_counter()
            await stub.CreateVersion(
                iter(
                    [
                        kind(header=kind.Header(version_info=info)),
                        kind(body=kind.Body(data_chunk=b"x")),
                    ],
                ),
            )
            for _ in range(100):
                await ready.acquire()
    await asyncio.gather(*listening)
    return [when - times[number] for number, when in heard if number > 1]


PARTS: dict[str, Callable[[Service, argparse.Namespace], None]] = {
    "creators": creators,
    "memory": memory,
    "throughput": throughput,
    "subscribers": subscribers,
}

if __name__ == "__main__":
    sys.exit(main())
