"""Runs as jobs of PBS (OpenPBS, PBS Professional): one each, or arrays.

A job carries its submission's token, and the place of its run in the plan, in its list of variables: however a call
of qsub ends, qstat tells whether it took effect. That list can be read by others, so that nothing else is in it: the
variables of a run go through a file of mode 0600.

qstat's text is read, and not its JSON, which versions before 2020 do not escape, and in which 001 is a number.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.config.command_line import brief
from helpers.errors import ConfigurationError
from swarm.backends.base import (
    Backend,
    DeploymentError,
    Job,
    JobState,
    Life,
    Scheduler,
    SubmitLimitError,
    add_up,
    consecutive,
    keep_environment,
    warning_seconds,
)
from swarm.backends.children import call, last_line
from swarm.ledger import Submission, format_number
from swarm.plan import Plan, Run

_LIVES: Mapping[str, Life] = {
    **dict.fromkeys("QHWT", "queued"),
    **dict.fromkeys("RESUB", "running"),
}
_WORDS = {"H": "held", "W": "waits for its time", "S": "suspended", "E": "exiting"}
_TRIES = 4
_MAX_ARRAY_SIZE = 10_000  # PBS's default
_MOST_IDS = 300  # on one command line
_LONGEST_NAME = 230
_LIMIT = re.compile(r"would exceed .*limit.*|maximum number of jobs.*", re.IGNORECASE)
_NO_JOB = re.compile(r"unknown job id|has finished|job history|^\s*$", re.IGNORECASE)
# Of qsub: what the script says itself, and why; and the options that have no value.
_OURS = {
    "N": "it is the name of the run",
    "o": "the log is that of all starts of a run",
    "e": "the log is that of all starts of a run",
    "j": "the log is that of all starts of a run",
    "J": "the subjobs of an array are the runs of the swarm",
    "S": "the script is bash's",
    "r": "by it a run that was preempted resumes",
    "v": "by it a submission is found again",
    "C": "the script's lines begin with #PBS",
    "I": "nobody types into the job of a run",
}
_OUR_RESOURCES = ("select", "nodes", "ncpus", "mem", "ngpus", "walltime")
_WITHOUT_VALUE = "fhIVXxz"


@dataclass(frozen=True)
class _Row:
    """A job, or a subjob of an array, as qstat shows it."""

    job: str
    state: str
    token: str
    index: str  # the run's place in the plan
    reason: str

    @property
    def life(self) -> Life:
        return _LIVES.get(self.state, "gone")


class PbsScheduler:
    """Submits by qsub, looks by qselect and qstat."""

    kind = "pbs"
    settling = 2.0

    def __init__(self, plan: Plan) -> None:
        # --clear removes the script of the array; what is resumed then goes as single jobs
        self.at_once = plan.launch.array and plan.array_script.exists()
        self._plan = plan
        self._after: str | None = None  # the array before, where runs at a time are limited
        self._indices = {run.name: index for index, run in enumerate(plan.runs)}

    def check(self) -> None:
        """See that PBS's commands are here, and that the server answers."""
        for program in ("qsub", "qselect", "qstat", "qdel"):
            if shutil.which(program) is None:
                raise DeploymentError(
                    f"There is no {program} on this machine.",
                    "Spawn on a login node of the cluster, or with --deployment=tmux.",
                )
        self._live_jobs()

    def query(self, submissions: Mapping[str, Submission]) -> Mapping[str, JobState]:
        """What qstat shows, by the tokens of the submissions."""
        if not submissions:
            return {}
        rows = self._rows(self._live_jobs())
        noted = {str((each.job or {}).get("job") or "") for each in submissions.values()}
        rows += self._rows(sorted(noted - {row.job for row in rows} - {""}), "-x")
        order: Mapping[Life, int] = {"running": 0, "queued": 1, "gone": 2, "unknown": 3}
        found = {}
        for run, submission in submissions.items():
            mine = [row for row in rows if row.token == submission.token and self._is_of(row, run)]
            # a job may have submitted another one
            row = min(mine, key=lambda each: order[each.life], default=None)
            found[run] = JobState("gone") if row is None else self._job_state(row)
        return found

    def submit(self, batch: Sequence[tuple[Run, int]], token: str) -> Mapping[str, Job]:
        """A call of qsub for each array of consecutive places, and for each single run.

        Raises:
            SubmitLimitError: PBS refuses more jobs of this user.
            DeploymentError: qsub refuses. What of this batch was submitted before is deleted.
            StorageError: the environment of the runs cannot be kept.
        """
        [number] = {number for _, number in batch}
        keep_environment(environment_file(self._plan))
        jobs: dict[str, Job] = {}
        for first, last in consecutive(sorted(self._indices[run.name] for run, _ in batch)):
            runs = self._plan.runs[first : last + 1]
            done = _call(self._command(runs, number, token), self._plan.launch.working_folder)
            job = done.stdout.strip()
            if done.returncode != 0 or not re.fullmatch(r"\d+(\[\])?(\.\S+)?", job):
                self.cancel_pending({run.name: [token] for run, _ in batch})
                raise _refusal(runs[0].name, done)
            self._after = job
            for index, run in enumerate(runs, start=first):
                jobs[run.name] = {"deployment": "pbs", "job": job.replace("[]", f"[{index}]")}
        return jobs

    def _command(self, runs: Sequence[Run], number: int, token: str) -> list[str]:
        """Of consecutive runs; an array has two subjobs at least."""
        launch, index = self._plan.launch, self._indices[runs[0].name]
        limit = launch.max_parallel if self.at_once else None
        variables = f"MILOZERO_TOKEN={token},MILOZERO_SUBMISSION={format_number(number)}"
        after = ["-W", f"depend=afterany:{self._after}"] if limit and self._after else []
        head = ["qsub", "-f", *after]  # -f: no process of qsub outlives it
        if len(runs) == 1:
            script = str(runs[0].job_script)
            return [*head, "-v", f"{variables},MILOZERO_RUN={index}", script]
        places = f"{index}-{index + len(runs) - 1}" + (f"%{limit}" if limit else "")
        return [*head, "-v", variables, "-J", places, str(self._plan.array_script)]

    def arrays(self, due: Sequence[tuple[Run, int]]) -> list[list[tuple[Run, int]]]:
        """Consecutive runs of one number, as many as an array may have: `max_array_size` of the server."""
        said = _call(["qstat", "-B", "-f"]).stdout
        found = re.search(r"^\s*max_array_size = (\d+)", said, re.MULTILINE)
        size = max(1, int(found[1])) if found else _MAX_ARRAY_SIZE
        groups: list[list[tuple[Run, int]]] = []
        before: tuple[int, int] | None = None
        for number, index in sorted((number, self._indices[run.name]) for run, number in due):
            if before != (number, index - 1) or len(groups[-1]) == size:
                groups.append([])
            groups[-1].append((self._plan.runs[index], number))
            before = (number, index)
        return groups

    def cancel_pending(self, tokens: Mapping[str, Collection[str]]) -> None:
        """qdel what waits under the tokens of these submissions."""
        if not tokens:
            return
        rows = [row for row in self._rows(self._live_jobs()) if row.life == "queued"]
        jobs = [
            row.job
            for run, of_run in tokens.items()
            for row in rows
            if row.token in of_run and self._is_of(row, run)
        ]
        for start in range(0, len(jobs), _MOST_IDS):
            _call(["qdel", *jobs[start : start + _MOST_IDS]])

    def finish(self) -> None:
        """Nothing: PBS does the rest."""

    def _is_of(self, row: _Row, run: str) -> bool:
        return row.index == str(self._indices.get(run, "none"))

    def _job_state(self, row: _Row) -> JobState:
        return JobState(row.life, {"deployment": "pbs", "job": row.job}, row.reason)

    def _live_jobs(self) -> list[str]:
        """The user's jobs that have not ended.

        Raises:
            DeploymentError: the server does not answer.
        """
        return _answer(["qselect", "-u", getpass.getuser()]).split()

    def _rows(self, jobs: Sequence[str], *options: str) -> list[_Row]:
        """What qstat knows of jobs, arrays by their subjobs; a job may have ended meanwhile."""
        text = ""
        for start in range(0, len(jobs), _MOST_IDS):
            text += _answer(["qstat", "-f", "-t", *options, *jobs[start : start + _MOST_IDS]])
        return list(_read(text))


