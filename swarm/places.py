"""Where swarms are: here, in this clone, and wherever else one was spawned into, for a reporter that runs anywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from helpers.data_root import place
from swarm.flags.spawn_settings import SpawnSettings

_CLONE = Path(__file__).resolve().parents[1]
_FILE = Path("milozero") / "swarms_dirs"  # a folder a line, below the user's folder of state


def swarm_places() -> list[Path]:
    """The folders of swarm folders, this one's first, each once and only those that exist."""
    usual = str(SpawnSettings().swarms_dir)
    here = place(usual)
    noted = (Path(line) for line in _noted(_state_file(os.environ)))
    places = (here, _CLONE / usual, *noted)
    return list({each.resolve(): each for each in reversed(places) if each.is_dir()}.values())[::-1]


def note_place(swarms: Path) -> str:
    """Remember a folder of swarm folders; a warning where that cannot be done, else "".

    Lines are appended at once, so that spawners at work together lose none.
    """
    file = _state_file(os.environ)
    line = str(swarms.resolve())
    if (
        line in _noted(file)
        or "\n" in line
        or swarms.resolve() == (_CLONE / "data" / "swarms").resolve()
    ):
        return ""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as opened:
            opened.write(f"{line}\n")
    except OSError as error:
        return f"{file} cannot be written ({error.strerror}): name the swarm to reporter.py by its folder."
    return ""


def _state_file(environment: Mapping[str, str]) -> Path:
    home = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / _FILE


def _noted(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []  # nobody has spawned elsewhere yet
