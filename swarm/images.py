"""A container image for Apptainer, converted once for all runs of a swarm."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess

from helpers.durable import temporary_name
from helpers.errors import ConfigurationError, StorageError
from helpers.locks import wait_for_lock
from swarm.plan import Plan
from swarm.scripts.render import image_source


def require_converter(plan: Plan) -> None:
    """Refuse, before anything is written, an image that cannot be converted here.

    Raises:
        ConfigurationError: there is neither apptainer nor singularity on this machine.
    """
    source = image_source(plan.launch)
    if source is not None and not plan.image_file.exists() and _engine() is None:
        raise ConfigurationError(
            f"{source} has to be converted once, and there is neither apptainer nor singularity here.",
            f"Where there is one (module load apptainer): apptainer build NAME.sif {shlex.quote(source)}; "
            "then --docker_image NAME.sif",
        )


def convert(plan: Plan) -> None:
    """Convert the image into the swarm's folder: each job would otherwise pull it, all at the same time.

    What is there stays: a job that is requeued needs the image that it began with.

    Raises:
        ConfigurationError: it cannot be pulled or converted.
        StorageError: the swarm's folder cannot be written.
    """
    source, target = image_source(plan.launch), plan.image_file
    if source is None or target.exists():
        return
    try:
        lock = wait_for_lock(target.with_suffix(".lock"))
        assert lock is not None  # waited for without an end
        with lock:
            if not target.exists():  # another spawner may have done it meanwhile
                _build(plan, source)
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written: {error.strerror or error}.",
            "Free space or fix permissions there, or choose another --swarms_dir.",
        ) from error


def _build(plan: Plan, source: str) -> None:
    require_converter(plan)
    target = plan.image_file
    temporary = target.with_name(f"{temporary_name()}.sif")
    print(f"{source} is converted once, which takes minutes: {target}", flush=True)
    try:
        command = [str(_engine()), "build", str(temporary), source]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0 or not temporary.exists():
            raise ConfigurationError(
                f"{source} cannot be converted: {shlex.join(command[:2])} ended with {done.returncode}.",
                f"Try it yourself: {shlex.join([*command[:2], str(target), source])}; then spawn again.",
            )
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _engine() -> str | None:
    return shutil.which("apptainer") or shutil.which("singularity")
