"""Cogment's own client against our registry; run by the Python of an environment that has it: ENDPOINT.

Prints a JSON object a line for what it saw; a wrong answer ends it with a traceback.
"""

import asyncio
import base64
import hashlib
import json
import os
import sys

import cogment
from cogment.grpc_metadata import GrpcMetadata


def repair() -> None:
    """SDK 2.10.1 loses its metadata where it has a directory's token: `add` returns nothing, and is assigned."""
    add = GrpcMetadata.add

    def add_and_return(self, *arguments):
        add(self, *arguments)
        return self

    GrpcMetadata.add = add_and_return


async def main(address: str) -> None:
    repair()
    context = cogment.Context(user_id="tester", cog_settings=None)
    endpoint = cogment.Endpoint(address) if address else None
    registry = await context.get_model_registry_v2(*([endpoint] if endpoint else []))

    stored = await registry.store_model("walker", b"first", {"note": "one"})
    published = await registry.publish_model("walker", b"x" * 5_242_880, {"note": "two"})
    assert (stored.iteration, published.iteration) == (1, 2), (stored, published)
    assert stored.hash == base64.b64encode(hashlib.sha256(b"first").digest()).decode(), stored.hash
    assert await registry.retrieve_model("walker") == b"x" * 5_242_880
    assert await registry.retrieve_model("walker", 1) == b"first"
    assert await registry.retrieve_model("walker", -2) == b"first"
    assert await registry.retrieve_model("walker", 9) is None
    try:
        await registry.retrieve_model("nobody")
    except cogment.CogmentError as error:
        said("unknown model", str(error))
    else:
        raise AssertionError("an unknown model was retrieved")

    for index in range(24):
        await registry.store_model(f"model_{index:02d}", bytes([index]))
    names = [each.name for each in await registry.list_models()]
    assert len(names) == 25, names
    said("models", names)

    for index in range(24):
        await registry.store_model("walker", f"again {index}".encode())
    infos = await registry.list_iterations("walker")
    assert [each.iteration for each in infos] == list(range(1, 27)), infos
    info = await registry.get_iteration_info("walker", 1)
    assert info.stored and info.size == 5 and dict(info.properties) == {"note": "one"}, vars(info)
    assert await registry.get_iteration_info("walker", 99) is None
    assert not (await registry.get_iteration_info("walker", 2)).stored

    await registry.update_model_info("walker", {"env": "Walker2d-v5"})
    info = await registry.get_model_info("walker")
    assert dict(info.properties) == {"env": "Walker2d-v5"}, info

    await updates(registry)
    await latest(registry)

    await registry.remove_model("walker")
    assert "walker" not in [each.name for each in await registry.list_models()]
    said("done", True)


async def updates(registry) -> None:
    seen = []
    watched = asyncio.Event()

    async def watch() -> None:
        async for info in registry.iteration_updates("walker"):
            seen.append(info.iteration)
            watched.set()
            if len(seen) == 4:
                return

    watching = asyncio.create_task(watch())
    for index in range(3):
        await asyncio.wait_for(watched.wait(), 20)
        watched.clear()
        await registry.publish_model("walker", f"new {index}".encode())
    await asyncio.wait_for(watching, 20)
    assert seen == [26, 27, 28, 29], seen
    said("updates", seen)


async def latest(registry) -> None:
    tracked = await registry.track_latest_model(
        "walker",
        deserialize_func=lambda data: data.decode(),
        initial_wait=10,
    )
    model, info = await tracked.get()
    assert (model, info.iteration) == ("new 2", 29), (model, info)
    await registry.store_model("walker", b"newest")
    await asyncio.wait_for(tracked.wait_for_newer(29), 20)
    model, info = await tracked.get()
    assert (model, info.iteration) == ("newest", 30), (model, info)
    said("latest", info.iteration)


def said(what: str, value: object) -> None:
    print(json.dumps({what: value}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("REGISTRY", "")))
