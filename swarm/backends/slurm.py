"""Runs as Slurm jobs: one each, or one array for the swarm.

A job carries its submission's token as its comment, from the call of sbatch on: however that call ends, squeue
tells whether it took effect.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swarm.backends import slurm_script
from swarm.backends.base import (
    PASSED_ON,
    Backend,
    DeploymentError,
    Job,
    JobState,
    Life,
    Scheduler,
    SubmitLimitError,
    Words,
    consecutive,
)
from swarm.backends.children import call, last_line
from swarm.backends.slurm_search import SEARCHES
from swarm.ledger import Submission, format_number
from swarm.plan import Launch, Launcher, Plan, Run

_ENDED = (
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
)
_QUEUED = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT")
_COLUMNS = "%i|%K|%T|%r|%k|%j"
_TRIES = 4
_MAX_ARRAY_SIZE = 1001  # Slurm's default
_MOST_IDS = 500  # on one command line
_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS", "SBATCH_ACCOUNT", "SBATCH_QOS", "SBATCH_RESERVATION")


@dataclass(frozen=True)
class _Row:
    """A job, or a task of an array, as squeue shows it."""

    job: str
    index: str  # the run's place in the plan
    state: str
    reason: str
    token: str
    name: str

    @property
    def life(self) -> Life:
        if self.state in _ENDED:
            return "gone"
        return "queued" if self.state in _QUEUED else "running"


class SlurmScheduler:
    """Submits by sbatch, looks by squeue."""

    kind = "slurm"
    settling = 2.0

    def __init__(self, plan: Plan) -> None:
        # --clear removes the script of the array; what is resumed then goes as single jobs
        self.at_once = plan.launch.array and plan.array_script.exists()
        self._plan = plan
        self._max_array_size: int | None = None
        self._after: str | None = None  # the array before, where runs at a time are limited
        self._indices = {run.name: index for index, run in enumerate(plan.runs)}

    def check(self) -> None:
        """See that sbatch and squeue are here, and that the controller answers."""
        for program in ("sbatch", "squeue"):
            if shutil.which(program) is None:
                raise DeploymentError(
                    f"There is no {program} on this machine.",
                    "Spawn on a login node of the cluster, or with --deployment=tmux.",
                )
        self._rows()

    def query(self, submissions: Mapping[str, Submission]) -> Mapping[str, JobState]:
        """What squeue shows, by the tokens of the submissions."""
        if not submissions:
            return {}
        found: dict[str, list[_Row]] = {}
        for row in self._rows():
            found.setdefault(row.token, []).append(row)
        return {
            run: self._job_state(self._rows_of(run, found.get(submission.token, [])))
            for run, submission in submissions.items()
        }

    def submit(self, batch: Sequence[tuple[Run, int]], token: str) -> Mapping[str, Job]:
        """One call of sbatch.

        Raises:
            SubmitLimitError: sbatch refuses more jobs of this user.
            DeploymentError: sbatch refuses.
        """
        [number] = {number for _, number in batch}
        # a job that has to submit itself again passes its token on, by the environment
        head = ["sbatch", "--parsable", f"--comment={token}", *_exported(self._plan)]
        offset = 0
        if self.at_once:
            size = self._longest_array()
            offset = self._indices[batch[0][0].name] // size * size
            head[2] += f"+{offset}"
            indices = ranges(sorted(self._indices[run.name] - offset for run, _ in batch))
            limit = self._plan.launch.max_parallel
            array = f"--array={indices}" + (f"%{limit}" if limit else "")
            after = [f"--dependency=afterany:{self._after}"] if limit and self._after else []
            script = str(self._plan.array_script)
            command = [*head, *after, array, script, format_number(number), str(offset)]
        else:
            [(run, _)] = batch
            command = [*head, f"--job-name={run.name}", str(run.job_script), format_number(number)]
        done = _call(command, cwd=self._plan.launch.working_folder, MILOZERO_TOKEN=token)
        job = done.stdout.strip().partition(";")[0]
        if done.returncode != 0 or not job.isdigit():
            return self._after_refusal(batch, token, done)
        self._after = job
        return {run.name: self._job(run.name, job, offset) for run, _ in batch}

    def arrays(self, due: Sequence[tuple[Run, int]]) -> list[list[tuple[Run, int]]]:
        """An array has one argument, hence one number, and indices below the cluster's MaxArraySize."""
        size = self._longest_array()
        groups: dict[tuple[int, int], list[tuple[Run, int]]] = {}
        for run, number in due:
            groups.setdefault((number, self._indices[run.name] // size), []).append((run, number))
        return [groups[key] for key in sorted(groups)]

    def _longest_array(self) -> int:
        """MaxArraySize: an index has to be below it."""
        if self._max_array_size is None:
            said = _call(["scontrol", "show", "config"]).stdout
            found = re.search(r"^MaxArraySize\s*=\s*(\d+)", said, re.MULTILINE)
            self._max_array_size = max(1, int(found[1])) if found else _MAX_ARRAY_SIZE
        return self._max_array_size

    def cancel_pending(self, tokens: Mapping[str, Collection[str]]) -> None:
        """scancel what waits under the tokens of these submissions."""
        if not tokens:
            return
        rows = self._rows()
        jobs = [
            row.job
            for run, of_run in tokens.items()
            for row in self._rows_of(run, [row for row in rows if row.token in of_run])
            if row.life == "queued"
        ]
        for start in range(0, len(jobs), _MOST_IDS):
            _call(["scancel", "--quiet", "--state=PENDING", *jobs[start : start + _MOST_IDS]])

    def finish(self) -> None:
        """Nothing: Slurm does the rest."""

    def _rows(self) -> list[_Row]:
        """The user's jobs, also those that ended a while ago.

        Raises:
            DeploymentError: the controller does not answer.
        """
        command = ["squeue", "--noheader", "--array", "--states=all", "--format", _COLUMNS]
        for pause in range(_TRIES):
            done = _call([*command, "--user", str(os.getuid())])
            if done.returncode == 0:
                parts = (line.split("|", 5) for line in done.stdout.splitlines())
                return [_row(*each) for each in parts if len(each) == 6]
            time.sleep(pause)
        raise DeploymentError(
            f"Slurm does not answer: {_last_line(done.stderr)}",
            "Check with sinfo that the cluster is up, then run the same command again.",
        )

    def _rows_of(self, run: str, rows: Sequence[_Row]) -> list[_Row]:
        """Those of a run: an array shares its token among its tasks."""
        index = str(self._indices.get(run, "none"))
        return [row for row in rows if row.name == run or row.index == index]

    def _job_state(self, rows: Sequence[_Row]) -> JobState:
        """Of several jobs under one token, the one that is most alive: a job may have resubmitted itself."""
        order = {"running": 0, "queued": 1, "gone": 2}
        if not rows:
            return JobState("gone")
        row = min(rows, key=lambda each: order[each.life])
        reason = row.state if row.life == "gone" or row.reason == "None" else row.reason
        return JobState(row.life, {"deployment": "slurm", "job": row.job}, reason)

    def _job(self, run: str, job: str, offset: int) -> Job:
        task = f"_{self._indices[run] - offset}" if self.at_once else ""
        return {"deployment": "slurm", "job": f"{job}{task}"}

    def _after_refusal(
        self,
        batch: Sequence[tuple[Run, int]],
        token: str,
        done: subprocess.CompletedProcess[str],
    ) -> Mapping[str, Job]:
        """The jobs after all, where sbatch gave up on an answer that was under way."""
        rows = [row for row in self._rows() if row.token == token]
        found = {run.name: self._job_state(self._rows_of(run.name, rows)) for run, _ in batch}
        if all(job_state.job for job_state in found.values()):
            return {run: job_state.job for run, job_state in found.items() if job_state.job}
        name = batch[0][0].name
        if limit := re.search(r"\b\w+MaxSubmit\w+|\b\w+GrpSubmit\w+", done.stderr):
            raise SubmitLimitError(
                f"sbatch refuses {name}: you have as many jobs as the cluster takes ({limit[0]}).",
                "When some of them have ended (squeue --me), the same command submits the rest.",
            )
        said = _last_line(done.stderr or done.stdout) or f"status {done.returncode}"
        raise DeploymentError(
            f"sbatch refuses {name}: {said}",
            "Choose another --caliber, or fix its partition, time or options in the calibers file.",
        )


def _row(job: str, index: str, state: str, reason: str, comment: str, name: str) -> _Row:
    """A comment is a token, and for an array the place in the plan at which it begins: TOKEN+1000."""
    token, _, offset = comment.partition("+")
    if offset.isdigit() and index.isdigit():
        index = str(int(index) + int(offset))
    return _Row(job, index, state, reason, token, name)


def _exported(plan: Plan) -> list[str]:
    """Under --export=NONE the variables that a run needs go along all the same, by their names alone."""
    if "--export=NONE" not in plan.launch.caliber.options:
        return []
    names = [name for name in PASSED_ON if name in os.environ]
    return [f"--export={','.join(['MILOZERO_TOKEN', *names])}"]


def ranges(indices: Sequence[int]) -> str:
    """Sorted numbers as sbatch takes them: 0-3,7."""
    rows = consecutive(indices)
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in rows)


def _call(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not _is_setting(key)}
    return call(command, environment=kept | variables, cwd=cwd)


def _is_setting(key: str) -> bool:
    """Whether an environment variable would overrule the script's head, or is of a job we are inside of."""
    return key.startswith(("SBATCH_", "SQUEUE_", "SCANCEL_", "SLURM_")) and key not in _KEPT


def _last_line(text: str) -> str:
    return last_line(text).removeprefix("sbatch: error: ")


class SlurmBackend(Backend):
    """Jobs of a Slurm cluster."""

    name = "slurm"
    title = "Slurm"
    template = "slurm.sh.j2"
    is_cluster = True
    launchers: tuple[Launcher, ...] = ("mpiexec", "srun")
    pause = 10.0
    to_stop = "scancel JOB"
    searches = SEARCHES

    def schedulers(self, plan: Plan) -> tuple[Scheduler, ...]:
        """One."""
        return (SlurmScheduler(plan),)

    def options(self, layers: Iterable[str | None], *, where: str) -> tuple[str, ...]:
        """Arguments of sbatch."""
        return slurm_script.merged_options(layers, where=where)

    def usual_launcher(self, *, in_container: bool) -> Launcher:
        """Outside the image, since there is no mpiexec of the cluster's in it."""
        return "srun" if in_container else "mpiexec"

    def workers(self, launch: Launch) -> Words:
        """A step of the job, or mpiexec."""
        if launch.launcher != "srun":
            return super().workers(launch)
        mpi = shlex.quote(f"--mpi={launch.mpi}")
        ntasks = f"--ntasks={launch.num_workers}"
        return ["srun", "--export=ALL", mpi, ntasks, "--kill-on-bad-exit=1"]

    def exports(self, launch: Launch) -> list[tuple[str, str]]:
        """There is no srun in the image."""
        is_inside = launch.image is not None and launch.launcher == "mpiexec"
        return [("HYDRA_LAUNCHER", "fork")] if is_inside else []

    def job_values(self, plan: Plan, run: Run) -> Mapping[str, object]:
        """Directives of sbatch."""
        return slurm_script.job_values(plan, run)

    def array_values(self, plan: Plan) -> Mapping[str, object]:
        """Directives of sbatch."""
        return slurm_script.array_values(plan)


SLURM = SlurmBackend()
