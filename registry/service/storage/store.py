"""Models and their versions, as the service knows them: numbers, the newest, what is kept and what is evicted.

Runs in one event loop; what waits for the disk runs in threads. Cogment's rules, and where they lose something, better
ones: docs/model_registry_service.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from registry.service import faults
from registry.service.storage.archive import LOG, Archive, Upload
from registry.service.storage.incoming import Incoming
from registry.service.storage.layout import VersionInfo, is_id

_RESERVED = 64  # numbers of transient versions that are noted on the disk at a time
_LARGEST_NUMBER = 2**31 - 1  # requests name versions by an int32
_THREADS = 8
Result = TypeVar("Result")


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Attributes:
        cache_max_items: versions in the cache, archived ones counted; transient versions live there alone.
        version_bytes: of one version.
        archive_bytes: of all versions together; 0 for no limit.
        models: in the archive.
    """

    cache_max_items: int = 100
    version_bytes: int = 16 << 30
    archive_bytes: int = 0
    models: int = 10_000


@dataclass
class Model:
    """A model.

    Attributes:
        latest: the newest version, which negative numbers count from; 0 where there is none.
        last: no number above this was handed out.
        reserved: nor is one up to this, after a restart.
        changed: set, and replaced, when there is a newer version or the model is deleted.
    """

    model_id: str
    user_data: dict[str, str]
    versions: dict[int, VersionInfo] = field(default_factory=dict)
    latest: int = 0
    last: int = 0
    reserved: int = 0
    is_deleted: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def notify(self) -> None:
        """Wake who waits for a change."""
        self.changed.set()
        self.changed = asyncio.Event()


