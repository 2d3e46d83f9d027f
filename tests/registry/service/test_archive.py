"""The disk: Cogment's layout, restarts, full disks, links, and what others have left there."""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.errors import ConfigurationError
from registry.service.faults import Refusal
from registry.service.storage import archive as archive_module
from registry.service.storage.archive import Archive
from registry.service.storage.layout import VersionInfo
from registry.service.storage.store import Limits, Store

OF_COGMENT = {
    "my_model.yaml": "model_id: my_model\nuser_data:\n    type: my_model_type\n",
    "my_model-v000001.yaml": (
        "model_id: my_model\nversion_number: 1\ncreation_timestamp: 2021-10-01T20:10:05.10745462Z\n"
        'data_hash: jY0g3VkUK62ILPr2JuaW5g7uQi0EcJVZJu8IYp3yfhI=\ndata_size: 14\nuser_data:\n    a: "1"\n'
    ),
    "my_model-v000001.data": "chunk_1chunk_2",
}


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def with_store(
    folder: Path,
    work: Callable[[Store], Coroutine[Any, Any, Any]],
    **limits: int,
) -> Any:
    """What `work` makes of a store that is opened for it."""

    async def run() -> Any:
        store = Store(Archive(folder), Limits(**limits))
        await store.load()
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


async def put(store: Store, data: bytes, *, archived: bool, model: str = "model") -> VersionInfo:
    async with store.upload(model, len(data), archived=archived) as incoming:
        await incoming.write(data)
        return await incoming.keep(created=5, data_hash="", user_data={"k": "v"})


async def read(store: Store, number: int, model: str = "model") -> bytes:
    return b"".join([piece async for piece in store.read(store.version(model, number), 3)])


def test_an_archive_of_cogments_is_read_and_added_to(tmp_path: Path) -> None:
    write(tmp_path / "my_model", OF_COGMENT)

    async def work(store: Store) -> None:
        assert store.model("my_model").user_data == {"type": "my_model_type"}
        info = store.version("my_model", 1)
        assert (info.created, info.size, info.user_data) == (1633119005107454620, 14, {"a": "1"})
        assert await read(store, 1, "my_model") == b"chunk_1chunk_2"
        assert (await put(store, b"more", archived=True, model="my_model")).number == 2

    with_store(tmp_path, work)
    digest = base64.b64encode(hashlib.sha256(b"more").digest()).decode()
    text = (tmp_path / "my_model" / "my_model-v000002.yaml").read_text()
    assert text == (
        "model_id: my_model\nversion_number: 2\ncreation_timestamp: 1970-01-01T00:00:00.000000005Z\n"
        f"data_hash: {digest}\ndata_size: 4\nuser_data:\n  k: v\n"
    )
    assert (tmp_path / "my_model" / "my_model-v000002.data").read_bytes() == b"more"


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8")),
        st.text(st.characters(codec="utf-8")),
        max_size=4,
    ),
)
def test_user_data_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    user_data: dict[str, str],
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    held = Archive(folder)
    held.write_model("true", user_data)
    (found,) = held.scan()
    assert found.user_data == user_data
    held.close()


def test_numbers_are_not_handed_out_twice(tmp_path: Path) -> None:
    async def first(store: Store) -> None:
        await store.put_model("model", {})
        assert [
            (await put(store, b"x", archived=each)).number for each in (True, False, False)
        ] == [1, 2, 3]

    async def second(store: Store) -> None:
        assert store.model("model").latest == 1  # the transient ones are gone
        assert (await put(store, b"y", archived=False)).number == 4

    async def killed(store: Store) -> None:
        assert (await put(store, b"z", archived=False)).number == 5
        for model in store._models.values():
            model.reserved = 0  # as if it could not note the last number

    async def fourth(store: Store) -> None:
        assert (await put(store, b"y", archived=True)).number > 5

    for work in (first, second, killed, fourth):
        with_store(tmp_path, work)


def test_an_upload_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        await store.put_model("model", {})
        with pytest.raises(Refusal):
            async with store.upload("model", 10, archived=True) as incoming:
                await incoming.write(b"half")
                await incoming.keep(created=0, data_hash="", user_data={})
        assert (await put(store, b"whole", archived=True)).number == 1

    with_store(tmp_path, work)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "model-v000001.data",
        "model-v000001.yaml",
        "model.yaml",
    ]


