"""How this process was started: what its launcher announces, and whether MPI agrees with it.

With the `mpiexec` of another MPI, or with none, N processes become N workers of one: each would train
alone and write into the same folder. Environment variables show it, so they are compared before anything else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import LaunchError

_OPEN_MPI = "the mpiexec of Open MPI"
_HYDRA = "the mpiexec of MPICH"
_PMI = "a PMI launcher"
_PMIX = "a PMIx launcher"
_SRUN = "srun"
LAUNCHED = (
    "MILOZERO_LAUNCHED"  # names the file that shows a job script that its workers have started
)
LAUNCHED_FILE = "job_launched"  # in the run folder


@dataclass(frozen=True)
class Announcement:
    """What a launcher says in the environment of each process it starts.

    Attributes:
        launcher: in words.
        rank: of this process; 0 where the launcher does not say.
        size: the number of processes; None where the launcher does not say.
    """

    launcher: str
    rank: int
    size: int | None


def find_announcement(environment: Mapping[str, str] = os.environ) -> Announcement | None:
    """What the launcher of this process announces; None without a launcher of several processes.

    Inside an allocation, mpiexec is itself a step of Slurm, so the more special speaks first.
    """
    slurm_size = _number(environment.get("SLURM_STEP_NUM_TASKS"))
    slurm_rank = _number(environment.get("SLURM_PROCID")) or 0
    if "OMPI_COMM_WORLD_SIZE" in environment:
        size = _number(environment["OMPI_COMM_WORLD_SIZE"])
        rank = _number(environment.get("OMPI_COMM_WORLD_RANK"))
        found = Announcement(_OPEN_MPI, rank or 0, size)
    elif "PMI_SIZE" in environment or "PMI_RANK" in environment:
        launcher = _HYDRA if "HYDI_CONTROL_FD" in environment else _PMI
        size = _number(environment.get("PMI_SIZE"))
        found = Announcement(launcher, _number(environment.get("PMI_RANK")) or 0, size)
    elif "PMIX_RANK" in environment:
        found = Announcement(_PMIX, _number(environment["PMIX_RANK"]) or 0, slurm_size)
    elif slurm_size is not None:
        found = Announcement(_SRUN, slurm_rank, slurm_size)
    else:
        return None
    return None if found.size == 1 else found


def check_library(announcement: Announcement, vendor: str, version: str) -> None:
    """Refuse, before MPI is initialised, a launcher that cannot start this MPI library.

    Such a pair does not always come up as N workers of one: MPICH under Open MPI's mpiexec ends the
    process inside MPI_Init, with no word that a newcomer understands.

    Args:
        announcement: of the launcher.
        vendor: of the MPI library, as mpi4py names it: "MPICH", "Open MPI", ...
        version: the library's own description, in which MPICH lists how it was configured.

    Raises:
        LaunchError: they do not belong together.
    """
    is_open_mpi = vendor == "Open MPI"
    if announcement.launcher == _OPEN_MPI:
        fits = is_open_mpi
    elif announcement.launcher == _HYDRA:
        fits = not is_open_mpi
    elif announcement.launcher == _PMIX:
        fits = vendor != "MPICH" or "pmix" in version.lower()
    else:
        fits = True
    if not fits:
        raise LaunchError(
            f"{_workers(announcement)} were started by {announcement.launcher}, "
            f"but mpi4py uses {vendor} here.",
            _remedy(announcement),
        )


def check_size(announcement: Announcement, size: int) -> None:
    """Refuse a world of another size than the launcher announced.

    Raises:
        LaunchError: the processes are not joined into one world.
    """
    if announcement.size is None:
        fits = size > announcement.rank
    else:
        fits = size == announcement.size
    if not fits:
        raise LaunchError(
            f"{_workers(announcement)} were started by {announcement.launcher}, "
            f"but MPI joins only {size} of them: each would train alone.",
            _remedy(announcement),
        )


def missing_mpi(announcement: Announcement, detail: str) -> LaunchError:
    """The error of several processes that have no MPI to talk through."""
    return LaunchError(
        f"{_workers(announcement)} were started by {announcement.launcher}, "
        f"but mpi4py cannot be used: {detail}.",
        f"Install it with {sys.executable} -m pip install mpi4py mpich, or start one process only.",
    )


def note_launch(environment: Mapping[str, str] = os.environ) -> None:
    """Tell the job script that started this process, if one did, that the workers have found each other.

    Raises:
        LaunchError: it cannot be found out, and would end this run.
    """
    path = environment.get(LAUNCHED)
    if path is None:
        return
    try:
        Path(path).touch()
    except OSError as error:
        raise LaunchError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Fix permissions there; a container has to see the run folder.",
        ) from error


def on_this_machine(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which mpiexec starts its workers here, whatever job of Slurm this process is inside of.

    Otherwise MPICH's would ask srun, which is missing or waits for processors that this job itself has;
    and Open MPI's would bind the first worker of every run to the first core.
    """
    shadows = ("SLURM_", "PMI_", "PMIX_")
    kept = {name: each for name, each in environment.items() if not name.startswith(shadows)}
    return {
        "HYDRA_LAUNCHER": "fork",
        "OMPI_MCA_hwloc_base_binding_policy": "none",
        "PRTE_MCA_hwloc_default_binding_policy": "none",
    } | kept


def mpiexec() -> str:
    """The mpiexec that belongs to this Python: the one beside it, else the one of the PATH."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else "mpiexec"


def _workers(announcement: Announcement) -> str:
    return "Several workers" if announcement.size is None else f"{announcement.size} workers"


def _remedy(announcement: Announcement) -> str:
    command = f"{mpiexec()} -n {announcement.size or 'N'} {sys.executable} {sys.argv[0]} ..."
    if announcement.launcher in {_SRUN, _PMIX, _PMI}:
        return f"Use srun --mpi=pmi2 (Open MPI: pmix), or in the allocation: {command}"
    return f"Start it with: {command}"


def _number(text: str | None) -> int | None:
    """A count as the environment spells it; None where there is none."""
    return int(text) if text is not None and text.strip().isdigit() else None
