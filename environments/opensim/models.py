"""Model files of other authors: which there are, where they lie, and how they get there.

They are no part of this project. `make opensim` (`python -m environments.opensim.models`) takes them out of the source
archive of osim-rl 3.0.11 on PyPI, of which nothing else is used. Their authors' licence is Creative Commons Attribution
3.0 (CC BY 3.0, in the files' own credits); the archive's metadata says Apache 2.0. A file is used only while its sha256
is the one below.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from environments.opensim.catalogue import complete_options
from helpers.data_root import cache_folder
from helpers.durable import write_atomically
from helpers.errors import ConfigurationError, UserError

ARCHIVE = (
    "https://files.pythonhosted.org/packages/df/5e/"
    "11c63ab01580e7764d5ee7a478bfca3ef1e97dbc0c93af753113f8067904/osim-rl-3.0.11.tar.gz"
)
ARCHIVE_SHA256 = "2b1875a311aae4c10b949b90feafa3b4081efc2cb19d9d88228abe1b67dffd22"
FOLDER_VARIABLE = "MILOZERO_OPENSIM_MODELS"
FETCH = "python -m environments.opensim.models"
LICENCE = "CC BY 3.0"
_LARGEST = 64 * 2**20  # bytes of an archive that is read at all


@dataclass(frozen=True)
class ModelFile:
    """A file of the archive.

    Attributes:
        name: of the file.
        sha256: of its bytes.
        credit: who made it, as its licence requires.
    """

    name: str
    sha256: str
    credit: str


_AUTHORS = "Ajay Seth, Carmichael Ong and others (Stanford)"
MODELS = {
    "gait9dof18musc": ModelFile(
        "gait9dof18musc.osim",
        "9003599da7b676ad98534a29d360849c30d80887ce09db758a4f94927d498aef",
        _AUTHORS,
    ),
    "gait14dof22musc": ModelFile(
        "gait14dof22musc_20170320.osim",
        "18ee7fb21806d97febbb1dc3545ad3cce8c83f51917d1f04f960c4b82057653e",
        _AUTHORS,
    ),
    "gait14dof22musc_planar": ModelFile(
        "gait14dof22musc_planar_20170320.osim",
        "f3cc3ba91c57c972c0b70aa2e060125a78830674d5becfc29ff0f6a5bc0e730a",
        _AUTHORS,
    ),
}


def models_folder() -> Path:
    """Where the files are looked for: $MILOZERO_OPENSIM_MODELS, else a folder of the user's cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).expanduser()
    return cache_folder() / "opensim"


def require_model(name: str) -> Path:
    """The file of a model.

    Raises:
        ConfigurationError: it is missing, or not the file that it was.
    """
    path = models_folder() / MODELS[name].name
    remedy = (
        f"Fetch it: make opensim, or: {FETCH}. Another folder: export {FOLDER_VARIABLE}=FOLDER."
    )
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigurationError(
            f"The model file {path} cannot be read: {error.strerror}.",
            remedy,
        ) from error
    if found != MODELS[name].sha256:
        raise ConfigurationError(
            f"The model file {path} was changed, or is of another version (sha256 {found[:12]}, "
            f"expected {MODELS[name].sha256[:12]}).",
            f"Remove it. {remedy}",
        )
    return path


def require_models_of(options: Mapping[str, Any], *, env_id: str) -> None:
    """Refuse a task whose model file is missing or another one; the arm has none.

    Raises:
        ConfigurationError: with how to fetch it.
    """
    name = complete_options(env_id, options).get("model")
    if name is not None:
        require_model(name)


def fetch_models(archive: Path | None = None) -> list[Path]:
    """Put the files into their folder; those that are there already.

    Args:
        archive: the source archive, where this machine has no network.

    Raises:
        ConfigurationError: the archive cannot be had, or is another one.
    """
    folder = models_folder()
    paths = [folder / each.name for each in MODELS.values()]
    if all(
        path.is_file() and _is(path, each)
        for path, each in zip(paths, MODELS.values(), strict=True)
    ):
        return paths
    content = _download() if archive is None else _read(archive)
    if hashlib.sha256(content).hexdigest() != ARCHIVE_SHA256:
        raise ConfigurationError(
            f"{archive or ARCHIVE} is not the archive that it should be (its sha256 differs).",
            f"Download {ARCHIVE} and give it: {FETCH} --archive FILE.",
        )
    with tarfile.open(fileobj=BytesIO(content)) as opened:
        for path, each in zip(paths, MODELS.values(), strict=True):
            member = opened.extractfile(f"osim-rl-3.0.11/osim/models/{each.name}")
            assert member is not None  # the archive's sha256 is known
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, member.read())
    return paths


def _is(path: Path, expected: ModelFile) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest() == expected.sha256


def _read(archive: Path) -> bytes:
    try:
        return archive.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{archive} cannot be read: {error.strerror}.",
            f"Download {ARCHIVE} and give its path.",
        ) from error


def _download() -> bytes:
    try:
        with urllib.request.urlopen(ARCHIVE, timeout=60) as answer:
            content: bytes = answer.read(_LARGEST)
    except (urllib.error.URLError, TimeoutError) as error:
        raise ConfigurationError(
            f"{ARCHIVE} cannot be downloaded: {getattr(error, 'reason', error)}.",
            f"Download it elsewhere and give it: {FETCH} --archive FILE.",
        ) from error
    return content


def main(argv: Sequence[str] | None = None) -> int:
    """The command: fetch, and say what there is and under which licence."""
    parser = argparse.ArgumentParser(
        prog=FETCH,
        description="Fetch OpenSim models of other authors.",
    )
    parser.add_argument(
        "--archive",
        type=Path,
        help="osim-rl-3.0.11.tar.gz, where there is no network",
    )
    arguments = parser.parse_args(argv)
    try:
        paths = fetch_models(arguments.archive)
    except UserError as error:
        print(f"{error.problem}\n{error.remedy}", file=sys.stderr)
        return error.exit_code
    for path, each in zip(paths, MODELS.values(), strict=True):
        print(f"{path}  ({LICENCE}, {each.credit})")
    print("next: python main.py --config=tasks/train_opensim_sac.yaml")
    return 0


if __name__ == "__main__":
    sys.exit(main())
