"""A policy package as one file: a zip whose bytes follow from the package alone."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from helpers.errors import CheckpointError
from registry.package import contract

KIND = "milozero-policy-package"  # `format` in the user_data of a version
_TIME = (1980, 1, 1, 0, 0, 0)
_MOST_BYTES, _MOST_FILES = 4 << 30, 100


def pack(folder: Path) -> bytes:
    """The package of a folder."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for path in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(path.name, _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            file.writestr(entry, path.read_bytes())
    return target.getvalue()


def unpack(data: bytes, folder: Path) -> Path:
    """Write a package into a folder, which is made.

    Raises:
        CheckpointError: the data is no package.
        OSError: the folder exists, or cannot be written.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            entries = file.infolist()
            names = [each.filename for each in entries]
            if contract.CONTRACT not in names or len(names) > _MOST_FILES:
                raise _wrong("it has no contract.json")
            if any(
                Path(name).name != name or name in ("", ".", "..") or "\\" in name for name in names
            ):
                raise _wrong("it names files outside its folder")
            if sum(each.file_size for each in entries) > _MOST_BYTES:
                raise _wrong("it is too large")
            folder.mkdir(parents=True)
            for each in entries:
                (folder / each.filename).write_bytes(file.read(each))
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError) as error:
        raise _wrong(" ".join(str(error).split())[:100]) from error
    return folder


def _wrong(why: str) -> CheckpointError:
    return CheckpointError(
        f"The version is no policy package: {why}.",
        "Fetch it as a file: python -m registry get NAME FILE",
    )
