"""The commands that a program prints as the next useful ones: each is read as it will be, up to the heavy work."""

from __future__ import annotations

import builtins
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import reporter
from agents.algorithms import SCHEMA
from helpers.checkpoints.manifests import list_checkpoints
from helpers.checkpoints.resolve import resolve_checkpoint
from helpers.demos.load import find_demos
from registry import cli

HEAD, REST = "next: ", "      "
# What follows the word and is no command.
PROSE = ("the same command with --deploy_now starts the runs",)
PLACEHOLDERS = {"NAME", "FILE", "TARGET", "data/runs/NAME"}


def commands_in(printed: str) -> list[list[str]]:
    """The words of each command behind "next: ", and of those in the lines below it."""
    found, is_below = [], False
    for line in printed.splitlines():
        is_below = line.startswith(HEAD) or (is_below and line.startswith(REST))
        if is_below and line[len(HEAD) :] not in PROSE:
            found.append(shlex.split(line[len(HEAD) :]))
    return found


def check(printed: str) -> None:
    """That each command works as printed: its flags, the checkpoint, the files and the demonstrations that it names.

    Raises:
        UserError, SystemExit: as the program would.
    """
    for words in commands_in(printed):
        if words[:2] == ["mpiexec", "-n"]:
            words = words[3:]
        start, looks = next(
            (each for each in PROGRAMS.items() if tuple(words[: len(each[0])]) == each[0]),
            ((), None),
        )
        assert looks is not None, f"a command that nobody tries: {shlex.join(words)}"
        looks(words[len(start) :])


def watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try each such line that this process prints, when it is printed."""
    plain = builtins.print

    def print_and_try(*values: Any, **options: Any) -> None:
        plain(*values, **options)
        text = str(options.get("sep") or " ").join(map(str, values))
        check("\n".join(line for line in text.splitlines() if line.startswith(HEAD)))

    monkeypatch.setattr(builtins, "print", print_and_try)


def _main(words: Sequence[str]) -> None:
    config = SCHEMA.parse_command_line(words).config  # reads the task file of --config, too
    if config.task in ("eval", "export", "verify_resume"):
        wanted = "latest" if config.task == "verify_resume" else config.iter_num
        checkpoint = resolve_checkpoint(Path(config.model_path or ""), wanted)
        if config.task == "verify_resume":
            assert len(list_checkpoints(checkpoint.resolve().parent)) > 1, words
    expert_path = getattr(config, "expert_path", None)
    if expert_path:
        assert find_demos(expert_path).names, words


def _registry(words: Sequence[str]) -> None:
    if words[0] == "serve":  # which has flags of its own: tests/registry/service/test_services.py
        return
    arguments = cli._parser().parse_args(cli._as_flags(words))
    path = getattr(arguments, "checkpoint_path", None)
    if path and path not in PLACEHOLDERS:
        resolve_checkpoint(Path(path), "best")


def _reporter(words: Sequence[str]) -> None:
    from reports.collect import collect, find_run
    from reports.results.compare import two_groups
    from reports.runs.find import find_named
    from reports.verbs.options import others_of
    from swarm.control import find_swarm

    arguments = reporter._parser().parse_args(words)
    if arguments.verb == "compare":
        by, of, mixed = arguments.by, arguments.of, arguments.allow_mixed
        others = others_of(arguments)
        two_groups(arguments.names, by=by, of=of, source=None, allow_mixed=mixed, others=others)
    elif arguments.verb == "report":
        collect(arguments.names, others=others_of(arguments))
    elif arguments.verb == "curve":
        collect(arguments.names)
    elif arguments.verb in ("list", "prune"):
        find_named(arguments.names, arguments.runs_dir)
    elif hasattr(arguments, "run_name"):
        find_run(arguments.run_name)
    elif hasattr(arguments, "swarm"):
        find_swarm(arguments.swarm)


def _tuner(words: Sequence[str]) -> None:
    assert words[0] == "show" and len(words) == 2, words


def _file(words: Sequence[str]) -> None:
    assert Path(words[0].rstrip(",")).is_file(), words


def _program(words: Sequence[str]) -> None:
    compile(words[0], "-c", "exec")


def _nothing(words: Sequence[str]) -> None:
    """Where nothing can be tried without a server or a terminal."""


PROGRAMS: dict[tuple[str, ...], Callable[[Sequence[str]], None]] = {
    ("python", "main.py"): _main,
    ("python", "-m", "registry"): _registry,
    ("python", "reporter.py"): _reporter,
    ("python", "tuner.py"): _tuner,
    ("python", "-m", "agents.zoo"): _file,
    ("python", "-m", "benchmarks.learning.ranges"): _nothing,
    ("python", "-c"): _program,
    ("read",): _file,
    ("sbatch",): _file,
    ("tmux",): _nothing,
}