class Store:
    """All models of an archive.

    Args:
        archive: held by this process.
        limits: what is taken.
    """

    def __init__(self, archive: Archive, limits: Limits) -> None:
        self._archive, self._limits = archive, limits
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="archive")
        self._models: dict[str, Model] = {}
        self._cache: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._bytes = 0  # of versions, and of uploads as they were announced
        self._making = asyncio.Lock()

    async def load(self) -> None:
        """Read what the archive holds."""
        for each in await self._in_thread(self._archive.scan):
            versions = {info.number: info for info in each.versions}
            latest = max(versions, default=0)
            model = Model(each.model_id, each.user_data, versions, latest, each.last, each.last)
            self._models[each.model_id] = model
            self._bytes += sum(info.size for info in each.versions)

    async def close(self) -> None:
        """Note the numbers that were handed out, and let go of the archive."""
        for model in self._models.values():
            if model.reserved > model.last:
                with contextlib.suppress(OSError):
                    await self._in_thread(self._archive.keep_last, model.model_id, model.last)
        self._threads.shutdown()
        self._archive.close()

    # Models

    async def put_model(self, model_id: str, user_data: Mapping[str, str]) -> None:
        """Make a model, or replace its user_data."""
        if not is_id(model_id):
            raise faults.invalid(
                f'model_id "{faults.shown(model_id)}" is no name: a letter, then up to 199 letters, '
                "digits, _ or -",
            )
        async with self._making:
            known = self._models.get(model_id)
            if known is None and len(self._models) >= self._limits.models:
                raise faults.too_much(f"this registry takes {self._limits.models} models")
            await self._on_disk(self._archive.write_model, model_id, user_data)
            if known is None:
                self._models[model_id] = Model(model_id, dict(user_data))
            else:
                known.user_data = dict(user_data)

    async def delete_model(self, model_id: str) -> None:
        """Remove a model and its versions."""
        async with self._making:
            model = self.model(model_id)
            async with model.lock:
                await self._on_disk(self._archive.remove_model, model_id)
                del self._models[model_id]
                model.is_deleted = True
                for number, info in model.versions.items():
                    self._cache.pop((model_id, number), None)
                    self._bytes -= info.size
                model.notify()

    def model(self, model_id: str) -> Model:
        """The model of a name."""
        try:
            return self._models[model_id]
        except KeyError:
            raise faults.unknown_model(model_id) from None

    def models(self, names: Sequence[str], handle: str, count: int) -> tuple[list[Model], str]:
        """(models, the handle of the next page): those of `names` in their order, or all by name."""
        start = _offset(handle)
        wanted = [self.model(name) for name in names] if names else self._sorted()
        page = wanted[start : start + count] if count else wanted[start:]
        return page, str(start + len(page))

    def _sorted(self) -> list[Model]:
        return [self._models[name] for name in sorted(self._models)]

    # Versions

    def version(self, model_id: str, number: int) -> VersionInfo:
        """What is known of a version; -n is the n-th to last number."""
        model = self.model(model_id)
        wanted = model.latest + number + 1 if number < 0 else number
        try:
            info = model.versions[wanted]
        except KeyError:
            raise faults.unknown_version(model_id, number) from None
        self._touch(info)
        return info

    def versions(
        self,
        model_id: str,
        numbers: Sequence[int],
        handle: str,
        count: int,
    ) -> tuple[list[VersionInfo], str]:
        """(versions, the handle of the next page): those of `numbers` in their order, or all upwards."""
        start, model = _offset(handle), self.model(model_id)
        if numbers:
            wanted = numbers[start : start + count] if count else numbers[start:]
            page = [self.version(model_id, number) for number in wanted]
        else:
            there = sorted(number for number in model.versions if number >= start)
            page = [model.versions[number] for number in (there[:count] if count else there)]
            for info in page:
                self._touch(info)
        return page, str(page[-1].number + 1 if page else start)

    async def watch(self, model_id: str) -> AsyncIterator[VersionInfo]:
        """The newest version, and each time that there is a newer one, that; for ever."""
        model, sent = self.model(model_id), 0
        while True:
            changed = model.changed
            if model.is_deleted:
                raise faults.unknown_model(model_id)
            if model.latest > sent and model.latest in model.versions:
                sent = model.latest
                yield model.versions[sent]
                continue
            await changed.wait()

    async def read(self, info: VersionInfo, size: int) -> AsyncIterator[bytes]:
        """The bytes of a version, `size` at a time; one empty piece where it has none."""
        try:
            descriptor = await self._in_thread(self._archive.open, info)
        except FileNotFoundError:
            raise faults.unknown_version(info.model_id, info.number) from None
        following: asyncio.Future[bytes] | None = None
        try:
            left = info.size
            data = await self._in_thread(os.read, descriptor, size)
            while True:
                left -= len(data)
                following = (
                    self._in_thread(os.read, descriptor, size) if left > 0 and data else None
                )
                yield data
                if following is None:
                    break
                data = await following
            if left:
                raise faults.Refusal("DATA_LOSS", f"{left} bytes are missing on the disk")
        finally:
            if following is None or following.done():
                os.close(descriptor)
            else:  # a thread reads from it
                following.add_done_callback(lambda _: os.close(descriptor))

    @contextlib.asynccontextmanager
    async def upload(self, model_id: str, size: int, *, archived: bool) -> AsyncIterator[Incoming]:
        """What takes the bytes of a new version, `size` of them; without `keep`, nothing stays."""
        if model_id not in self._models:
            raise faults.Refusal("INTERNAL", f'no model "{faults.shown(model_id)}" found')
        if size > self._limits.version_bytes:
            raise faults.too_much(f"a version may have {self._limits.version_bytes} bytes")
        if self._limits.archive_bytes and self._bytes + size > self._limits.archive_bytes:
            raise faults.too_much(
                f"this registry takes {self._limits.archive_bytes} bytes together",
            )
        model = self._models[model_id]
        self._bytes += size
        beginning = self._in_thread(self._archive.begin, model_id)
        try:
            upload = await asyncio.shield(beginning)
        except BaseException as error:
            self._bytes -= size
            if isinstance(error, OSError):
                raise faults.of_disk(error) from error
            beginning.add_done_callback(self._forget_begun)
            raise
        incoming = Incoming(
            upload,
            size,
            archived=archived,
            in_thread=self._in_thread,
            keep=partial(self.keep, model),
        )
        try:
            yield incoming
        finally:  # in a task of its own: if this one is cancelled, no thread may write to a file that is closed
            await asyncio.shield(asyncio.ensure_future(self._end(upload, incoming, size)))

    async def _end(self, upload: Upload, incoming: Incoming, size: int) -> None:
        with contextlib.suppress(faults.Refusal):
            await incoming.settle()
        if await incoming.is_kept():
            upload.close()
            return
        self._bytes -= size
        await self._in_thread(self._archive.discard, upload)

    def _forget_begun(self, beginning: asyncio.Future[Upload]) -> None:
        if not beginning.cancelled() and beginning.exception() is None:
            self._archive.discard(beginning.result())

    async def keep(self, model: Model, upload: Upload, announced: VersionInfo) -> VersionInfo:
        """Give an upload its number; what is known of it then."""
        if announced.archived:
            await self._on_disk(upload.sync)
        async with model.lock:
            if model.is_deleted:
                raise faults.Refusal("INTERNAL", f'no model "{model.model_id}" found')
            number = model.last + 1
            if number > _LARGEST_NUMBER:
                raise faults.too_much("there are no numbers left for this model")
            info = VersionInfo(**{**announced.__dict__, "number": number})
            if not announced.archived and number > model.reserved:
                reserved = number + _RESERVED - 1
                await self._on_disk(self._archive.keep_last, model.model_id, reserved)
                model.reserved = reserved
            await self._on_disk(self._archive.keep, upload, info)
            model.versions[number] = info
            model.latest = model.last = number
            model.notify()
        self._touch(info)
        return info

    def _touch(self, info: VersionInfo) -> None:
        """Make it the most recent of the cache; what is transient and falls out is gone."""
        key = info.model_id, info.number
        self._cache[key] = None
        self._cache.move_to_end(key)
        while len(self._cache) > self._limits.cache_max_items:
            (model_id, number), _ = self._cache.popitem(last=False)
            model = self._models.get(model_id)
            evicted = model.versions.get(number) if model is not None else None
            if model is not None and evicted is not None and not evicted.archived:
                del model.versions[number]
                self._bytes -= evicted.size
                self._in_thread(self._archive.forget, evicted)
                LOG.debug("evicted %s version %d", model_id, number)

    # The disk

    def _in_thread(
        self,
        function: Callable[..., Result],
        *arguments: Any,
    ) -> asyncio.Future[Result]:
        return asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)

    async def _on_disk(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """In a thread, to its end also where the client goes away; the disk's errors as refusals."""
        future = self._in_thread(function, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                await asyncio.wait([future])
            raise
        except OSError as error:
            LOG.error("the archive: %s", error)
            raise faults.of_disk(error) from error


def _offset(handle: str) -> int:
    """Where a page starts; "" is the beginning."""
    if handle == "":
        return 0
    if not (handle.isascii() and handle.isdigit() and len(handle) <= 18):
        raise faults.invalid(f'handle "{faults.shown(handle)}" is no number')
    return int(handle)
