"""The capsule of a run: code, versions, machine and starts, so that a result can be traced.

Environment variables are never stored, and values of flags that smell of secrets are not either.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import socket
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from helpers.machine.compilers import compiler_name
from helpers.machine.processor import cpu_model, instruction_set, microarchitecture

REPOSITORY = Path(__file__).resolve().parents[2]
LARGEST_DIFF = 200_000  # bytes
_MOST_UNTRACKED = 200
_GIT_SECONDS = 20.0
_HIDDEN = "***"
_SECRET_NAME = re.compile(r"key|token|secret|password", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")  # https://user:password@host
_DISTRIBUTIONS = (
    "torch",
    "numpy",
    "mujoco",
    "gymnasium",
    "dm_control",
    "mpi4py",
    "mpich",
    "openmpi",
    "safetensors",
    "pydantic",
    "wandb",
)


def capsule_of(*, name: str, group: str, start: Mapping[str, Any]) -> dict[str, Any]:
    """The capsule of a run that begins now, as JSON values.

    Args:
        name: of the run.
        group: the name without its seed.
        start: of `start_of`.
    """
    return {
        "capsule_version": 1,
        "name": name,
        "group": group,
        "code": code_state(),
        "versions": versions(),
        "hardware": hardware(),
        "hostname": start["hostname"],
        "world_size": start["world_size"],
        "starts": [dict(start)],
    }


def start_of(*, argv: Sequence[str], world_size: int) -> dict[str, Any]:
    """One start of a run: when, where, from which code, by which command.

    Raises:
        ConfigurationError: of `MILOZERO_MARCH`.
    """
    code = code_state()
    return {
        "time": datetime.now(UTC).isoformat(timespec="microseconds"),
        "hostname": socket.gethostname(),
        "world_size": world_size,
        "commit": code["commit"],
        "dirty": code["dirty"],
        "diff_sha256": code["diff_sha256"],
        "argv": redact(argv),
        **native_code(),
    }


def native_code() -> dict[str, str]:
    """What the bits of a run depend on beside its code: processor, instruction set, compiler.

    Raises:
        ConfigurationError: of `MILOZERO_MARCH`.
    """
    return {
        "processor": microarchitecture(),
        "instruction_set": instruction_set(),
        "compiler": compiler_name(),
    }


def describe_native_change(start: Mapping[str, Any]) -> str | None:
    """A line where native code is other than at a start; None where it is the same, or unknown."""
    now = native_code()
    if not now.keys() <= start.keys() or all(start[key] == now[key] for key in now):
        return None
    processors = [
        f"{each['processor']} with {each['instruction_set']}, compiler {each['compiler']}"
        for each in (start, now)
    ]
    return (
        f"Bits may differ from here on: it ran on {processors[0]}, and now runs on {processors[1]}."
    )


def redact(argv: Sequence[str]) -> list[str]:
    """Arguments without the values of flags named like a key, token, secret or password."""
    shown = []
    hide_next = False
    for argument in argv:
        name, equals, _ = argument.partition("=")
        if hide_next and not argument.startswith("--"):
            shown.append(_HIDDEN)
            hide_next = False
            continue
        is_secret = bool(_SECRET_NAME.search(name)) and (bool(equals) or name.startswith("-"))
        hide_next = is_secret and not equals
        shown.append(f"{name}={_HIDDEN}" if is_secret and equals else argument)
    return [_CREDENTIALS.sub(_HIDDEN, argument) for argument in shown]


@cache
def code_state(root: Path = REPOSITORY) -> Mapping[str, Any]:
    """Commit, uncommitted changes and untracked files; commit None where git cannot say.

    Asked once a process: what was imported does not change any more.
    """
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return {
            "commit": None,
            "dirty": None,
            "diff": None,
            "diff_sha256": None,
            "diff_is_cut": False,
            "untracked": [],
        }
    diff = _git(root, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD") or b""
    listed = _git(root, "ls-files", "--others", "--exclude-standard", "-z") or b""
    untracked = [name.decode(errors="replace") for name in listed.split(b"\0") if name]
    return {
        "commit": commit.decode().strip(),
        "dirty": bool(diff or untracked),
        "diff": diff[:LARGEST_DIFF].decode(errors="replace"),
        "diff_sha256": hashlib.sha256(diff).hexdigest(),
        "diff_is_cut": len(diff) > LARGEST_DIFF,
        "untracked": untracked[:_MOST_UNTRACKED],
    }


@cache
def short_commit(root: Path = REPOSITORY) -> str:
    """Seven characters of the commit, or "none"."""
    commit = _git(root, "rev-parse", "HEAD")
    return "none" if commit is None else commit.decode()[:7]


def versions() -> dict[str, str]:
    """Versions of Python and of the packages a result depends on, without importing them."""
    found = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """The processor, what native code is built for it, its cores and the memory in bytes."""
    return {
        "cpu": cpu_model(),
        **native_code(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "platform": platform.platform(),
    }


def _git(root: Path, *arguments: str) -> bytes | None:
    """What git prints; None where it is not installed, too slow, or knows no repository here."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            env=environment,
            timeout=_GIT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout
