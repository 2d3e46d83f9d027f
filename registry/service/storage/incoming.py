"""The bytes of a new version on their way to the disk, and whether they are what was announced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping

from registry.service import faults
from registry.service.storage.archive import Upload
from registry.service.storage.layout import VersionInfo

_SYNC_BYTES = 64 << 20  # of an upload that is archived, between two syncs while it comes


class Incoming:
    """A new version on its way in.

    Args:
        upload: the file that it goes to.
        size: its bytes, as announced.
        archived: whether it shall stay.
        in_thread: runs what waits for the disk.
        keep: makes it a version, with a number.
    """

    def __init__(
        self,
        upload: Upload,
        size: int,
        *,
        archived: bool,
        in_thread: Callable[..., asyncio.Future[None]],
        keep: Callable[[Upload, VersionInfo], Coroutine[None, None, VersionInfo]],
    ) -> None:
        self._upload, self._size, self._archived = upload, size, archived
        self._in_thread, self._keep = in_thread, keep
        self._writing: asyncio.Future[None] | None = None
        self._syncing: asyncio.Future[None] | None = None
        self._given = self._synced = 0
        self._keeping: asyncio.Task[VersionInfo] | None = None

    async def write(self, data: bytes) -> None:
        """Append; the disk works while the next piece comes."""
        self._given += len(data)
        if self._given > self._size:
            raise faults.invalid(f"more than the {self._size} bytes of data_size were sent")
        await self._wait_for(self._writing)
        self._writing = self._in_thread(self._upload.write, data)
        is_free = self._syncing is None or self._syncing.done()
        if self._archived and is_free and self._given - self._synced > _SYNC_BYTES:
            await self._wait_for(self._syncing)
            self._synced = self._given
            self._syncing = self._in_thread(self._upload.sync)

    async def settle(self) -> None:
        """Return when what was given is written."""
        try:
            await self._wait_for(self._writing)
        finally:
            await self._wait_for(self._syncing)

    async def _wait_for(self, work: asyncio.Future[None] | None) -> None:
        if work is None:
            return
        await asyncio.wait([work])
        error = work.exception()
        if isinstance(error, OSError):
            raise faults.of_disk(error) from error
        if error is not None:
            raise error

    async def keep(
        self,
        *,
        created: int,
        data_hash: str,
        user_data: Mapping[str, str],
    ) -> VersionInfo:
        """Make it a version, if its size and hash are those that were announced."""
        await self.settle()
        if self._upload.size != self._size:
            raise faults.invalid(
                f"{self._upload.size} bytes were sent, and data_size is {self._size}",
            )
        found = self._upload.data_hash
        if data_hash and data_hash != found:
            raise faults.invalid(
                f"the data's hash is {found}, and data_hash is {faults.shown(data_hash)}",
            )
        announced = VersionInfo(
            self._upload.model_id,
            0,
            created or time.time_ns(),
            self._archived,
            found,
            self._size,
            dict(user_data),
        )
        self._keeping = asyncio.ensure_future(self._keep(self._upload, announced))
        return await asyncio.shield(self._keeping)

    async def is_kept(self) -> bool:
        """Whether it is a version, once that is decided: a client that leaves does not leave half of one."""
        if self._keeping is None:
            return False
        await asyncio.wait([self._keeping])
        return self._keeping.exception() is None
