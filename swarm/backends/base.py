"""What the swarm asks of a place that runs go to. A `Backend` is that place; `swarm/backends/table.py` lists all."""

from __future__ import annotations

import os
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from helpers.config.command_line import brief
from helpers.durable import temporary_name
from helpers.errors import LAUNCH, ConfigurationError, StorageError, UserError
from helpers.machine.processor import VARIABLE
from swarm.ledger import Submission
from swarm.plan import Launch, Launcher, Plan, Run

Life = Literal["queued", "running", "gone", "unknown"]
Job = Mapping[str, Any]  # what the ledger notes; "job" is what people know it by
Words = list[str]  # of a shell, quoted already

PASSED_ON = (  # to runs, by name: their values are in no script and no process list
    "WANDB_API_KEY",
    "WANDB_BASE_URL",
    "WANDB_MODE",
    VARIABLE,
    "OMP_NUM_THREADS",
    "PYTHONUNBUFFERED",
    "CUDA_VISIBLE_DEVICES",
    "WANDB_ENTITY",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "MILOZERO_LAUNCHED",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
)
_MOST_WARNING = 300  # seconds before the end of a job at which it is asked to stop
_LEAST_WARNING = 60


class DeploymentError(UserError):
    """Something that starts runs is missing, or refuses."""

    exit_code = LAUNCH


class SubmitLimitError(DeploymentError):
    """This user has as many jobs as the cluster lets wait and run."""


@dataclass(frozen=True)
class JobState:
    """What the scheduler reports about one submission.

    Attributes:
        life: "unknown" where it is of another machine and cannot be seen from here.
        job: for a submission whose job nobody has noted yet.
        reason: the scheduler's own word: "Resources", "CANCELLED", ...
    """

    life: Life
    job: Job | None = None
    reason: str = ""


class Scheduler(Protocol):
    """Starts runs.

    Attributes:
        kind: what the ledger calls it.
        at_once: whether one call submits many runs (an array).
        settling: seconds after which a call that a killed spawner had begun has taken effect.
    """

    kind: str
    at_once: bool
    settling: float

    def check(self) -> None:
        """Raise `DeploymentError` where nothing can be started."""

    def query(self, submissions: Mapping[str, Submission]) -> Mapping[str, JobState]:
        """What became of submissions, by run; a run that is not in the answer is gone."""

    def submit(self, batch: Sequence[tuple[Run, int]], token: str) -> Mapping[str, Job]:
        """Start runs, each as the submission of that number; the jobs by run."""

    def arrays(self, due: Sequence[tuple[Run, int]]) -> list[list[tuple[Run, int]]]:
        """Runs in groups that one call can submit; asked only where `at_once`."""

    def cancel_pending(self, tokens: Mapping[str, Collection[str]]) -> None:
        """Take what has not begun out of the queue, given the tokens of its submissions by run."""

    def finish(self) -> None:
        """Called when all is submitted."""


class Starter(Scheduler, Protocol):
    """Starts a run at once, on this machine.

    Attributes:
        environment: of the runs.
    """

    environment: Mapping[str, str]


@dataclass(frozen=True)
class SearchJob:
    """A search of the tuner as one job of several nodes.

    Attributes:
        name: of the search.
        folder: its files.
        repository: where tuner.py lies.
        python: the interpreter.
        command: of the tuner inside the job, without the address of its Ray cluster.
        data_root: the folder in the place of data/, absolute; None where there is none.
        nodes, cpus_per_node, time, partition: what is asked of the cluster.
    """

    name: str
    folder: Path
    repository: Path
    python: Path
    command: Sequence[str]
    data_root: Path | None
    nodes: int
    cpus_per_node: int
    time: str
    partition: str | None


@dataclass(frozen=True)
class Searches:
    """How a cluster runs a search of the tuner.

    Attributes:
        script: the name of the job's script in the search's folder.
        command: submits it.
        render: makes its text.
        submit: hands it to the cluster, and gives its answer.
    """

    script: str
    command: str
    render: Callable[[SearchJob], str]
    submit: Callable[[Path], str]


