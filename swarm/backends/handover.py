"""Hands the environment of a spawner to what tmux starts, which would otherwise have the tmux server's.

It goes through a file of mode 0600 that is removed when it is read: never through a command line, which others see.

    python -I -S handover.py FILE COMMAND ...      becomes the command, in that environment
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

# of the terminal that somebody typed into, or that tmux itself sets
OF_THE_PLACE = frozenset(
    ("TMUX", "TMUX_PANE", "TERM", "STY", "WINDOW", "PWD", "OLDPWD", "SHLVL", "_"),
)


PREFIX = "milozero_env_"


def command_with(environment: Mapping[str, str], command: Sequence[str]) -> list[str]:
    """A command that runs another one in this environment, from any process of this machine.

    Raises:
        OSError: the file cannot be written.
    """
    return [sys.executable, "-I", "-S", str(Path(__file__).resolve()), write(environment), *command]


def discard(command: Sequence[str]) -> None:
    """Remove the file of a command that nothing will run."""
    Path(command[4]).unlink(missing_ok=True)


def write(environment: Mapping[str, str], *, note: Path | None = None) -> str:
    """The file that holds an environment until somebody reads it.

    Args:
        environment: all of it.
        note: the file of a ledger that will say who is to read this one; None: it is read at once.

    Raises:
        OSError: it cannot be written.
    """
    descriptor, name = tempfile.mkstemp(prefix=PREFIX, dir=private_folder())  # mode 0600
    kept = {key: value for key, value in environment.items() if key not in OF_THE_PLACE}
    content = {"writer": os.getpid(), "note": note and str(note), "environment": kept}
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file)
    return name


def read(name: str) -> dict[str, str]:
    """The environment in a file, which is removed.

    Raises:
        FileNotFoundError: the machine has restarted since, or somebody has read it.
    """
    path = Path(name)
    environment: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["environment"]
    path.unlink(missing_ok=True)
    return environment


def private_folder() -> str:
    """Of this machine and gone when it restarts, where there is such a folder."""
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    return folder if os.access(folder, os.W_OK) else tempfile.gettempdir()


def main(argv: Sequence[str]) -> None:
    """Become the command."""
    name, *command = argv
    environment = read(name)
    place = {key: os.environ[key] for key in OF_THE_PLACE if key in os.environ}
    os.execvpe(command[0], command, environment | place)


if __name__ == "__main__":
    main(sys.argv[1:])
