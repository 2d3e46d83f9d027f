"""Arguments of sbatch from several layers of calibers: they add up, and later ones win one by one."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from helpers.config.command_line import brief
from helpers.errors import ConfigurationError

# What the spawner writes itself, and why.
_OURS = {
    "comment": "it carries the token by which a submission is found again",
    "job-name": "it is the name of the run",
    "output": "it is the log that the reporter reads",
    "open-mode": "the log is that of all starts of a run",
    "array": "its tasks are the runs of the swarm",
    "ntasks": "these are the workers, of which a run keeps its number",
    "signal": "by it a run saves before its time is over",
    "no-requeue": "a preempted run resumes by being requeued",
}
_INSTEAD = {"ntasks": "--num_workers", "array": "--array", "job-name": "--prefix"}
_SHORT = {
    "A": "account", "a": "array", "B": "extra-node-info", "b": "begin", "C": "constraint", "c": "cpus-per-task",
    "D": "chdir", "d": "dependency", "e": "error", "F": "nodefile", "G": "gpus", "i": "input", "J": "job-name",
    "L": "licenses", "M": "clusters", "m": "distribution", "N": "nodes", "n": "ntasks", "o": "output",
    "p": "partition", "q": "qos", "S": "core-spec", "t": "time", "w": "nodelist", "x": "exclude",
}  # fmt: skip
_SHORTEST = 3  # letters of a name that sbatch completes


def merged_options(layers: Iterable[str | None], *, where: str) -> tuple[str, ...]:
    """One argument an option, `--account=lab`, whichever way it was written.

    Args:
        layers: options as in a shell, the later ones over the earlier ones; None takes all before it away.
        where: "caliber short of any", for messages.

    Raises:
        ConfigurationError: an open quote, a value without an option, or an option that is the spawner's own.
    """
    found: dict[str, str] = {}
    for layer in layers:
        if layer is None:
            found.clear()
            continue
        for option in _options_of(layer, where):
            name = option.partition("=")[0]
            _refuse_ours(name.lstrip("-"), f"options: {brief(option)} ({where})")
            found.pop(name, None)
            found[name] = option
    return tuple(found.values())


def _options_of(text: str, where: str) -> list[str]:
    """`-A lab --qos=long` as ["--account=lab", "--qos=long"]."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigurationError(
            f"options: {brief(text)} ({where}) has an open quote.",
            "Write it as in a shell: --account=lab --reservation='two words'.",
        ) from error
    options: list[str] = []
    for word in words:
        if word.startswith("--"):
            options.append(word)
        elif word.startswith("-") and word[1:2] in _SHORT:
            value = word[2:].removeprefix("=")
            options.append(f"--{_SHORT[word[1]]}" + (f"={value}" if value else ""))
        elif word.startswith("-"):
            options.append(word)
        elif options and "=" not in options[-1]:
            options[-1] += f"={word}"
        else:
            raise ConfigurationError(
                f"options: {brief(text)} ({where}) has the value {brief(word)} without an option.",
                "Write it as in a shell: --account=lab --qos=normal.",
            )
    return options


def _refuse_ours(name: str, shown: str) -> None:
    for ours, why in _OURS.items():
        if name == ours or (len(name) >= _SHORTEST and ours.startswith(name)):
            instead = f", and say it by the spawner's {_INSTEAD[ours]}" if ours in _INSTEAD else ""
            raise ConfigurationError(
                f"{shown} is the spawner's own: {why}.",
                f"Delete --{name} from `options`{instead}.",
            )
