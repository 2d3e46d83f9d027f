"""Models and versions on the disk, as Cogment's own server lays them out (layout.py).

Beside its files, ours alone: `.upload-*` is under way, `.transient-*` are the bytes of a version that is not archived,
and `.last_number` says that none above it was handed out. A version's data is on the disk before its YAML file is.
Everything is opened below the archive's own folder, by names that were checked, and no link is followed.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import logging
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from helpers.errors import ConfigurationError, StorageError
from helpers.locks import Lock, take_lock
from registry.service.storage.layout import (
    TRANSIENT,
    VersionInfo,
    data_name,
    dump,
    dump_info,
    info_name,
    is_id,
    nanoseconds,
    parse,
    texts,
    transient_name,
)

LOG = logging.getLogger("registry.service")
FORMAT = 1
_FORMAT, _LOCK, _LAST = ".format", ".lock", ".last_number"
_UPLOAD, _DELETED = ".upload-", ".deleted-"


@dataclass
class Found:
    """A model that the archive holds.

    Attributes:
        last: no number above this was handed out.
    """

    model_id: str
    user_data: dict[str, str]
    versions: list[VersionInfo] = field(default_factory=list)
    last: int = 0


class Upload:
    """Bytes of a version on their way to the disk."""

    def __init__(self, model_id: str, name: str, descriptor: int) -> None:
        self.model_id, self.name, self.size = model_id, name, 0
        self._descriptor, self._hash = descriptor, hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Append.

        Raises:
            OSError: the disk is full or gone.
        """
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._hash.update(data)
        self.size += len(data)

    @property
    def data_hash(self) -> str:
        """SHA-256 of what was written, base64."""
        return base64.b64encode(self._hash.digest()).decode("ascii")

    def sync(self) -> None:
        """Return when the disk has it."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Archive:
    """The folder of an archive, held by one server at a time.

    Raises:
        ConfigurationError: another server has it, a newer program wrote it, or it is no folder.
        StorageError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lease: Lock | None = None
        try:
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except (FileExistsError, NotADirectoryError):
            raise ConfigurationError(
                f"archive_dir {folder} is a file, or lies in one.",
                "Give a folder: --archive_dir=data/models",
            ) from None
        except OSError as error:
            raise _unusable(folder, error) from error
        try:
            self._hold()
        except OSError as error:
            self.close()
            raise _unusable(folder, error) from error
        except ConfigurationError:
            self.close()
            raise

    def _hold(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._lock = os.open(_LOCK, flags, 0o640, dir_fd=self._root)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"Another model registry serves {self.folder}.",
                "Stop it, or give another --archive_dir.",
            ) from None
        except OSError:  # a file system without
            self._lease = take_lock(self.folder / _LOCK)
            if self._lease is None:
                raise ConfigurationError(
                    f"Another model registry serves {self.folder}.",
                    "Stop it, or give another --archive_dir.",
                ) from None
        with contextlib.suppress(FileNotFoundError):
            text = self._read(self._root, _FORMAT).strip()
            if text != str(FORMAT):
                raise ConfigurationError(
                    f"{self.folder} has format {text[:20]!r}, and this program knows {FORMAT}.",
                    "Use the program that wrote it, or give another --archive_dir.",
                )
            return
        self._write(self._root, _FORMAT, f"{FORMAT}\n")

    def close(self) -> None:
        """Let another server have it."""
        if self._lease is not None:
            self._lease.close()
        for name in ("_lock", "_root"):
            with contextlib.suppress(AttributeError, OSError):
                os.close(self.__dict__.pop(name))

    # Reading all

    def scan(self) -> list[Found]:
        """What is there, sorted by name. What a server that died left unfinished is removed or named in the log."""
        found = []
        for name in sorted(os.listdir(self._root)):
            if name.startswith(_DELETED):
                shutil.rmtree(self.folder / name, ignore_errors=True)
            if not is_id(name):
                continue
            try:
                with self._model(name) as model:
                    each = self._scan_model(name, model)
            except OSError as error:
                LOG.warning("%s is left out: %s", self.folder / name, error.strerror)
                continue
            if each is not None:
                found.append(each)
        return found

    def _scan_model(self, model_id: str, model: int) -> Found | None:
        names = set(os.listdir(model))
        for name in names:
            if name.startswith((_UPLOAD, TRANSIENT)):
                os.unlink(name, dir_fd=model)
        known = re.compile(re.escape(model_id) + r"-v(\d{6,10})\.(yaml|data)", re.ASCII)
        numbers = {int(match[1]) for match in map(known.fullmatch, names) if match}
        if f"{model_id}.yaml" not in names and not numbers:
            return None  # it was being made
        found = Found(model_id, self._user_data_of(model_id, model))
        for number in sorted(numbers):
            info = self._scan_version(model_id, model, number)
            if info is not None:
                found.versions.append(info)
        found.last = max([*numbers, self._last_of(model)])
        return found

    def _user_data_of(self, model_id: str, model: int) -> dict[str, str]:
        try:
            return texts(parse(self._read(model, f"{model_id}.yaml")).get("user_data"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            LOG.warning("%s/%s.yaml cannot be read: %s", model_id, model_id, _line(error))
            return {}

    def _scan_version(self, model_id: str, model: int, number: int) -> VersionInfo | None:
        info, data = info_name(model_id, number), data_name(model_id, number)
        try:
            content = parse(self._read(model, info))
            if content.get("transient") == "true":
                return None
            found = VersionInfo(
                model_id,
                number,
                nanoseconds(str(content["creation_timestamp"])),
                archived=True,
                data_hash=str(content["data_hash"]),
                size=int(content["data_size"]),
                user_data=texts(content.get("user_data")),
            )
            there = os.stat(data, dir_fd=model, follow_symlinks=False)
        except (OSError, ValueError, KeyError, yaml.YAMLError) as error:
            LOG.warning(
                "%s version %d is left out, it is incomplete: %s",
                model_id,
                number,
                _line(error),
            )
            return None
        if not stat.S_ISREG(there.st_mode) or there.st_size != found.size:
            LOG.warning(
                "%s version %d is left out: %d of %d bytes are there",
                model_id,
                number,
                there.st_size,
                found.size,
            )
            return None
        return found

    def _last_of(self, model: int) -> int:
        try:
            return int(self._read(model, _LAST))
        except (OSError, ValueError):
            return 0

    # Models

    def write_model(self, model_id: str, user_data: Mapping[str, str]) -> None:
        """Make a model, or replace its user_data; what else its file says stays."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(model_id, 0o750, dir_fd=self._root)
            os.fsync(self._root)
        with self._model(model_id) as model:
            content: dict[str, Any] = {}
            with contextlib.suppress(OSError, ValueError, yaml.YAMLError):
                content = parse(self._read(model, f"{model_id}.yaml"))
            content |= {"model_id": model_id, "user_data": dict(user_data)}
            self._write(model, f"{model_id}.yaml", dump(content))

    def remove_model(self, model_id: str) -> None:
        """Remove a model and all of its versions; at once, for everybody who looks."""
        name = f"{_DELETED}{secrets.token_hex(8)}"
        os.rename(model_id, name, src_dir_fd=self._root, dst_dir_fd=self._root)
        os.fsync(self._root)
        path = self.folder / name
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path, ignore_errors=True)

    def keep_last(self, model_id: str, number: int) -> None:
        """Remember that numbers up to this one are handed out."""
        with self._model(model_id) as model:
            self._write(model, _LAST, f"{number}\n")

    # Versions

    def begin(self, model_id: str) -> Upload:
        """A new upload."""
        name = f"{_UPLOAD}{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._model(model_id) as model:
            return Upload(model_id, name, os.open(name, flags, 0o640, dir_fd=model))

    def discard(self, upload: Upload) -> None:
        """Forget an upload that was not kept."""
        upload.close()
        with contextlib.suppress(OSError), self._model(upload.model_id) as model:
            os.unlink(upload.name, dir_fd=model)

    def keep(self, upload: Upload, info: VersionInfo) -> None:
        """Make an upload, which is synced where it is archived, a version; whole, or not at all."""
        with self._model(info.model_id) as model:
            if not info.archived:
                _move(model, upload.name, transient_name(info.number))
                return
            data, name = (
                data_name(info.model_id, info.number),
                info_name(
                    info.model_id,
                    info.number,
                ),
            )
            _move(model, upload.name, data)
            try:
                self._write(model, name, dump_info(info))
            except OSError:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=model)
                _move(model, data, upload.name)
                raise

    def open(self, info: VersionInfo) -> int:
        """A file descriptor of a version's data."""
        number = info.number
        name = data_name(info.model_id, number) if info.archived else transient_name(number)
        with self._model(info.model_id) as model:
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=model)

    def forget(self, info: VersionInfo) -> None:
        """Remove the bytes of a transient version."""
        with contextlib.suppress(OSError), self._model(info.model_id) as model:
            os.unlink(transient_name(info.number), dir_fd=model)

    # Files below the archive

    @contextlib.contextmanager
    def _model(self, model_id: str) -> Iterator[int]:
        """A descriptor of a model's folder, which is no link."""
        if not is_id(model_id):
            raise FileNotFoundError(2, "no such model", model_id)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(model_id, flags, dir_fd=self._root)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _read(self, folder: int, name: str) -> str:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        with open(os.open(name, flags, dir_fd=folder), encoding="utf-8") as file:
            return file.read()

    def _write(self, folder: int, name: str, text: str) -> None:
        """A small file, whole or not at all, and on the disk."""
        staged = f"{_UPLOAD}{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(staged, flags, 0o640, dir_fd=folder)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            _move(folder, staged, name)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(staged, dir_fd=folder)
            raise
        os.fsync(folder)


def _move(folder: int, source: str, target: str) -> None:
    os.rename(source, target, src_dir_fd=folder, dst_dir_fd=folder)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _unusable(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"archive_dir {folder} cannot be used: {error.strerror}.",
        "Free space or fix permissions there, or give another --archive_dir.",
    )
