"""Environments that were handed over to nobody, since their spawner was killed: they may hold keys."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from pathlib import Path

from swarm.backends.handover import PREFIX, private_folder

_OLD = 600.0  # seconds; by then a living spawner has handed it over or noted it


def sweep() -> None:
    """Remove those of this user that are old and that nobody will read; what cannot be removed stays."""
    for path in Path(private_folder()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            found = path.lstat()
            is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid()
            if is_ours and time.time() - found.st_mtime > _OLD and not _is_awaited(path):
                path.unlink()


def _is_awaited(path: Path) -> bool:
    """Whether its spawner lives, or a ledger says that a run which has not begun is to have it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        writer, note = int(content["writer"]), content["note"]
    except (ValueError, LookupError, TypeError):
        return False  # its spawner was killed as it wrote
    if Path(f"/proc/{writer}").exists():  # or another process of that number: the next sweep then
        return True
    if note is None:
        return False
    noted = Path(note)
    if noted.with_name(noted.name.replace(".job.json", ".start")).exists():
        return False
    try:
        return bool(json.loads(noted.read_text(encoding="utf-8")).get("environment") == str(path))
    except (OSError, ValueError, AttributeError):
        return False