def test_who_leaves_again_and_again_leaves_nothing(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        await store.put_model("model", {})
        before = len(os.listdir("/proc/self/fd"))
        for wait in (0.0, 0.0005, 0.002, 0.01) * 10:
            putting = asyncio.ensure_future(put(store, b"x" * 3_000_000, archived=True))
            await asyncio.sleep(wait)
            for _ in range(3):  # also while it tidies up
                putting.cancel()
                await asyncio.sleep(0)
            await asyncio.wait([putting])
        await asyncio.sleep(0.3)
        kept = store.versions("model", [], "", 0)[0]
        assert store._bytes == sum(info.size for info in kept)
        assert len(os.listdir("/proc/self/fd")) <= before + 1
        for info in kept:
            assert await read_whole(store, info) == b"x" * 3_000_000

    with_store(tmp_path, work)
    assert not list((tmp_path / "model").glob(".upload-*"))


async def read_whole(store: Store, info: VersionInfo) -> bytes:
    return b"".join([piece async for piece in store.read(info, 1 << 20)])


@pytest.mark.parametrize("at", ["write", "fsync", "rename"])
def test_a_full_disk_is_said_and_the_rest_stays(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: str,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def work(store: Store) -> None:
        await store.put_model("model", {})
        await put(store, b"there", archived=True)
        with monkeypatch.context() as patch, pytest.raises(Refusal) as refused:
            patch.setattr(archive_module.os, at, full)
            await put(store, b"lost", archived=True)
        assert (refused.value.code, "full" in refused.value.text) == ("RESOURCE_EXHAUSTED", True)
        assert await read(store, 1) == b"there"
        assert (await put(store, b"next", archived=True)).number == 2

    with_store(tmp_path, work)
    names = sorted(
        path.name for path in (tmp_path / "model").iterdir() if not path.name.startswith(".")
    )
    assert names == [
        "model-v000001.data",
        "model-v000001.yaml",
        "model-v000002.data",
        "model-v000002.yaml",
        "model.yaml",
    ]


def test_a_quota(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        await store.put_model("model", {})
        await put(store, b"12345", archived=True)
        with pytest.raises(Refusal) as refused:
            await put(store, b"123456", archived=False)
        assert refused.value.code == "RESOURCE_EXHAUSTED"
        await put(store, b"12345", archived=False)
        await store.delete_model("model")
        await store.put_model("model", {})
        await put(store, b"1234567890", archived=True)

    with_store(tmp_path, work, archive_bytes=10)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "my_model-v000001.data").unlink(),
        lambda folder: (folder / "my_model-v000001.data").write_text("short"),
        lambda folder: (folder / "my_model-v000001.yaml").write_text("data_size: ["),
        lambda folder: (folder / "my_model-v000001.yaml").write_text("- a list"),
        lambda folder: (folder / "my_model-v000001.yaml").unlink(),
        lambda folder: (folder / "my_model-v000001.yaml").write_text(
            "model_id: my_model\ndata_size: 14\n",
        ),
        lambda folder: replace_by_link(folder / "my_model-v000001.data"),
    ],
    ids=["no data", "short data", "no yaml", "a list", "no info", "half an info", "a link"],
)
def test_half_a_version_is_left_out_kept_and_its_number_not_used(
    tmp_path: Path,
    spoil: Callable[[Path], None],
) -> None:
    folder = tmp_path / "archive" / "my_model"
    write(folder, OF_COGMENT)
    spoil(folder)
    before = sorted(path.name for path in folder.iterdir())

    async def work(store: Store) -> None:
        assert store.versions("my_model", [], "", 0) == ([], "0")
        assert (await put(store, b"x", archived=True, model="my_model")).number == 2

    with_store(tmp_path / "archive", work)
    assert set(before) <= {path.name for path in folder.iterdir()}


def replace_by_link(path: Path) -> None:
    target = path.parent.parent.parent / "secret"
    target.write_text("chunk_1chunk_2")
    path.unlink()
    path.symlink_to(target)


def test_a_model_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside, {key: text for key, text in OF_COGMENT.items()})
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "my_model").symlink_to(outside)

    async def work(store: Store) -> None:
        with pytest.raises(Refusal):
            store.model("my_model")
        with pytest.raises(Refusal):
            await store.put_model("my_model", {"a": "b"})

    with_store(tmp_path / "archive", work)
    assert (outside / "my_model.yaml").read_text() == OF_COGMENT["my_model.yaml"]


def test_what_a_server_that_died_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "my_model"
    write(folder, OF_COGMENT | {".upload-abc": "half", ".transient-000002": "gone"})
    write(tmp_path / ".deleted-abc", {"x": "y"})
    with_store(tmp_path, lambda store: asyncio.sleep(0))
    assert sorted(path.name for path in folder.iterdir()) == sorted(OF_COGMENT)
    assert not (tmp_path / ".deleted-abc").exists()


def test_archives_that_cannot_be_served(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    newer = tmp_path / "newer"
    write(newer, {".format": "2\n"})
    for folder, word in ((file, "is a file"), (file / "below", "is a file"), (newer, "format '2'")):
        with pytest.raises(ConfigurationError, match=word):
            Archive(folder)
    first = Archive(tmp_path / "twice")
    with pytest.raises(ConfigurationError, match="Another model registry"):
        Archive(tmp_path / "twice")
    first.close()
    Archive(tmp_path / "twice").close()
    assert sorted(os.listdir(newer)) == [".format", ".lock"]


def test_what_a_newer_program_says_of_a_model_stays(tmp_path: Path) -> None:
    write(
        tmp_path / "my_model",
        OF_COGMENT | {"my_model.yaml": "model_id: my_model\nfuture: kept\n"},
    )
    held = Archive(tmp_path)
    held.write_model("my_model", {"a": "b"})
    text = (tmp_path / "my_model" / "my_model.yaml").read_text()
    assert "future: kept" in text and "a: b" in text
    held.close()
