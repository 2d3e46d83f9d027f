"""Which compilers make native code here: the user's, the system's, or the one that the package ziglang carries."""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from helpers.durable import temporary_name
from helpers.machine.processor import march

NONE = "none"
REMEDY = "`pip install ziglang` brings one"
_ONE_THREAD = Path(__file__).resolve().parent / "kernels" / "one_thread"
# zig spells levels of x86-64 its own way, and has no OpenMP.
_WRAPPER = """#!/bin/sh
for word do
  shift
  case $word in
    -fopenmp|-lgomp) ;;
    -march=x86-64-v?) set -- "$@" "-mcpu=x86_64_v${word##*v}" ;;
    *) set -- "$@" "$word" ;;
  esac
done
exec %s -I%s "$@"
"""


def c_compiler() -> tuple[str, ...]:
    """The C compiler as the words of a command; empty where there is none.

    The first that is here: what CC names, gcc, cc, clang, `python -m ziglang cc`.
    """
    return _found(os.environ.get("CC"), "gcc", "cc", "clang") or _zig("cc")


def target_flag(compiler: tuple[str, ...]) -> str:
    """The flag that chooses the instruction set: `MILOZERO_MARCH`, else this processor's."""
    if _is_zig(compiler):
        return f"-mcpu={march().replace('-', '_')}"
    return f"-march={march()}" if platform.machine() == "x86_64" else "-mcpu=native"


@cache
def compiler_version(compiler: tuple[str, ...]) -> str:
    """What a compiler says of its version, all of it; "" where it cannot be started."""
    try:
        done = subprocess.run([*compiler, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout


def compiler_name() -> str:
    """The C compiler's name and version, "gcc 12.2.0", "clang 22.1.8 of zig"; "none" without one."""
    compiler = c_compiler()
    if not compiler:
        return NONE
    said = compiler_version(compiler)
    version = re.search(r"\d+(\.\d+)+", said)
    name = Path(compiler[-1]).name
    if "Free Software Foundation" in said:
        name = "gcc"
    elif "clang version" in said:
        name = "clang"
    words = [name, *([version[0]] if version else []), *(["of zig"] if _is_zig(compiler) else [])]
    return " ".join(words)


def name_cxx(folder: Path) -> None:
    """Name a C++ compiler to Inductor, by CXX, where it would find none; before torch is imported.

    Inductor looks for CXX, else g++. zig's is called by a script that is kept in `folder`; where
    that cannot be written, nothing is named, and Inductor says that it finds none.
    """
    if _found(os.environ.get("CXX") or "g++"):
        return
    other = _found("g++", "c++", "clang++")
    zig = _zig("c++")
    if other:
        os.environ["CXX"] = shlex.join(other)
    elif zig:
        path = folder / "zig-c++"
        try:
            _write_program(path, _WRAPPER % (shlex.join(zig), shlex.quote(str(_ONE_THREAD))))
        except OSError:
            return
        os.environ["CXX"] = str(path)


def _write_program(path: Path, text: str) -> None:
    """Write a script where it is not there already; others may call it at any moment."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.parent / temporary_name()
    temporary.write_text(text, encoding="utf-8")
    temporary.chmod(0o700)
    temporary.replace(path)


def _found(*commands: str | None) -> tuple[str, ...]:
    """The first command whose program is here, as words; empty where none is."""
    for command in commands:
        words = shlex.split(command or "")
        program = shutil.which(words[0]) if words else None
        if program:
            return (program, *words[1:])
    return ()


def _zig(language: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "ziglang", language) if find_spec("ziglang") else ()


def _is_zig(compiler: tuple[str, ...]) -> bool:
    return any(Path(word).name in ("zig", "ziglang") for word in compiler)
