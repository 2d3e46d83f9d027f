"""What is to be launched: the words that expansion, rendering and deployment share.

`swarm.planning.expand` makes a `Plan`, `swarm.scripts.render` turns it into texts, `swarm.deploy` starts it. A plan
holds no secret: `plan.json` may be read by everyone who may read the runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from helpers.config.run import RunConfig
from helpers.config.schema import Schema
from helpers.durable import write_atomically
from helpers.errors import ConfigurationError
from helpers.run_folder.experiment import group_of

Deployment = Literal["tmux", "slurm", "local"]
ArgsMethod = Literal["full", "yaml", "minimal"]
Launcher = Literal["mpiexec", "srun"]

PLAN_FILE = "plan.json"
JOB_FILE = "job.sh"  # the script, as a copy in the run folder that --clear leaves alone
TMUX_SOCKET = "milozero"
_VERSION = 1


@dataclass(frozen=True)
class Run:
    """One run of a swarm.

    Attributes:
        name: of the run and of its folder; equal to `config.uuid`.
        config: complete and validated.
        folder: its run folder, absolute.
        trial: which draw of the sweep it is, from 0; 0 without a sweep.
    """

    name: str
    config: RunConfig
    folder: Path
    trial: int = 0

    @property
    def group(self) -> str:
        """What the seeds of one experiment share."""
        return group_of(self.name)

    @property
    def job_script(self) -> Path:
        """The copy of the rendered script that is executed and stays."""
        return self.folder / JOB_FILE


@dataclass(frozen=True)
class Caliber:
    """What a run asks of a cluster; every field but the name may be unset, and is then not asked.

    Attributes:
        name: as in `--caliber`.
        seconds: the longest time of one start of a run; None is no limit.
        partition, constraint, gres: of the processor or of the GPU, whichever is asked for.
        memory: as sbatch writes it: "16G".
        modules: loaded in this order before anything runs.
        setup: shell lines that each job runs after that.
        options: further arguments of sbatch: "--account=lab".
    """

    name: str
    seconds: int | None = None
    partition: str | None = None
    memory: str | None = None
    constraint: str | None = None
    gres: str | None = None
    modules: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    setup: str = ""


@dataclass(frozen=True)
class Launch:
    """How the runs of a swarm are started; the same for all of them.

    Attributes:
        deployment: where to.
        working_folder: where the runs are started, absolute: relative paths mean this folder.
        program: main.py, absolute where it does not lie in the working folder.
        python: the interpreter that spawned, absolute; its folder comes first on the PATH of a job.
        num_workers: MPI processes of a run.
        caliber: what a run asks of a cluster.
        args_method: how a run gets its settings.
        launcher: what starts the workers.
        mpiexec: the one that belongs to `python`; in a container or a conda environment, its own.
        mpi: the plugin that srun joins them by, `srun --mpi=pmi2`.
        conda_env: activated before the run.
        image: name of a container image, or the path of a .sif.
        gpu: whether a GPU is asked for.
        max_parallel: runs at a time; None is no limit.
        pin: whether each run has processors of its own.
        array: Slurm: one array for the swarm in place of a job a run.
        max_restarts: of one submission of a run.
        march: MILOZERO_MARCH of the runs; None leaves each to its machine's processor.
        wandb_base_url: of a private wandb.
        secrets_file: sourced by the scripts, mode 0600; None where there are no secrets.
        tmux_socket: of the server that holds the session.
    """

    deployment: Deployment
    working_folder: Path
    python: Path
    program: str = "main.py"
    num_workers: int = 2
    caliber: Caliber = Caliber("none")
    args_method: ArgsMethod = "full"
    launcher: Launcher = "mpiexec"
    mpiexec: str = "mpiexec"
    mpi: str = "pmi2"
    conda_env: str | None = None
    image: str | None = None
    gpu: bool = False
    max_parallel: int | None = None
    pin: bool = False
    array: bool = False
    max_restarts: int = 50
    march: str | None = None
    wandb_base_url: str | None = None
    secrets_file: Path | None = None
    tmux_socket: str = TMUX_SOCKET


@dataclass(frozen=True)
class Plan:
    """A swarm: its name, its folder, its runs in the order of their array indices.

    What lies in the folder: `plan.json`, `configs/` (--args_method=yaml; stays, since a job that is
    requeued reads it again), `launch/` (what --clear removes), `logs/`, `ledger/`, `secrets.env`.
    """

    name: str
    folder: Path
    runs: tuple[Run, ...]
    launch: Launch

    @cached_property
    def by_name(self) -> Mapping[str, Run]:
        """The runs by their names."""
        return {run.name: run for run in self.runs}

    @property
    def launch_folder(self) -> Path:
        """What is needed to deploy, and nothing that a deployed job reads."""
        return self.folder / "launch"

    @property
    def array_script(self) -> Path:
        """The one script of `--array`: sbatch keeps a copy of it."""
        return self.launch_folder / "array.sh"

    @property
    def session_file(self) -> Path:
        """The tmuxp session."""
        return self.launch_folder / "session.yaml"

    @property
    def image_file(self) -> Path:
        """What the image of `launch.image` is converted to, where Apptainer runs it."""
        return self.folder / "image.sif"

    @property
    def ledger_folder(self) -> Path:
        """Who submitted what, by run."""
        return self.folder / "ledger"

    def launch_script(self, run: Run) -> Path:
        """The rendered script of a run, before it is copied to `run.job_script`."""
        return self.launch_folder / f"{run.name}.sh"

    def config_file(self, run: Run) -> Path:
        """The settings of a run that was asked for with --args_method=yaml."""
        return self.folder / "configs" / f"{run.name}.yaml"

    def log_file(self, run: Run) -> Path:
        """What the run prints, over all its starts."""
        return self.folder / "logs" / f"{run.name}.log"

    def run_ledger(self, run: Run) -> Path:
        """The ledger's folder of one run."""
        return self.ledger_folder / run.name


