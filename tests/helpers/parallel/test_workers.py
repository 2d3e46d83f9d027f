"""Workers: collectives alone and under mpiexec, wrong launches, and the end after a failure."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from helpers.errors import LAUNCH, LaunchError
from helpers.parallel.launch import Announcement, check_library, check_size, find_announcement
from helpers.parallel.workers import Workers
from tests.mpi.start import ROOT, clean_environment, run
from tests.patience import patience, promptly

needs_mpi = pytest.mark.skipif(
    importlib.util.find_spec("mpi4py") is None,
    reason="MPI is not installed",
)
ONE_ERROR = "milozero: The flag is wrong.\n  remedy: Mend the flag.\n"


def worker(rank: int, size: int) -> Workers:
    """A worker that only counts."""
    workers = Workers.solo()
    workers.rank, workers.size = rank, size
    return workers


# Alone


def test_solo_collectives_give_back_what_they_got() -> None:
    workers = Workers.solo()
    assert (workers.rank, workers.size, workers.is_root) == (0, 1, True)
    array = torch.arange(4, dtype=torch.float32)
    for collective in (
        workers.sum_,
        workers.max_,
        workers.broadcast_,
    ):
        collective(array)
    assert array.tolist() == [0, 1, 2, 3]
    value = {"a": (1, 2)}
    assert workers.broadcast_json(value) == {"a": [1, 2]}  # through JSON, as with many workers
    assert workers.gather_json(value) == workers.allgather_json(value) == [{"a": [1, 2]}]
    assert workers.any(True) and not workers.any(False)
    workers.assert_in_sync({"array": array})
    workers.barrier()


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 6, 16, 17])
def test_shares_are_contiguous_and_even(size: int, count: int) -> None:
    shares = [worker(rank, size).share(count) for rank in range(size)]
    assert [i for share in shares for i in range(count)[share]] == list(range(count))
    lengths = [share.stop - share.start for share in shares]
    assert max(lengths) - min(lengths) <= 1
    assert lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4))[:, ::2],
        np.zeros(3, dtype=np.float16),
        np.zeros(3, dtype=object),
        torch.zeros(3, dtype=torch.bool),
        torch.zeros(4, 4).T[1:],
    ],
)
def test_arrays_that_mpi_would_misread_are_refused(array: np.ndarray) -> None:
    with pytest.raises(TypeError, match="contiguous arrays of float32"):
        Workers.solo().sum_(array)


def test_the_package_needs_no_mpi4py_when_alone() -> None:
    program = (
        "import sys; sys.modules['mpi4py'] = None\n"
        "from helpers.parallel.workers import Workers\n"
        "assert Workers.connect().size == 1 and 'torch' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        cwd=ROOT,
        env=clean_environment(),
        timeout=patience(30),
    )


# Together


@needs_mpi
@pytest.mark.parametrize("size", [2, 3])
def test_collectives_under_mpiexec(size: int) -> None:
    ended = run(size, "workers_together.py", size)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"{size} workers agree\n"


# Wrong launches


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"PMI_SIZE": "1", "PMI_RANK": "0"}, None),
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, None),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, None),  # the batch script itself
        ({"SLURM_STEP_NUM_TASKS": "1", "PMI_SIZE": "4", "PMI_RANK": "3"}, (3, 4)),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}, (2, 4)),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2", "PMIX_RANK": "2"}, (2, 4)),
        ({"PMIX_RANK": "1"}, (1, None)),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "PMIX_RANK": "1"}, (1, 2)),
    ],
)
def test_what_launchers_announce(
    environment: dict[str, str],
    expected: tuple[int, int | None] | None,
) -> None:
    found = find_announcement(environment)
    assert (None if found is None else (found.rank, found.size)) == expected


def test_a_foreign_mpiexec_is_refused_before_mpi_begins() -> None:
    open_mpi = find_announcement({"OMPI_COMM_WORLD_SIZE": "2", "PMIX_RANK": "0"})
    hydra = find_announcement({"PMI_SIZE": "2", "HYDI_CONTROL_FD": "7"})
    pmix = find_announcement({"PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "2"})
    pmi = find_announcement({"PMI_SIZE": "2"})
    assert open_mpi and hydra and pmix and pmi
    for announcement, vendor, version in [
        (open_mpi, "Open MPI", ""),
        (hydra, "MPICH", ""),
        (pmix, "Open MPI", ""),
        (pmix, "MPICH", "configure: --with-pmix=/usr"),
        (pmi, "MPICH", ""),
        (pmi, "Open MPI", ""),
    ]:
        check_library(announcement, vendor, version)
    for announcement, vendor in [(open_mpi, "MPICH"), (hydra, "Open MPI"), (pmix, "MPICH")]:
        with pytest.raises(LaunchError, match=f"2 workers were started by .*{vendor}"):
            check_library(announcement, vendor, "")


def test_a_world_of_another_size_is_refused() -> None:
    check_size(Announcement("srun", 0, 4), 4)
    check_size(Announcement("srun", 3, None), 4)
    for announcement, size in [
        (Announcement("srun", 0, 4), 1),
        (Announcement("srun", 0, 4), 2),
        (Announcement("srun", 1, None), 1),
    ]:
        with pytest.raises(LaunchError, match="MPI joins only") as refusal:
            check_size(announcement, size)
        assert "mpiexec -n" in refusal.value.remedy


@needs_mpi
@pytest.mark.parametrize(
    "environment",
    [
        {"PMI_SIZE": "2", "PMI_RANK": "0"},
        {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0", "PMIX_RANK": "0"},
        {"PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "2"},
        {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"},
    ],
)
def test_singletons_are_refused_in_seconds(environment: dict[str, str]) -> None:
    started = time.monotonic()
    ended = run(1, "workers_fail.py", ".", "", **environment)
    assert time.monotonic() - started < promptly(5)
    assert ended.returncode == LAUNCH
    problem, remedy = ended.stderr.splitlines()
    assert problem.startswith("milozero: 2 workers were started by ")
    assert remedy.startswith("  remedy: ") and "mpiexec -n 2" in remedy


@needs_mpi
def test_of_many_singletons_only_the_first_speaks() -> None:
    ended = run(1, "workers_fail.py", ".", "", PMI_SIZE="2", PMI_RANK="1")
    assert (ended.returncode, ended.stderr) == (LAUNCH, "")


def test_several_processes_without_mpi4py_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", "0")
    with pytest.raises(LaunchError, match="mpi4py cannot be used") as refusal:
        Workers.connect()
    assert "pip install mpi4py" in refusal.value.remedy


# Failures


def fail(size: int, folder: object, mode: str) -> subprocess.CompletedProcess[str]:
    """The end of workers that fail, which comes within 10 s."""
    started = time.monotonic()
    ended = run(size, "workers_fail.py", folder, mode)
    assert time.monotonic() - started < promptly(10)
    assert "went on" not in ended.stdout
    return ended


@needs_mpi
@pytest.mark.parametrize("mode", ["bug on rank 1", "thread on rank 1"])
def test_a_failed_worker_ends_all(tmp_path, mode: str) -> None:
    ended = fail(3, tmp_path, mode)
    assert ended.returncode == 70
    (kept,) = tmp_path.iterdir()
    assert kept.name == "crash_worker_001.txt"
    assert 'raise ZeroDivisionError("no luck")' in kept.read_text()
    assert ended.stderr.count("Traceback") == 1
    problem, remedy = ended.stderr.splitlines()[-2:]
    assert problem == "milozero: Worker 1 of 3 failed: ZeroDivisionError: no luck"
    assert remedy.endswith(f"report it with {kept}.")


@needs_mpi
def test_a_segmentation_fault_ends_all_and_tells_where(tmp_path) -> None:
    ended = fail(2, tmp_path, "segmentation fault on rank 1")
    assert ended.returncode != 0
    assert "Segmentation fault" in ended.stderr and "in fail_as_asked" in ended.stderr


@needs_mpi
@pytest.mark.parametrize(
    ("mode", "files"),
    [
        ("user error on rank 1", 1),
        ("user error on all but the root", 2),
        ("user error on all", 3),
    ],
)
def test_a_user_error_is_two_lines_once(tmp_path, mode: str, files: int) -> None:
    ended = fail(3, tmp_path, mode)
    assert (ended.returncode, ended.stderr) == (2, ONE_ERROR)
    assert len(list(tmp_path.iterdir())) == files
    assert all("Traceback" in path.read_text() for path in tmp_path.iterdir())


@needs_mpi
def test_a_failure_of_all_is_told_once(tmp_path) -> None:
    ended = fail(3, tmp_path, "bug on all")
    assert ended.returncode == 70
    assert ended.stderr.count("Traceback") == ended.stderr.count("milozero: Worker 0 of 3") == 1


@needs_mpi
def test_different_failures_are_all_told(tmp_path) -> None:
    ended = fail(3, tmp_path, "different errors")
    other = "milozero: The file is wrong.\n  remedy: Mend the file.\n"
    assert (ended.returncode, ended.stderr) == (4, ONE_ERROR + other)


@needs_mpi
def test_a_daemon_thread_that_fails_is_told_and_ends_nothing(tmp_path) -> None:
    ended = run(2, "workers_fail.py", tmp_path, "daemon thread")
    assert ended.returncode == 0
    assert ended.stdout.count("went on") == 2
    assert "ZeroDivisionError" in ended.stderr


@pytest.mark.parametrize(
    ("mode", "code", "said"),
    [("user error on all", 2, ONE_ERROR), ("interrupted", 130, "milozero: Interrupted.")],
)
def test_alone_too_an_error_is_two_lines_and_a_code(tmp_path, mode, code, said) -> None:
    ended = fail(1, tmp_path, mode)
    assert ended.returncode == code
    assert ended.stderr.startswith(said) and len(ended.stderr.splitlines()) == 2


def test_a_traceback_that_cannot_be_kept_is_still_shown(tmp_path) -> None:
    (tmp_path / "crash_worker_000.txt").mkdir()
    ended = fail(1, tmp_path, "bug on all")
    assert ended.returncode == 70
    assert "ZeroDivisionError" in ended.stderr and "cannot be written" in ended.stderr
