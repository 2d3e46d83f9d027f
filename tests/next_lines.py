"""The commands that a program prints as the next useful ones: each is read as it will be, up to the heavy work."""

from __future__ import annotations

import shlex
from pathlib import Path

from agents.algorithms import SCHEMA
from helpers.checkpoints.manifests import list_checkpoints
from helpers.checkpoints.resolve import resolve_checkpoint
from helpers.demos.load import find_demos

HEAD, REST = "next: ", "      "


def commands_in(printed: str) -> list[list[str]]:
    """The words of each command behind "next: ", and of those in the lines below it."""
    found, is_below = [], False
    for line in printed.splitlines():
        is_below = line.startswith(HEAD) or (is_below and line.startswith(REST))
        if is_below:
            found.append(shlex.split(line[len(HEAD) :]))
    return found


def check(printed: str) -> None:
    """That each command of main.py works as printed: its flags, the checkpoint, the demonstrations that it names.

    Raises:
        UserError: as the program would.
    """
    for words in commands_in(printed):
        if words[:2] == ["mpiexec", "-n"]:
            words = words[3:]
        if words[:2] != ["python", "main.py"]:
            continue
        config = SCHEMA.parse_command_line(words[2:]).config
        if config.task in ("eval", "export", "verify_resume"):
            wanted = "latest" if config.task == "verify_resume" else config.iter_num
            checkpoint = resolve_checkpoint(Path(config.model_path or ""), wanted)
            if config.task == "verify_resume":
                assert len(list_checkpoints(checkpoint.resolve().parent)) > 1, printed
        expert_path = getattr(config, "expert_path", None)
        if expert_path:
            assert find_demos(expert_path).names, printed
