"""How many cores this process may use, which may be fewer than the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def usable_cores(*, cgroups: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Cores by affinity and by the quota of the control groups (v1 and v2) that hold this process; at least 1.

    Args:
        cgroups: where control groups are mounted.
        own: names those of this process, a line each: `0::/path` (v2), `4:cpu,cpuacct:/path` (v1).
    """
    cores = len(os.sched_getaffinity(0))
    quotas = [quota for folder in _folders(cgroups, own) if (quota := _quota(folder)) is not None]
    return max(1, min([cores, *map(math.floor, quotas)]))


def _folders(cgroups: Path, own: Path) -> Iterator[Path]:
    """The control groups of this process and all above them, whose quotas count as well."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for root in (cgroups / "cpu", cgroups / controllers) if controllers else (cgroups,):
            inside = root / path.lstrip("/")
            yield from (each for each in (inside, *inside.parents) if each.is_relative_to(root))


def _quota(folder: Path) -> float | None:
    """Cores' worth of time that a control group may use; None without a limit."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="utf-8").strip()
                for name in ("quota", "period")
            )
    except OSError:
        return None
    return None if quota in ("max", "-1") else int(quota) / int(period)
