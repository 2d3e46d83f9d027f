"""What must be there before a swarm is written: programs, images, folders that everybody can name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from helpers.errors import ConfigurationError
from swarm.backends.table import backend_of
from swarm.plan import Launch, Plan
from swarm.scripts.render import bound_folders, is_apptainer

_UNKNOWN_IMAGE = re.compile(r"no such (image|object)|image not known", re.IGNORECASE)
_LOOKING_SECONDS = 60.0
_PULLING_SECONDS = 3600.0


def check(plan: Plan) -> list[str]:
    """Refuse what could not run; returns warnings, one line each.

    Raises:
        ConfigurationError: a program or an image is missing, a folder has a name that a cluster,
            tmux or a container cannot be told, there are more workers than environments, or the backend
            refuses a setting.
    """
    _check_folders(plan)
    _check_workers(plan)
    if plan.launch.pin:
        _check_pin(plan.launch)
    if plan.launch.caliber.setup:
        _check_setup(plan.launch)
    launch = plan.launch
    backend = backend_of(launch.deployment)
    for problem, remedy in backend.refusals(plan):
        raise ConfigurationError(problem, remedy)
    if launch.conda_env is not None and not backend.is_cluster:
        _check_conda(launch.conda_env)
    if launch.image is None:
        return []
    _check_engine(launch, launch.image)
    if launch.program != "main.py":
        raise ConfigurationError(
            f"A container sees the current folder, and {launch.program} is not in it.",
            f"Spawn from there: cd {Path(launch.program).parent}",
        )
    return [] if is_apptainer(launch) else fetch(launch.image)


def _check_folders(plan: Plan) -> None:
    launch = plan.launch
    in_container = launch.image is not None
    folders = [str(launch.working_folder), str(plan.folder), str(launch.python)]
    for folder in folders:
        if re.search(r"[\\\x00-\x1f\x7f]", folder):
            raise ConfigurationError(
                f"The folder {folder!r} has a backslash or a control character in its name.",
                "Clusters and tmux do not accept such a name: rename the folder, or choose another.",
            )
    if not in_container:
        return
    for folder in [str(launch.working_folder), *bound_folders(plan, plan.runs[0])]:
        if re.search("[:,]", folder):
            raise ConfigurationError(
                f"The folder {folder} has a colon or a comma in its name.",
                "Containers cannot mount such a folder: rename it, or choose another.",
            )


def _check_pin(launch: Launch) -> None:
    """Runs that would wait for processors which others of the swarm have, for as long as those run."""
    cores = len(os.sched_getaffinity(0))
    wanted = launch.num_workers * (launch.max_parallel or 1)
    if wanted > cores:
        runs = f"{launch.max_parallel or 1} runs of {launch.num_workers} workers"
        raise ConfigurationError(
            f"--pin: {runs} need {wanted} processors, and {cores} may be used here.",
            "Choose a smaller --max_parallel or --num_workers, or leave --pin out.",
        )
    for program in ("flock", "taskset"):
        if shutil.which(program) is None:
            raise ConfigurationError(
                f"--pin needs {program}, which is not here.",
                "Install util-linux, or leave --pin out.",
            )


def _check_workers(plan: Plan) -> None:
    for run in plan.runs:
        if run.config.num_envs < plan.launch.num_workers:
            raise ConfigurationError(
                f"num_envs={run.config.num_envs} is less than the {plan.launch.num_workers} workers.",
                f"Write --num_workers={run.config.num_envs} or less, or a larger num_envs.",
            )


def _check_setup(launch: Launch) -> None:
    """Its syntax: a quote that is not closed would otherwise be found by each job alone."""
    caliber = launch.caliber
    done = subprocess.run(
        ["bash", "-n", "-c", caliber.setup],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise ConfigurationError(
            f"setup of the caliber {caliber.name}: {(done.stderr.strip().splitlines() or ['?'])[0]}",
            "Correct it in your calibers file: bash must be able to read it.",
        )


def _check_conda(name: str) -> None:
    if shutil.which("conda") is None and not os.environ.get("CONDA_EXE"):
        raise ConfigurationError(
            f"--conda_env={name}: there is no program conda here.",
            "Activate the environment and omit --conda_env, or put conda on the PATH.",
        )


def _check_engine(launch: Launch, image: str) -> None:
    if image.endswith(".sif") and not Path(image).is_file():
        raise ConfigurationError(
            f"There is no image {image}.",
            "Build it: apptainer build NAME.sif docker://USER/NAME:TAG (docs/cluster.md).",
        )
    if not is_apptainer(launch):
        if shutil.which("docker") is None:
            raise ConfigurationError(
                "--docker: there is no program docker here.",
                "Install docker (or podman-docker), or omit --docker.",
            )
        return
    found = shutil.which("apptainer") or shutil.which("singularity")
    # on a cluster, modules may bring it
    if found is None and not backend_of(launch.deployment).is_cluster:
        raise ConfigurationError(
            f"--docker_image={image}: there is neither apptainer nor singularity here.",
            "Install one of them, or give a docker image.",
        )


def fetch(image: str) -> list[str]:
    """Pull an image that is not here: once and now, in the place of all runs at the same time.

    Only where docker itself says that there is none: other programs of that name may not know.

    Raises:
        ConfigurationError: it cannot be pulled.
    """
    looked = _docker("image", "inspect", image, seconds=_LOOKING_SECONDS)
    if looked.returncode == 0 or not _UNKNOWN_IMAGE.search(looked.stderr):
        return []
    pulled = _docker("pull", image, seconds=_PULLING_SECONDS)
    if pulled.returncode != 0:
        reason = (pulled.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ConfigurationError(
            f"There is no image {image}, and docker cannot pull it: {reason}",
            f"Build it (docker build -t {image} .), or give another --docker_image.",
        )
    return [f"The image {image} was pulled."]


def _docker(*arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
    command = ["docker", *arguments]
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer within {seconds:.0f} s")
