"""How much room there is: of the machine, of the control groups around a job."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.errors import ConfigurationError
from helpers.free_space import format_bytes, free_memory, require_disk, require_memory


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    write(tmp_path, "proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n")
    return tmp_path


def test_a_machine_tells_what_is_available(machine: Path) -> None:
    assert free_memory(machine) == 8000 * 1024
    assert free_memory(machine / "nothing") is None
    here = free_memory()
    assert here is not None and 2**20 < here < 2**50


def test_a_group_around_a_job_counts(machine: Path) -> None:
    write(machine, "proc/self/cgroup", "0::/slurm/job_7/step_0\n")
    groups = "sys/fs/cgroup/slurm"
    write(machine, f"{groups}/job_7/step_0/memory.max", "max\n")
    write(machine, f"{groups}/job_7/step_0/memory.current", "5\n")
    assert free_memory(machine) == 8000 * 1024
    write(machine, f"{groups}/job_7/memory.max", "1000000\n")
    write(machine, f"{groups}/job_7/memory.current", "700000\n")
    write(machine, f"{groups}/job_7/memory.stat", "anon 600000\ninactive_file 50000\n")
    assert free_memory(machine) == 350_000
    write(machine, f"{groups}/memory.max", "500000\n")
    write(machine, f"{groups}/memory.current", "600000\n")
    assert free_memory(machine) == 0


def test_a_group_of_the_first_version_counts(machine: Path) -> None:
    write(machine, "proc/self/cgroup", "4:memory:/job\n1:cpu:/job\n0::/\n")
    write(machine, "sys/fs/cgroup/memory/job/memory.limit_in_bytes", "3000\n")
    write(machine, "sys/fs/cgroup/memory/job/memory.usage_in_bytes", "1000\n")
    assert free_memory(machine) == 2000


def test_the_arithmetic_is_told(tmp_path: Path) -> None:
    for require in (
        lambda need: require_memory(need, what="2 x 3", remedy="Less."),
        lambda need: require_disk(need, folder=tmp_path, what="2 x 3", remedy="Less."),
    ):
        require(1)
        with pytest.raises(ConfigurationError, match=r"^2 x 3 = 1024.0 TiB, but .* free.*\.\nLess"):
            require(2**50)
    assert [format_bytes(size) for size in (0, 1023, 1536, 3 * 2**20)] == [
        "0 bytes",
        "1023 bytes",
        "1.5 KiB",
        "3.0 MiB",
    ]