def _read(text: str) -> Iterator[_Row]:
    """Jobs of `qstat -f`: attributes a line each, whose rest is on lines that begin with a tab."""
    tokens: dict[str, str] = {}  # of arrays
    for part in text.replace("\n\t", "").split("Job Id: ")[1:]:
        job, *lines = part.splitlines()
        said = dict(line.strip().split(" = ", 1) for line in lines if " = " in line)
        pairs = (
            pair.split("=", 1) for pair in said.get("Variable_List", "").split(",") if "=" in pair
        )
        variables = dict(pairs)
        subjob = re.match(r"(\d+)\[(\d*)\]", job)
        token = variables.get("MILOZERO_TOKEN", "")
        if subjob is None:
            index = variables.get("MILOZERO_RUN", "")
        elif not subjob[2]:
            tokens[subjob[1]] = token
            continue  # the array as a whole
        else:
            index, token = subjob[2], token or tokens.get(subjob[1], "")
        state = said.get("job_state", "")
        yield _Row(job.strip(), state, token, index, _reason(state, said.get("comment", "")))


def _reason(state: str, comment: str) -> str:
    """Why a job waits, or how it ended, in the words of PBS."""
    ended = re.search(r" and (\w+)$", comment)
    if state not in _LIVES:
        return ended[1] if ended else ""
    return _WORDS.get(state, comment.removeprefix("Not Running: ") if state == "Q" else "")


