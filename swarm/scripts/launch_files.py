"""The files of a swarm before it is deployed: plan, scripts, settings, secrets."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path

from helpers.durable import temporary_name
from helpers.errors import ConfigurationError, StorageError
from swarm.plan import PLAN_FILE, Plan, load, save
from swarm.scripts.render import render_array, render_job, render_session, render_settings

_SCRIPT_MODE = 0o755
_TEXT_MODE = 0o644
_SECRET_MODE = 0o600
_ATTEMPTS = 10


def write(plan: Plan, secrets: Mapping[str, str]) -> None:
    """Write everything that deployment needs into the swarm's folder; the same again is the same.

    Args:
        plan: of the swarm.
        secrets: environment variables for the runs; go into `plan.launch.secrets_file` alone.

    Raises:
        ConfigurationError: the swarm was spawned before with another number of workers.
        StorageError: the folder cannot be written.
    """
    try:
        _refuse_other_workers(plan)
        for folder in (plan.launch_folder, plan.folder / "logs", plan.ledger_folder):
            folder.mkdir(parents=True, exist_ok=True)
        if secrets and plan.launch.secrets_file is not None:
            lines = [f"{name}={shlex.quote(value)}\n" for name, value in secrets.items()]
            _put(plan.launch.secrets_file, "".join(lines), _SECRET_MODE)
        if plan.launch.args_method == "yaml":
            for run in plan.runs:
                _put(plan.config_file(run), render_settings(run), _TEXT_MODE)
        for run in plan.runs:
            _put(plan.launch_script(run), render_job(plan, run), _SCRIPT_MODE)
        if plan.launch.deployment == "tmux":
            _put(plan.session_file, render_session(plan), _TEXT_MODE)
        if plan.launch.array:
            _put(plan.array_script, render_array(plan), _SCRIPT_MODE)
        save(plan)
    except OSError as error:
        raise StorageError(
            f"The swarm folder {plan.folder} cannot be written: {error.strerror or error}.",
            "Free space or fix permissions there, or choose another --swarms_dir.",
        ) from error


def clear(plan: Plan) -> None:
    """Remove the launch files. The ledger stays, and so does each run's script in its folder.

    Raises:
        StorageError: they cannot be removed.
    """
    going = plan.folder / temporary_name()
    try:
        plan.launch_folder.rename(going)  # at once, for another spawner may be writing there
        shutil.rmtree(going)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(
            f"{plan.launch_folder} cannot be removed: {error.strerror or error}.",
            f"Remove it by hand: rm -r {shlex.quote(str(plan.launch_folder))}",
        ) from error


def _refuse_other_workers(plan: Plan) -> None:
    """A run is resumed with the number of workers that it began with."""
    if not (plan.folder / PLAN_FILE).exists():
        return
    before = load(plan.folder).launch.num_workers
    if before != plan.launch.num_workers:
        raise ConfigurationError(
            f"The swarm {plan.name} was spawned with --num_workers={before} before.",
            f"Write --num_workers={before} to continue it, or --prefix=NAME for new runs.",
        )


def _put(path: Path, text: str, mode: int) -> None:
    """Write a file at once, with its mode from the start.

    Not flushed to the disk: after a loss of power, spawning again writes it anew.
    """
    for attempt in range(_ATTEMPTS):
        try:
            _put_once(path, text, mode)
            return
        except FileNotFoundError:  # another spawner's --clear has just taken the folder away
            if attempt == _ATTEMPTS - 1:
                raise


def _put_once(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / temporary_name()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
