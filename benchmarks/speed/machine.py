"""The machine that a measurement is of: processor, instruction set, compiler; and what holds libraries to a level.

Tables are kept by kind (`helpers.machine.processor.kind`), so that a second machine, or a lower level of the same one
(`--march x86-64-v3`), adds a table and overwrites none.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from typing import Any

from helpers.errors import ConfigurationError
from helpers.machine.processor import (
    NATIVE,
    VARIABLE,
    cpu_model,
    hold_libraries,
    instruction_set,
    kind,
    levels,
    march,
)

MARCH_HELP = "native, or a lower level: x86-64-v3 (AVX2)"
OF_TORCH = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS")
OF_OTHERS = (
    "TORCHINDUCTOR_CPP_MARCH",
    "OPENBLAS_CORETYPE",
    "NPY_DISABLE_CPU_FEATURES",
    "XLA_FLAGS",
)
# XLA's own code has a flag. Its matrix products are YNNPACK's, which picks instructions itself, unless that is switched
# off: then they are oneDNN's, as fast (of 256 x 256 x 256 on Zen 5, GFLOP/s: 230 beside 240), and held as torch's are.
_XLA = "--xla_cpu_experimental_ynn_fusion_type= --xla_cpu_max_isa="
# NumPy's loops beyond a level, by the names of its versions until and since 2.4; names that one does not know it skips.
_NUMPY_V4 = "X86_V4 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"
_HELD = {  # what `helpers.machine.processor.hold_libraries` leaves: what torch compiles, NumPy, its OpenBLAS, JAX
    "x86-64-v2": {
        "TORCHINDUCTOR_CPP_MARCH": "x86-64-v2",
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": f"X86_V3 AVX F16C FMA3 AVX2 {_NUMPY_V4}",
        "XLA_FLAGS": f"{_XLA}SSE4_2",
    },
    "x86-64-v3": {
        "TORCHINDUCTOR_CPP_MARCH": "x86-64-v3",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": _NUMPY_V4,
        "XLA_FLAGS": f"{_XLA}AVX2",
    },
    "x86-64-v4": {
        "TORCHINDUCTOR_CPP_MARCH": "x86-64-v4",
        "OPENBLAS_CORETYPE": "SkylakeX",
        "XLA_FLAGS": f"{_XLA}AVX512",
    },
}


def hold(asked: str | None) -> None:
    """Build for this level, and hold the libraries of ours and of the peers to it; before NumPy and torch are imported.

    Args:
        asked: a level, "native", or None: what the environment says.

    Raises:
        ConfigurationError: this processor has no such level.
    """
    choices = [NATIVE, *levels()]
    if asked is not None:
        if asked not in choices:
            raise ConfigurationError(
                f"--march={asked} is no instruction set of this processor: {cpu_model()}",
                f"give one of: {', '.join(choices)}",
            )
        os.environ[VARIABLE] = asked
    level = march()
    hold_libraries()
    os.environ.update(_HELD.get(level, {}))


def machine(threads: str) -> dict[str, Any]:
    """What rows of one file have in common, beside versions and work."""
    return {
        "kind": kind(),
        "cpu": cpu_model(),
        "instruction_set": instruction_set(),
        "march": march(),
        "compiler": compiler(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "threads": threads,
        **{name: os.environ.get(name, "unset") for name in OF_TORCH + OF_OTHERS},
    }


def compiler() -> str:
    """The first line of `$CC --version`, of the compiler that kernels are built by; "none" where there is none."""
    path = shutil.which(os.environ.get("CC") or "gcc") or shutil.which("cc")
    if path is None:
        return "none"
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or [path])[0]


def machine_line(machine: dict[str, Any]) -> str:
    """Of a page: what it was measured on."""
    variables = {name: machine.get(name, "unset") for name in OF_TORCH + OF_OTHERS}
    held = [f"{name}={value}" for name, value in variables.items() if value != "unset"]
    return (
        f"{machine['cpu']} (`{machine['kind']}`), {machine['cores']} cores, Linux {machine['kernel']}; native code for "
        f"{machine['instruction_set']} (march {machine['march']}) by {machine['compiler']}; "
        f"{machine['threads']} BLAS thread a process" + "".join(f"; `{each}`" for each in held)
    )