class Backend(ABC):
    """A place that runs go to: what `--deployment NAME` means.

    Attributes:
        name: of the flag's value.
        title: in sentences.
        template: of the job script, a file of swarm/scripts/templates/.
        is_cluster: whether a run is a job that asks for resources and may wait; else it is a process of this machine.
        launchers: programs that may start the workers of a run, the usual one first.
        pause: seconds between two looks at a swarm: a controller serves others too.
        to_stop: the command by which a person stops a job without this program.
        searches: how the tuner's searches become jobs; None where it cannot write one.
    """

    name: str
    title: str
    template: str
    is_cluster = False
    launchers: tuple[Launcher, ...] = ("mpiexec",)
    pause = 2.0
    to_stop = "kill -USR1 PID"
    searches: Searches | None = None

    @abstractmethod
    def schedulers(self, plan: Plan) -> tuple[Scheduler, ...]:
        """All that may have runs of a swarm; the one that new runs go to is the first."""

    def starter(self, plan: Plan) -> Starter | None:
        """What starts a single run at once; None on a cluster, which decides when."""
        return None

    def refusals(self, plan: Plan) -> Iterable[tuple[str, str]]:
        """(problem, remedy) of each setting of a swarm, or of its caliber, that this place cannot take."""
        return ()

    def options(self, layers: Iterable[str | None], *, where: str) -> tuple[str, ...]:
        """`options` of the layers of a caliber as arguments of the program that submits; none on this machine.

        Raises:
            ConfigurationError: one is none, or is the spawner's own. `where` names the caliber.
        """
        return ()

    def usual_launcher(self, *, in_container: bool) -> Launcher:
        """What starts the workers where the command does not say."""
        return self.launchers[0]

    def workers(self, launch: Launch) -> Words:
        """The command that starts the workers of a run."""
        is_own = launch.image is not None or launch.conda_env is not None
        mpiexec = "mpiexec" if is_own else shlex.quote(launch.mpiexec)
        return [mpiexec, "-n", str(launch.num_workers)]

    def exports(self, launch: Launch) -> list[tuple[str, str]]:
        """(name, shell word) of variables of its runs, beside those of all runs."""
        return []

    def job_values(self, plan: Plan, run: Run) -> Mapping[str, object]:
        """What the template of a job script gets, beside what all get."""
        return {"directives": []}

    def array_values(self, plan: Plan) -> Mapping[str, object]:
        """The same for the script of an array; asked of clusters alone."""
        return {}

    def launch_files(self, plan: Plan) -> Mapping[Path, str]:
        """Further files of a swarm, for starting it by hand."""
        return {}

    def next_commands(self, plan: Plan) -> tuple[str, ...]:
        """Commands that show a swarm which has just been started, beside the reporter's."""
        return ()


def add_up(
    layers: Iterable[str | None],
    read: Callable[[Sequence[str], str], Iterable[tuple[str, str]]],
    *,
    where: str,
    example: str,
) -> tuple[str, ...]:
    """Options of several layers of a caliber: they add up, and later ones win one by one.

    Args:
        layers: options as in a shell, the later ones over the earlier ones; None takes all before it away.
        read: words of a layer, and the layer as messages show it, as (what an option is about, the option).
        where: "caliber short of any", for messages.
        example: options that work.

    Raises:
        ConfigurationError: an open quote, or what `read` refuses.
    """
    found: dict[str, str] = {}
    for layer in layers:
        if layer is None:
            found.clear()
            continue
        shown = f"options: {brief(layer)} ({where})"
        try:
            words = shlex.split(layer)
        except ValueError as error:
            raise ConfigurationError(
                f"{shown} has an open quote.",
                f"Write it as in a shell: {example}.",
            ) from error
        for subject, option in read(words, shown):
            found.pop(subject, None)
            found[subject] = option
    return tuple(found.values())


def consecutive(indices: Sequence[int]) -> list[tuple[int, int]]:
    """Sorted numbers as (first, last) of each row without a gap."""
    rows: list[tuple[int, int]] = []
    for index in indices:
        if rows and index == rows[-1][1] + 1:
            rows[-1] = (rows[-1][0], index)
        else:
            rows.append((index, index))
    return rows


def keep_environment(path: Path) -> None:
    """Keep what runs need of this process's environment, as lines for bash, where only this user can read it.

    For a cluster that hands none on, or shows to others what it hands on.

    Raises:
        StorageError: the file cannot be written.
    """
    found = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    text = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in found.items())
    temporary = path.with_name(temporary_name())
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.fsencode(text))
        temporary.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Free space or fix permissions there, then run the same command again.",
        ) from error


def warning_seconds(seconds: int) -> int:
    """How long before its end a job of `seconds` seconds is asked to stop.

    A cluster looks every 30 s or so; a short job still has most of its time to itself.
    """
    return min(max(seconds // 20, min(_LEAST_WARNING, seconds // 3)), _MOST_WARNING)


def state_of_process(submission: Submission) -> JobState:
    """The state of a submission by its job script's notes, without any scheduler."""
    process = submission.process
    if process is None:
        return JobState("gone")
    job = {"deployment": "process", "job": str(process.pid), "host": process.host}
    is_alive = process.is_alive()
    if is_alive is None:
        return JobState("unknown", job, f"on {process.host}")
    if is_alive:
        return JobState("running", job)
    is_silent = submission.verdict is None  # killed, then: what it started may live on
    if is_silent and process.has_survivors():
        return JobState("running", job, "its script was killed, its workers still run")
    return JobState("gone", job)