def save(plan: Plan) -> None:
    """Write `plan.json`, atomically.

    Raises:
        OSError: the folder cannot be written.
    """
    launch = asdict(plan.launch)
    launch |= {key: str(value) for key, value in launch.items() if isinstance(value, Path)}
    runs = [
        {
            "name": run.name,
            "folder": str(run.folder),
            "trial": run.trial,
            "settings": run.config.model_dump(),
        }
        for run in plan.runs
    ]
    content = {"version": _VERSION, "name": plan.name, "launch": launch, "runs": runs}
    plan.folder.mkdir(parents=True, exist_ok=True)
    write_atomically(plan.folder / PLAN_FILE, json.dumps(content, indent=1) + "\n")


def load(folder: Path, schema: Schema | None = None) -> Plan:
    """The plan that a swarm folder holds.

    Args:
        folder: of the swarm.
        schema: of the settings; that of main.py if None.

    Raises:
        ConfigurationError: there is none, or it is damaged.
    """
    if schema is None:
        from agents.algorithms import SCHEMA

        schema = SCHEMA
    path = folder / PLAN_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != _VERSION:
            raise ValueError(f"version {content['version']}")
        launch = _launch_of(content["launch"])
        runs = tuple(_run_of(each, schema) for each in content["runs"])
        return Plan(str(content["name"]), folder.absolute(), runs, launch)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} is not a swarm: {path} cannot be read ({error.strerror}).",
            "Give a folder in data/swarms, or spawn the swarm again.",
        ) from error
    except (ValueError, LookupError, TypeError) as error:
        raise ConfigurationError(
            f"{path} is damaged, or from another version of this program.",
            "Spawn the swarm again: its ledger records which runs have started.",
        ) from error


def _launch_of(values: dict[str, Any]) -> Launch:
    caliber = values["caliber"]
    caliber |= {key: tuple(caliber[key]) for key in ("modules", "options")}
    paths = {
        key: None if values[key] is None else Path(values[key])
        for key in ("working_folder", "python", "secrets_file")
    }
    return Launch(**{**values, **paths, "caliber": Caliber(**caliber)})


def _run_of(values: dict[str, Any], schema: Schema) -> Run:
    config = schema.resolve(schema.layer_of(values["settings"])).config
    return Run(values["name"], config, Path(values["folder"]), values["trial"])
