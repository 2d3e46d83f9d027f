"""The directives of a job for Slurm: the spawner's own, and those that the options of a caliber add."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from helpers.config.command_line import brief
from helpers.errors import ConfigurationError
from swarm.backends.base import add_up, warning_seconds
from swarm.plan import Caliber, Plan, Run

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


def job_values(plan: Plan, run: Run) -> Mapping[str, object]:
    """What the template of a job gets."""
    return {
        "directives": _directives(plan, job_name=run.name, output=_no_pattern(plan.log_file(run))),
    }


def array_values(plan: Plan) -> Mapping[str, object]:
    """What the template of an array gets; the index of a task is the place of its run in the plan."""
    limit = "" if plan.launch.max_parallel is None else f"%{plan.launch.max_parallel}"
    output = str(plan.folder / "logs" / "array_%a.log")
    return {
        "directives": [
            f"#SBATCH --array=0-{len(plan.runs) - 1}{limit}",
            *_directives(plan, job_name=plan.name, output=output),
        ],
    }


def sbatch_word(text: str) -> str:
    """One argument as sbatch reads it after `#SBATCH`, where there is no shell."""
    if re.fullmatch(r"[\w.,:/=+@%|&*()\[\]-]+", text, re.ASCII):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def merged_options(layers: Iterable[str | None], *, where: str) -> tuple[str, ...]:
    """One argument an option, `--account=lab`, whichever way it was written.

    Args:
        layers: options as in a shell, the later ones over the earlier ones; None takes all before it away.
        where: "caliber short of any", for messages.

    Raises:
        ConfigurationError: an open quote, a value without an option, or an option that is the spawner's own.
    """

    def read(words: Sequence[str], shown: str) -> Iterator[tuple[str, str]]:
        for option in _options_of(words, shown):
            name = option.partition("=")[0]
            _refuse_ours(name.lstrip("-"), f"options: {brief(option)} ({where})")
            yield name, option

    example = "--account=lab --reservation='two words'"
    return add_up(layers, read, where=where, example=example)


def _directives(plan: Plan, *, job_name: str, output: str) -> list[str]:
    """The lines that sbatch reads."""
    launch, caliber = plan.launch, plan.launch.caliber
    words = [
        f"--job-name={job_name}",
        f"--ntasks={launch.num_workers}",
        "--cpus-per-task=1",
        *_cluster_options(caliber),
        "--requeue",
        "--open-mode=append",
        f"--output={output}",
        *caliber.options,
    ]
    return [f"#SBATCH {sbatch_word(word)}" for word in words]


def _no_pattern(path: Path) -> str:
    return str(path).replace("%", "%%")


def _cluster_options(caliber: Caliber) -> list[str]:
    words = []
    if caliber.seconds is not None:
        words.append(f"--time={_time(caliber.seconds)}")
        words.append(f"--signal=B:USR1@{warning_seconds(caliber.seconds)}")
    for name, value in (
        ("partition", caliber.partition),
        ("mem", caliber.memory),
        ("constraint", caliber.constraint),
        ("gres", caliber.gres),
    ):
        if value is not None:
            words.append(f"--{name}={value}")
    return words


def _time(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    return f"{hours // 24}-{hours % 24:02d}:{rest // 60:02d}:{rest % 60:02d}"


def _options_of(words: Sequence[str], shown: str) -> list[str]:
    """`-A lab --qos=long` as ["--account=lab", "--qos=long"]."""
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
                f"{shown} has the value {brief(word)} without an option.",
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
