"""C kernels, built once on each kind of machine and kept; without a compiler, none.

A kernel never defines anything: it is a faster route to what a module says in torch, and tests hold the
two equal. `build` gives a library; who asks for it goes on in torch where it gives None.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from helpers.processor import machine, march

_log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parent.parent
FLAGS = (
    "-O3",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-shared",
    "-fPIC",
    f"-I{ROOT}",
)


@cache
def build(source: str, *, visible: bool = False) -> ctypes.CDLL | None:
    """The library of a C file, "agents/kernels/ppo.c", for this processor: cached or compiled now.

    Args:
        source: the file, from the repository's root.
        visible: whether code that is loaded later finds its functions by name.

    None where there is no C compiler or it fails; the log says so, once.
    """
    compiler = _compiler()
    if compiler is None:
        return None
    path = ROOT / source
    library = cache_folder() / f"{path.stem}-{_key(path, compiler)}.so"
    if not library.exists():
        trouble = _compile(compiler, path, library)
        if trouble:
            _log.warning("%s failed, gradient steps run in torch: %s", compiler, trouble)
            return None
    return ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL if visible else ctypes.DEFAULT_MODE)


@cache
def _compiler() -> str | None:
    compiler = shutil.which(os.environ.get("CC") or "gcc") or shutil.which("cc")
    if compiler is None:
        _log.warning("no C compiler here: gradient steps run in torch, several times slower")
    return compiler


def _key(source: Path, compiler: str) -> str:
    """Names what the machine code depends on: source, flags, compiler, processor."""
    version = subprocess.run([compiler, "--version"], capture_output=True, check=False).stdout
    headers = sorted(ROOT.glob("*/kernels/*.h"))
    sources = [path.read_bytes() for path in (source, *headers)]
    parts = [*sources, " ".join(FLAGS[:-1]).encode(), version, machine().encode()]  # of MILOZERO_MARCH too
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]


def cache_folder() -> Path:
    """Where what was compiled for this kind of machine is kept."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "milozero" / "kernels"


def _compile(compiler: str, source: Path, library: Path) -> str:
    """What went wrong, or "". Made beside the target and renamed: workers do not disturb each other."""
    try:
        library.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            made = Path(folder) / library.name
            command = [compiler, f"-march={march()}", *FLAGS, "-o", str(made), str(source), "-lm"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                return (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[0]
            made.rename(library)
    except OSError as error:
        return str(error)
    return ""


def aligned(count: int) -> np.ndarray:
    """An uninitialised float32 vector that starts on a 64-byte boundary."""
    raw = np.empty(count * 4 + 64, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + count * 4].view(np.float32)
