"""Jobs of the stand-in for PBS: what qsub makes of a script and its options, and how qstat shows it."""

from __future__ import annotations

import getopt
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SERVER = "pbs"
OPTIONS = "a:A:c:C:e:fhIj:J:k:l:m:M:N:o:p:P:q:r:R:S:u:v:Vw:W:Xz"
WIDTH = 79


class RefusedError(Exception):
    """What a command of PBS prints in the place of an answer."""


@dataclass
class Job:
    """A job, an array or a subjob.

    Attributes:
        number, index: of its id; index is None but for subjobs.
        script: its spooled copy.
        state: the letter of qstat.
        variables: Variable_List.
    """

    number: int
    script: Path
    options: Mapping[str, str]
    resources: Mapping[str, str]
    variables: dict[str, str]
    index: int | None = None
    is_array: bool = False
    state: str = "Q"
    comment: str = "Not Running: Insufficient amount of resource: ncpus"
    exit_status: int | None = None
    run_count: int = 0
    started: float = 0.0  # on the clock that only goes on
    stime: str = ""
    pid: int | None = None
    must_end: str = ""  # why: "walltime", "deleted", "preempted"
    asked_at: float = 0.0
    subjobs: list[Job] = field(default_factory=list)

    @property
    def id(self) -> str:
        """As qsub prints it."""
        part = (
            ""
            if not self.is_array and self.index is None
            else f"[{'' if self.is_array else self.index}]"
        )
        return f"{self.number}{part}.{SERVER}"

    @property
    def cores(self) -> int:
        """Of its one chunk."""
        found = re.search(r"ncpus=(\d+)", self.resources.get("select", ""))
        return int(found[1]) if found else 1

    @property
    def walltime(self) -> float | None:
        """In seconds."""
        text = self.resources.get("walltime")
        if text is None:
            return None
        hours, minutes, seconds = map(int, text.split(":"))
        return hours * 3600 + minutes * 60 + seconds

    @property
    def most_subjobs(self) -> int:
        """That run at a time."""
        limit = self.options["J"].partition("%")[2]
        return int(limit) if limit else len(self.subjobs)

    def shown(self) -> str:
        """As `qstat -f` shows it: values that are long go on behind a tab."""
        values = {
            "Job_Name": self.options.get("N", self.script.name),
            "Job_Owner": "me@login",
            "job_state": self.state,
            "queue": self.options.get("q", "workq"),
            "Join_Path": self.options.get("j", "n"),
            "Rerunable": "True" if self.options.get("r", "y") == "y" else "False",
            **{f"Resource_List.{name}": value for name, value in self.resources.items()},
            **({"stime": self.stime} if self.stime else {}),
            "run_count": str(self.run_count),
            "Variable_List": ",".join(
                f"{name}={value.replace(',', chr(92) + ',')}"
                for name, value in self.variables.items()
            ),
            "comment": self.comment,
            **({} if self.exit_status is None else {"Exit_status": str(self.exit_status)}),
            **({"array": "True"} if self.is_array else {}),
            **({} if self.index is None else {"array_index": str(self.index)}),
        }
        lines = [f"Job Id: {self.id}"]
        for name, value in values.items():
            text = f"    {name} = "
            for part in re.split(r"(?<=[, ])", value):
                if len(text.rpartition("\n")[2]) + len(part) > WIDTH:
                    text += "\n\t"
                text += part
            lines.append(text)
        return "\n".join(lines) + "\n\n"


def read_submission(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    cwd: str,
) -> tuple[Path, dict[str, str], dict[str, str], dict[str, str]]:
    """(script, options, resources, variables) of a call of qsub; the command line goes over the script.

    Raises:
        RefusedError: PBS would not take it.
    """
    try:
        typed, operands = getopt.getopt(list(arguments), OPTIONS)
    except getopt.GetoptError as error:
        raise RefusedError(f"qsub: {error}\nusage: qsub [-a date_time] ...") from error
    if len(operands) != 1:
        raise RefusedError("usage: qsub [-a date_time] ... [- | script | -- command [arg ...]]")
    script = Path(cwd) / operands[0]
    try:
        lines = script.read_text().splitlines()
    except OSError as error:
        raise RefusedError(f"qsub: script file:: {error.strerror}") from error
    options: dict[str, str] = {}
    resources: dict[str, str] = {}
    variables = {f"PBS_O_{name}": environment.get(name, "") for name in ("HOME", "PATH", "SHELL")}
    variables |= {"PBS_O_WORKDIR": cwd, "PBS_O_HOST": "login", "PBS_O_QUEUE": "workq"}
    for flag, value in [*getopt.getopt(_directives(lines), OPTIONS)[0], *typed]:
        if flag == "-l":
            name, _, amount = value.partition("=")
            resources[name] = amount
        elif flag == "-v":
            variables |= _listed(value, environment)
        elif flag == "-V":
            variables |= environment
        else:
            options[flag[1:]] = value
    _check(options)
    return script, options, resources, variables


def _listed(value: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of `-v NAME=VALUE,NAME`; one without a value has that of the caller."""
    parts = [each.partition("=") for each in value.split(",")]
    return {name: given if equals else environment[name] for name, equals, given in parts}


def _directives(lines: Sequence[str]) -> list[str]:
    """The words of a script's #PBS lines, up to its first command."""
    words: list[str] = []
    for line in lines:
        if line.startswith("#PBS"):
            words += shlex.split(line[4:])
        elif line.strip() and not line.startswith("#"):
            break
    return words


def _check(options: Mapping[str, str]) -> None:
    name = options.get("N", "STDIN")
    if len(name) > 230 or not re.fullmatch(r"[A-Za-z][!-~]*", name):
        raise RefusedError("qsub: illegal -N value")
    if "J" in options:
        found = re.fullmatch(r"(\d+)-(\d+)(%\d+)?", options["J"])
        if found is None or int(found[1]) >= int(found[2]):
            raise RefusedError("qsub: illegal -J value")
        if options.get("r") != "y":
            raise RefusedError("qsub: cannot submit non-rerunable Array Job")
    if options.get("q", "workq") not in ("workq", "short"):
        raise RefusedError("qsub: Unknown queue")


def subjobs_of(array: Job) -> list[Job]:
    """The subjobs of an array that has just been submitted."""
    found = re.match(r"(\d+)-(\d+)", array.options["J"])
    assert found is not None
    return [
        Job(
            array.number,
            array.script,
            array.options,
            array.resources,
            dict(array.variables),
            index=index,
        )
        for index in range(int(found[1]), int(found[2]) + 1)
    ]


def environment_of(job: Job, path: str, home: str) -> dict[str, str]:
    """What a job's script finds: nothing of the shell that submitted it but its list of variables."""
    threads = re.search(r"ompthreads=(\d+)", job.resources.get("select", ""))
    found = {
        "HOME": home,
        "PATH": path,
        "PBS_ENVIRONMENT": "PBS_BATCH",
        "PBS_JOBID": job.id,
        "PBS_JOBNAME": job.options.get("N", ""),
        "NCPUS": str(job.cores),
        "OMP_NUM_THREADS": threads[1] if threads else str(job.cores),
        **job.variables,
    }
    if job.index is not None:
        found |= {"PBS_ARRAY_INDEX": str(job.index), "PBS_ARRAY_ID": f"{job.number}[].{SERVER}"}
    return found
