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
_CPUINFO = Path("/proc/cpuinfo")
# Levels of the x86-64 psABI: the name of the instruction set, and flags of /proc/cpuinfo that it takes.
LEVELS = {
    "x86-64-v2": ("SSE4.2", {"pni", "ssse3", "sse4_1", "sse4_2", "popcnt", "cx16", "lahf_lm"}),
    "x86-64-v3": ("AVX2", {"avx", "avx2", "fma", "bmi1", "bmi2", "abm", "f16c", "movbe"}),
    "x86-64-v4": ("AVX-512", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
}
# Without a level: the widest vectors that a compiler finds.
_VECTORS = (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX"), ("sse4_2", "SSE4.2"))
_ARM = ("aarch64", "arm64")
# Flags that change what a compiler writes; a kernel names others anew with each version of its own.
_WRITTEN = re.compile(r"(s?sse|pni|avx|amx|apx|fma|bmi|gfni|adx)|(abm|f16c|movbe|popcnt|cx16)$")
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
# AMD numbers its generations by family, and within a family by model: each name from its least model on.
_AMD = {
    23: ((0x00, "zen"), (0x30, "zen2"), (0x50, "zen"), (0x60, "zen2")),
    25: ((0x00, "zen3"), (0x10, "zen4"), (0x20, "zen3"), (0x60, "zen4")),
    26: ((0x00, "zen5"), (0x50, "zen6"), (0x60, "zen5"), (0x80, "zen6")),
}
# Intel's of family 6, by model: those of servers, and what still runs of older ones.
_INTEL = {
    63: "haswell",
    79: "broadwell",
    85: "skylake",
    106: "icelake",
    143: "sapphirerapids",
    173: "graniterapids",
    207: "emeraldrapids",
}
_NEOVERSE = {"0xd0c": "n1", "0xd40": "v1", "0xd49": "n2", "0xd4f": "v2", "0xd83": "v3"}


def march(*, elsewhere: bool = False) -> str:
    """What `MILOZERO_MARCH` asks for.

    Args:
        elsewhere: whether it is for another machine, which may have any level.

    Raises:
        ConfigurationError: it is no level, or one that this processor does not have.
    """
    asked = os.environ.get(VARIABLE, "").strip() or NATIVE
    known = [NATIVE, *(LEVELS if elsewhere else levels())]
    if asked in known:
        return asked
    if asked in LEVELS:
        problem = f"needs {LEVELS[asked][0]}, which this processor does not support."
    else:
        problem = f"is not an instruction set of {'x86-64' if elsewhere else platform.machine()}."
    raise ConfigurationError(
        f"{VARIABLE}={asked} {problem}",
        f"Unset it, or set it to one of: {', '.join(known)}.",
    )


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
    if asked != NATIVE:
        return LEVELS[asked][0]
    if platform.machine() != "x86_64":
        return "NEON" if platform.machine() in _ARM else platform.machine()
    flags = cpu_flags()
    return next((name for flag, name in _VECTORS if flag in flags), "SSE2")


def hold_libraries() -> None:
    """Hold oneDNN, MKL and torch's own loops to `MILOZERO_MARCH`; before torch is imported.

    What the user's environment says already stays.
    """
    for name, value in _HELD.get(march(), {}).items():
        os.environ.setdefault(name, value)


def kind() -> str:
    """A short name of processor and instruction set, for file names: "zen5-avx512", "zen3-avx2".

    Raises:
        ConfigurationError: of `march`.
    """
    instructions = re.sub(r"[^a-z0-9]", "", instruction_set().lower())
    return f"{microarchitecture()}-{instructions}"


def microarchitecture() -> str:
    """What family of processors this one is of: "zen5", "sapphirerapids", "neoverse-v1", "intel-6-26"."""
    found = _cpuinfo()
    vendor = {"AuthenticAMD": "amd", "GenuineIntel": "intel"}.get(found.get("vendor_id", ""))
    if vendor is None:
        is_neoverse = found.get("CPU implementer") == "0x41" and found.get("CPU part") in _NEOVERSE
        return f"neoverse-{_NEOVERSE[found['CPU part']]}" if is_neoverse else platform.machine()
    family, model = int(found["cpu family"]), int(found["model"])
    if vendor == "amd" and family in _AMD:
        return [name for least, name in _AMD[family] if model >= least][-1]
    if vendor == "intel" and family == 6 and model in _INTEL:
        return _INTEL[model]
    return f"{vendor}-{family}-{model}"


def cpu_model() -> str:
    """The processor's name as it gives it; ARM's give none."""
    return _cpuinfo().get("model name") or microarchitecture()


def cpu_flags() -> list[str]:
    """Its instruction sets, in the words of /proc/cpuinfo."""
    return (_cpuinfo().get("flags") or _cpuinfo().get("Features") or "").split()


def machine() -> str:
    """What compiled code depends on: code made for one machine may not run on another."""
    if not _cpuinfo():
        return f"{' '.join(platform.uname())} {march()}"
    is_arm = platform.machine() in _ARM
    flags = {flag for flag in cpu_flags() if is_arm or _WRITTEN.match(flag)}
    return " ".join([microarchitecture(), cpu_model(), *sorted(flags), march()])


@cache
def _cpuinfo() -> dict[str, str]:
    """The first processor's block of /proc/cpuinfo; empty where there is none."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = [line.partition(":") for line in text.split("\n\n")[0].splitlines()]
    return {key.strip(): value.strip() for key, _, value in pairs}
