"""The processor and the instruction set that native code is built for.

`MILOZERO_MARCH` chooses: `native` (the default) is whatever this processor has; `x86-64-v2`, `x86-64-v3` and
`x86-64-v4` are the levels of the x86-64 psABI: SSE4.2, AVX2 with FMA, AVX-512. A lower level than the processor's
builds, tests and times what another machine would run. The libraries under torch are held to the same level.
"""

from __future__ import annotations

import os
import platform
import re
from functools import cache
from pathlib import Path

from helpers.errors import ConfigurationError

VARIABLE = "MILOZERO_MARCH"
NATIVE = "native"
# Levels of the x86-64 psABI: the name of the instruction set, and flags of /proc/cpuinfo that it takes.
LEVELS = {
    "x86-64-v2": ("SSE4.2", {"ssse3", "sse4_1", "sse4_2", "popcnt", "cx16"}),
    "x86-64-v3": ("AVX2", {"avx", "avx2", "fma", "bmi1", "bmi2", "f16c", "movbe"}),
    "x86-64-v4": ("AVX-512", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
}
# What holds the libraries under torch to a level: oneDNN, torch's own loops, MKL.
_HELD = {
    "x86-64-v2": {
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    },
    "x86-64-v3": {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
    "x86-64-v4": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
}
# AMD tells generations apart by family, and within a family by model.
_ZEN = (
    (26, 0x00, "zen5"),
    (25, 0xA0, "zen4"),
    (25, 0x60, "zen4"),
    (25, 0x20, "zen3"),
    (25, 0x10, "zen4"),
    (25, 0x00, "zen3"),
    (23, 0x30, "zen2"),
    (23, 0x00, "zen"),
)


def march() -> str:
    """What `MILOZERO_MARCH` asks for.

    Raises:
        ConfigurationError: it is no level, or one that this processor does not have.
    """
    asked = os.environ.get(VARIABLE, "").strip() or NATIVE
    if asked == NATIVE:
        return asked
    if asked not in LEVELS or platform.machine() != "x86_64":
        raise ConfigurationError(
            f"{VARIABLE}={asked} is no instruction set of this {platform.machine()} processor.",
            f"Unset it, or give one of: {', '.join([NATIVE, *levels()])}",
        )
    if asked not in levels():
        raise ConfigurationError(
            f"{VARIABLE}={asked} asks for {LEVELS[asked][0]}, which this processor does not have.",
            f"Unset it, or give one of: {', '.join([NATIVE, *levels()])}",
        )
    return asked


def levels() -> list[str]:
    """The x86-64 levels that this processor has, from the lowest up."""
    if platform.machine() != "x86_64":
        return []
    flags, found, needed = set(cpu_flags()), [], set()
    for name, (_, more) in LEVELS.items():
        needed |= more
        if not flags >= needed:
            break
        found.append(name)
    return found


def instruction_set() -> str:
    """The vector instructions that native code is built for: "AVX-512", "AVX2", "SSE4.2", "NEON".

    Raises:
        ConfigurationError: of `march`.
    """
    asked = march()
    if platform.machine() != "x86_64":
        return {"aarch64": "NEON", "arm64": "NEON"}.get(platform.machine(), platform.machine())
    level = asked if asked != NATIVE else (levels() or [""])[-1]
    return LEVELS[level][0] if level else "SSE2"


def hold_libraries() -> None:
    """Hold oneDNN, MKL and torch's own loops to `MILOZERO_MARCH`; before torch is imported.

    What the user's environment says already stays.
    """
    for name, value in _HELD.get(march(), {}).items():
        os.environ.setdefault(name, value)


def kind() -> str:
    """A short name of processor and instruction set, for file names: "zen5-avx512", "zen3-avx2"."""
    found = _cpuinfo()
    vendor, family = found.get("vendor_id", ""), int(found.get("cpu family", "0"))
    model = int(found.get("model", "0") or 0)
    name = platform.machine()
    if vendor == "AuthenticAMD":
        zens = [zen for its, least, zen in _ZEN if its == family and model >= least]
        name = zens[0] if zens else f"amd-{family}-{model}"
    elif vendor == "GenuineIntel":
        name = f"intel-{family}-{model}"
    elif platform.machine() == "aarch64":
        name = "arm"
    instructions = re.sub(r"[^a-z0-9]", "", instruction_set().lower())
    return f"{name}-{instructions}"


def cpu_model() -> str:
    """The processor's name as it gives it."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def cpu_flags() -> list[str]:
    """Its instruction sets, in the words of /proc/cpuinfo."""
    return (_cpuinfo().get("flags") or _cpuinfo().get("Features") or "").split()


def machine() -> str:
    """Processor and instruction sets: native code made for one may not run on another."""
    found = _cpuinfo()
    if not found:
        return " ".join(platform.uname())
    return f"{cpu_model()}\n{' '.join(cpu_flags())}\n{march()}"


@cache
def _cpuinfo() -> dict[str, str]:
    """The first processor's block of /proc/cpuinfo."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = [line.partition(":") for line in text.split("\n\n")[0].splitlines()]
    return {key.strip(): value.strip() for key, _, value in pairs}
