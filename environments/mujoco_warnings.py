"""Where MuJoCo's own warnings go."""

from __future__ import annotations

import logging
import re

import mujoco

_LOG = logging.getLogger(__name__)
_seen: set[str] = set()


def route_mujoco_warnings() -> None:
    """Send them to the log, each kind once a process.

    Left alone, MuJoCo prints them to the terminal, once a copy of the environment, and appends them
    to MUJOCO_LOG.TXT in the working folder.
    """
    mujoco.set_mju_user_warning(_log_once)


def _log_once(message: str) -> None:
    kind = re.sub(r"-?\d+(\.\d+)?", "#", message)
    if kind not in _seen:
        _seen.add(kind)
        # What is deprecated in somebody else's model file is nothing that our user can mend.
        level = logging.DEBUG if "deprecated" in message else logging.WARNING
        _LOG.log(level, "MuJoCo: %s", message)
