"""Files and folders that are complete or absent, even after a power failure.

Each function returns when the disk has what it did. A failure is an `OSError` that names the path.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

TEMPORARY = ".tmp-"  # begins the names of what is not finished, for the next start to remove

Bytes = bytes | memoryview
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EACCES)


class Proof(TypedDict):
    """What a file holds: its size in bytes and the sha256 of its content."""

    bytes: int
    sha256: str


class UnprovenError(Exception):
    """A file that is not what it was written as; says why."""


def temporary_name() -> str:
    """A new name for what is under way."""
    return f"{TEMPORARY}{secrets.token_hex(8)}"


@contextmanager
def _open(path: Path, flags: int) -> Iterator[int]:
    """A descriptor of a file to write; what goes wrong with it names the file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o666)
    try:
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_file(path: Path, chunks: Iterable[Bytes]) -> Proof:
    """Write a new file, its bytes hashed on their way from memory, not as the disk gives them back."""
    digest, size = hashlib.sha256(), 0
    with _open(path, os.O_EXCL) as descriptor:
        for chunk in chunks:
            rest = memoryview(chunk)
            digest.update(rest)
            size += len(rest)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    return {"bytes": size, "sha256": digest.hexdigest()}


def write_parts(
    path: Path,
    parts: Sequence[tuple[int, Iterable[Bytes]]],
    *,
    end: int,
) -> list[Proof]:
    """Write parts of a file, each (place in bytes, content); what lies elsewhere stays, up to the `end`."""
    proofs: list[Proof] = []
    is_new = not path.exists()
    with _open(path, 0) as descriptor:
        for at, chunks in parts:
            digest, size = hashlib.sha256(), 0
            for chunk in chunks:
                rest = memoryview(chunk)
                digest.update(rest)
                while rest:
                    written = os.pwrite(descriptor, rest, at + size)
                    size, rest = size + written, rest[written:]
            proofs.append({"bytes": size, "sha256": digest.hexdigest()})
        if os.fstat(descriptor).st_size > end:
            os.ftruncate(descriptor, end)
        os.fsync(descriptor)
    if is_new:
        sync_folder(path.parent)
    return proofs


def read_file(path: Path, proof: Proof, *, at: int | None = None) -> bytearray:
    """The content of a file, or of a part of it that begins `at` this byte, read once and proven.

    Raises:
        UnprovenError: it is missing, unreadable, or not what the proof says.
    """
    content = bytearray(proof["bytes"])
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if at is not None:
                size = max(0, min(size - at, len(content)))
                file.seek(at)
            rest = memoryview(content)
            while rest and (count := file.readinto(rest)):
                rest = rest[count:]
    except OSError as error:
        raise UnprovenError(f"{path.name}: {error.strerror}") from error
    if size != len(content) or rest:
        raise UnprovenError(f"{path.name} has {size} bytes instead of {len(content)}")
    if hashlib.sha256(content).hexdigest() != proof["sha256"]:
        raise UnprovenError(f"{path.name} is altered: its sha256 is not the recorded one")
    return content


def make_folder(path: Path, *, at_once: bool = True) -> None:
    """Make a folder and those above it; without `at_once`, a later change beside it takes its name to the disk."""
    if not path.is_dir():
        make_folder(path.parent)
        os.mkdir(path)
        if at_once:
            sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Let the names in a folder reach the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: str | bytes, *, at_once: bool = True) -> None:
    """Replace a small file so that a reader, or a machine that stops, finds the old or the new one.

    Args:
        path: the file.
        content: all of it.
        at_once: whether it is on the disk when this returns. Without, a reader finds it whole, but a machine that
            stops may lose it, until `sync_file` and `sync_folder` have been called.

    Raises:
        OSError: the folder cannot be written, or the disk is full; the old file is still there.
    """
    data = content.encode() if isinstance(content, str) else content
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o666 & ~_umask())
            if at_once:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    if at_once:
        sync_folder(path.parent)


def make_once(path: Path, content: str) -> bool:
    """Make a file that is there whole or not at all, by one of many processes; False: it is there already.

    By a hard link. A file system without (some CIFS and FUSE) gets a symbolic link to a hidden file beside it,
    which is made by one of many, too.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    own = path.with_name(temporary_name())
    stays = False
    try:
        write_file(own, [content.encode()])
        try:
            os.link(own, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            hidden = path.with_name(f".{path.name}.{own.name.removeprefix(TEMPORARY)}")
            os.rename(own, hidden)
            own = hidden
            try:
                os.symlink(hidden.name, path)
            except FileExistsError:
                return False
            stays = True
    finally:
        if not stays:
            own.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def unmake(path: Path) -> None:
    """Remove what `make_once` has made, if it is still there."""
    hidden = path.parent / os.readlink(path) if path.is_symlink() else None
    path.unlink(missing_ok=True)
    if hidden is not None:
        hidden.unlink(missing_ok=True)


def sync_file(path: Path) -> None:
    """Let the content of a file reach the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def rename(source: Path, target: Path) -> None:
    """Give a file or folder another name in its folder."""
    os.rename(source, target)
    sync_folder(target.parent)


def replace_link(link: Path, name: str) -> None:
    """Let a symbolic link stand for `name` beside it; it always stands for the old or the new one."""
    if link.is_symlink() and os.readlink(link) == name:
        return
    temporary = link.with_name(temporary_name())
    os.symlink(name, temporary)
    os.replace(temporary, link)
    sync_folder(link.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder so that it is never seen half empty under its name."""
    doomed = path
    if not path.name.startswith(TEMPORARY):
        doomed = path.with_name(temporary_name())
        rename(path, doomed)
    shutil.rmtree(doomed)


def remove_unfinished(folder: Path) -> None:
    """Remove what a process that died left under a temporary name."""
    for path in folder.glob(f"{TEMPORARY}*"):
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path)