def _answer(command: Sequence[str]) -> str:
    """What PBS says; that it does not know a job is an answer as well.

    Raises:
        DeploymentError: it does not answer.
    """
    for pause in range(_TRIES):
        done = _call(command)
        told = done.stderr.splitlines()
        if done.returncode == 0 or (told and all(map(_NO_JOB.search, told))):
            return done.stdout
        time.sleep(pause)
    raise DeploymentError(
        f"PBS does not answer: {last_line(done.stderr)}",
        "Check with qstat -B that the server is up, then run the same command again.",
    )


def _refusal(name: str, done: subprocess.CompletedProcess[str]) -> DeploymentError:
    said = (
        last_line(done.stderr or done.stdout).removeprefix("qsub: ") or f"status {done.returncode}"
    )
    if _LIMIT.search(said):
        return SubmitLimitError(
            f"qsub refuses {name}: you have as many jobs as the cluster takes ({said}).",
            "When some of them have ended (qstat -u $USER), the same command submits the rest.",
        )
    return DeploymentError(
        f"qsub refuses {name}: {said}",
        "Choose another --caliber, or fix its queue, time or options in the calibers file.",
    )


def _call(command: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PBS_O_")}
    return call(command, environment=kept, cwd=cwd)


def environment_file(plan: Plan) -> Path:
    """What its scripts read the variables of a run from."""
    return plan.folder / "pbs.env"


def _directives(plan: Plan, name: str) -> list[str]:
    """The lines that qsub reads. The script writes the log: PBS would bring it when the job has ended."""
    caliber = plan.launch.caliber
    name = re.sub(r"[^A-Za-z0-9_.+-]", "_", name)
    named = name if name[:1].isalpha() else f"r{name}"
    options = [
        f"-N {named[:1]}{named[1:][1 - _LONGEST_NAME :]}",
        "-S /bin/bash",
        f"-l {_chunk(plan)}",
    ]
    if caliber.seconds is not None:
        hours, rest = divmod(caliber.seconds, 3600)
        options.append(f"-l walltime={hours:02d}:{rest // 60:02d}:{rest % 60:02d}")
    if caliber.partition is not None:
        options.append(f"-q {caliber.partition}")
    return [
        f"#PBS {each}" for each in (*options, "-r y", "-j oe", "-o /dev/null", *caliber.options)
    ]


def _chunk(plan: Plan) -> str:
    """One part of one node: workers are processes of one script."""
    workers, caliber = plan.launch.num_workers, plan.launch.caliber
    parts = [f"select=1:ncpus={workers}:mpiprocs={workers}:ompthreads=1"]
    if caliber.memory is not None:
        number, unit = re.fullmatch(r"(\d+)([KMGT]?)", caliber.memory).groups()  # type: ignore[union-attr]
        parts.append(f"mem={number}{(unit or 'M').lower()}b")
    if caliber.gres is not None:
        parts.append(f"ngpus={caliber.gres.removeprefix('gpu:')}")
    return ":".join([*parts, *([caliber.constraint] if caliber.constraint else [])])


def _options_of(words: Sequence[str], shown: str) -> Iterator[tuple[str, str]]:
    """`-A lab -l place=pack` as (what it is about, the option)."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        flag, value = word[1:2], word[2:]
        if not re.fullmatch(r"-[A-Za-z].*", word, re.DOTALL):
            raise ConfigurationError(
                f"{shown}: {brief(word)} is no option of qsub.",
                "Write options as for qsub: -A lab -W group_list=lab.",
            )
        if flag not in _WITHOUT_VALUE and not value:
            value = rest.pop(0) if rest else ""
        resource = value.partition("=")[0] if flag in "lW" else ""
        if flag in _OURS or (flag == "l" and resource in _OUR_RESOURCES):
            why = _OURS.get(flag, "it follows from the workers and the other keys of the caliber")
            raise ConfigurationError(
                f"{shown}: -{flag} {brief(value)} is the spawner's own: {why}.",
                "Delete it from `options`.",
            )
        quoted = value if re.fullmatch(r"[!#-&(-~]*", value) else f'"{value}"'
        yield f"{flag} {resource}", f"-{flag} {quoted}".rstrip()


class PbsBackend(Backend):
    """Jobs of a PBS cluster."""

    name = "pbs"
    title = "PBS"
    template = "pbs.sh.j2"
    is_cluster = True
    pause = 10.0
    to_stop = "qdel JOB"

    def schedulers(self, plan: Plan) -> tuple[Scheduler, ...]:
        """One."""
        return (PbsScheduler(plan),)

    def refusals(self, plan: Plan) -> Iterator[tuple[str, str]]:
        """What a caliber may say that PBS has no word for."""
        caliber = plan.launch.caliber
        if "," in (caliber.partition or ""):
            yield (
                f"{caliber.partition} are several queues; a job of PBS has one.",
                "Choose one of them.",
            )
        if not re.fullmatch(r"gpu:\d+", caliber.gres or "gpu:1"):
            problem = f"gpu_gres: {caliber.gres} is not gpu:NUMBER, as PBS counts GPUs."
            yield (
                problem,
                "Name their kind by gpu_constraint, as in gpu_constraint: gpu_model=a100.",
            )
        if not re.fullmatch(r"\w+=[^:=]+(:\w+=[^:=]+)*", caliber.constraint or "a=b"):
            problem = (
                f"The constraint {caliber.constraint} is not resource=value, as PBS selects nodes."
            )
            yield problem, "Write it as in qsub -l select: cpu_type=rome:scratch=10gb."

    def options(self, layers: Iterable[str | None], *, where: str) -> tuple[str, ...]:
        """Arguments of qsub."""
        return add_up(layers, _options_of, where=where, example="-A lab -W 'group_list=two words'")

    def job_values(self, plan: Plan, run: Run) -> Mapping[str, object]:
        """Directives of qsub, and what the script does in the place of a signal before the limit."""
        warning = warning_seconds(plan.launch.caliber.seconds or 0) or 60
        return {
            "directives": _directives(plan, run.name),
            "index": plan.runs.index(run),
            "environment_file": str(environment_file(plan)),
            "warning": warning,
            "pause": max(1, min(warning // 4, 15)),  # seconds between two looks at the clock
        }

    def array_values(self, plan: Plan) -> Mapping[str, object]:
        """Directives of qsub; the index of a subjob is the place of its run in the plan."""
        limit = "" if plan.launch.max_parallel is None else f"%{plan.launch.max_parallel}"
        several = [f"#PBS -J 0-{len(plan.runs) - 1}{limit}"] if len(plan.runs) > 1 else []
        return {"directives": [*several, *_directives(plan, plan.name)]}


PBS = PbsBackend()
