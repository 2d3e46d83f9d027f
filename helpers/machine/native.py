"""C kernels, built once on each kind of machine and kept; without a compiler, none.

A kernel never defines anything: it is a faster route to what a module says in torch, and tests hold the
two equal. `build` gives a library; where it gives None, the caller uses torch.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from helpers import data_root
from helpers.machine.compilers import REMEDY, c_compiler, compiler_version, target_flag
from helpers.machine.processor import machine

_log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[2]
FLAGS = (
    "-O3",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-shared",
    "-fPIC",
    f"-I{ROOT}",
)


def build(source: str, *, visible: bool = False) -> ctypes.CDLL | None:
    """The library of a C file, "agents/on_policy/kernels/ppo.c", for this processor: cached or compiled now.

    For another `MILOZERO_MARCH` it is another one.

    Args:
        source: the file, from the repository's root.
        visible: whether code that is loaded later finds its functions by name.

    None where there is no C compiler or it fails; the log says so, once.

    Raises:
        ConfigurationError: of `MILOZERO_MARCH`.
    """
    return _built(source, visible, c_compiler(), machine())


@cache
def _built(
    source: str,
    visible: bool,
    compiler: tuple[str, ...],
    its_machine: str,
) -> ctypes.CDLL | None:
    if not compiler:
        _miss_compiler()
        return None
    path = ROOT / source
    library = cache_folder() / f"{path.stem}-{_key(path, compiler, its_machine)}.so"
    if not library.exists():
        trouble = _compile(compiler, path, library)
        if trouble:
            command = " ".join(compiler)
            _log.warning("%s failed, gradient steps run in torch: %s", command, trouble)
            return None
    return ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL if visible else ctypes.DEFAULT_MODE)


@cache
def _miss_compiler() -> None:
    _log.warning(
        "no C compiler here: gradient steps run in torch, several times slower; %s",
        REMEDY,
    )


def _key(source: Path, compiler: tuple[str, ...], its_machine: str) -> str:
    """Names what the machine code depends on: source, flags, compiler, processor."""
    headers = sorted(path for each in ("agents", "helpers") for path in (ROOT / each).rglob("*.h"))
    sources = [path.read_bytes() for path in (source, *headers)]
    texts = [" ".join(FLAGS[:-1]), compiler_version(compiler), its_machine]
    parts = [*sources, *(text.encode() for text in texts)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]


def cache_folder() -> Path:
    """Where what was compiled for this kind of machine is kept."""
    return data_root.cache_folder() / "kernels"


def _compile(compiler: tuple[str, ...], source: Path, library: Path) -> str:
    """What went wrong, or "". Made beside the target and renamed: workers do not disturb each other."""
    try:
        library.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            made = Path(folder) / library.name
            words = ["-o", str(made), str(source), "-lm"]
            command = [*compiler, target_flag(compiler), *FLAGS, *words]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
                return next((line for line in lines if "error" in line), lines[0])
            made.rename(library)
    except OSError as error:
        return str(error)
    return ""


def aligned_empty(count: int) -> np.ndarray:
    """An uninitialised float32 vector that starts on a 64-byte boundary."""
    raw = np.empty(count * 4 + 64, dtype=np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + count * 4].view(np.float32)
