"""A plan -> the texts that start it: job scripts, one array, a tmuxp session, settings. Pure.

Whatever comes from a user is quoted for the shell that will read it, byte for byte: `shlex.quote`
in scripts, `sbatch_word` in the lines that sbatch reads.
"""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from helpers.config.schema import config_text, to_flags
from helpers.machine.processor import VARIABLE
from helpers.parallel.launch import LAUNCHED_FILE
from swarm.plan import Caliber, Launch, Plan, Run

if TYPE_CHECKING:
    from jinja2 import Environment, Template

Words = list[str]  # of a shell, quoted already

CONTAINER_FOLDER = "/workspace"
PASSED_ON = (  # by name: their values are in no script and no process list
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
# For images whose MPI is Open MPI, which MPICH takes no notice of.
_OPEN_MPI = (
    "OMPI_MCA_plm_rsh_agent=sh",
    "OMPI_ALLOW_RUN_AS_ROOT=1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
)
_BOUND_SETTINGS = (
    "runs_dir",
    "expert_path",
    "data_root",
)  # folders outside the repository that a run needs
_MOST_WARNING = 300  # seconds before the end of a job at which it is asked to stop
_LEAST_WARNING = 60
_LAUNCH_SECONDS = 600  # for the workers to find each other, which takes seconds


def render_job(plan: Plan, run: Run) -> str:
    """The job script of a run: for sbatch, for a window of tmux, or for bash alone."""
    launch = plan.launch
    is_slurm = launch.deployment == "slurm"
    return _template("job.sh.j2").render(
        directives=_directives(plan, job_name=run.name, log=plan.log_file(run)) if is_slurm else [],
        name=run.name,
        swarm=plan.name,
        run_folder=str(run.folder),
        ledger=str(plan.run_ledger(run)),
        log="tee" if launch.deployment == "tmux" else "",
        log_file=str(plan.log_file(run)),
        working_folder=str(launch.working_folder),
        max_restarts=launch.max_restarts,
        launch_seconds=_LAUNCH_SECONDS,
        launched_file=_launched_file(plan, run),
        launcher=launch.launcher,
        in_container=launch.image is not None,
        is_slurm=is_slurm,
        pinned=launch.num_workers if launch.pin else 0,
        is_apptainer=is_apptainer(launch),
        modules=launch.caliber.modules,
        setup=launch.caliber.setup,
        conda_env=launch.conda_env,
        conda_programs=_conda_programs(launch),
        secrets_file=None if launch.secrets_file is None else str(launch.secrets_file),
        seconds=launch.caliber.seconds,
        exports=_exports(launch),
        command=_command(plan, run),
    )


def render_array(plan: Plan) -> str:
    """The one script of `--array`; the index of a task is the place of its run in the plan."""
    count = len(plan.runs)
    limit = "" if plan.launch.max_parallel is None else f"%{plan.launch.max_parallel}"
    log = plan.folder / "logs" / "array_%a.log"
    return _template("array.sh.j2").render(
        directives=[
            f"--array=0-{count - 1}{limit}",
            *_directives(plan, job_name=plan.name, log=log, is_pattern=True),
        ],
        swarm=plan.name,
        launch_folder=str(plan.launch_folder),
        names=[run.name for run in plan.runs],
        scripts=[str(run.job_script) for run in plan.runs],
        logs=[str(plan.log_file(run)) for run in plan.runs],
    )


def render_session(plan: Plan) -> str:
    """The session as `tmuxp load` takes it by hand: a window a run, made together with its command."""
    windows = [
        {
            "window_name": run.name,
            "window_shell": f"exec bash {shlex.quote(str(plan.launch_script(run)))} 001",
            "panes": [""],
        }
        for run in plan.runs
    ]
    session = {"session_name": plan.name, "windows": windows}
    text: str = yaml.safe_dump(session, sort_keys=False, width=10**9)
    return text


def render_settings(run: Run) -> str:
    """The YAML file of `--args_method=yaml`."""
    return config_text(run.config)


def sbatch_word(text: str) -> str:
    """One argument as sbatch reads it after `#SBATCH`, where there is no shell."""
    if re.fullmatch(r"[\w.,:/=+@%|&*()\[\]-]+", text, re.ASCII):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def warning_seconds(seconds: int) -> int:
    """How long before its end a job of `seconds` seconds is asked to stop.

    Slurm looks every 30 s or so; a short job still has most of its time to itself.
    """
    return min(max(seconds // 20, min(_LEAST_WARNING, seconds // 3)), _MOST_WARNING)


def _directives(
    plan: Plan,
    *,
    job_name: str,
    log: Path,
    is_pattern: bool = False,
) -> list[str]:
    """What stands after `#SBATCH`."""
    launch, caliber = plan.launch, plan.launch.caliber
    output = str(log) if is_pattern else str(log).replace("%", "%%")
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
    return [sbatch_word(word) for word in words]


def _cluster_options(caliber: Caliber) -> list[str]:
    words = []
    if caliber.seconds is not None:
        words.append(f"--time={_slurm_time(caliber.seconds)}")
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


def _slurm_time(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    return f"{hours // 24}-{hours % 24:02d}:{rest // 60:02d}:{rest % 60:02d}"


def _exports(launch: Launch) -> list[tuple[str, str]]:
    """(name, shell word) of the environment of a run."""
    exports = [
        ("PYTHONUNBUFFERED", "1"),
        ("OMP_NUM_THREADS", '"${OMP_NUM_THREADS:-1}"'),
        ("MKL_NUM_THREADS", '"${MKL_NUM_THREADS:-1}"'),
        ("OPENBLAS_NUM_THREADS", '"${OPENBLAS_NUM_THREADS:-1}"'),
    ]
    if launch.launcher == "mpiexec":
        # Open MPI 4 and 5 bind worker 0 of each run to the first core: Slurm, or nobody, decides
        exports.append(("OMPI_MCA_hwloc_base_binding_policy", "none"))
        exports.append(("PRTE_MCA_hwloc_default_binding_policy", "none"))
    if launch.march is not None:
        exports.append((VARIABLE, shlex.quote(launch.march)))
    if launch.wandb_base_url is not None:
        exports.append(("WANDB_BASE_URL", shlex.quote(launch.wandb_base_url)))
    if launch.image is not None:
        # packages in the home folder are those of another Python
        exports.append(("PYTHONNOUSERSITE", "1"))
        if launch.deployment == "slurm" and launch.launcher == "mpiexec":
            exports.append(("HYDRA_LAUNCHER", "fork"))  # there is no srun in the image
    return exports


def _conda_programs(launch: Launch) -> tuple[str, ...]:
    """Programs that have to be the conda environment's own."""
    if launch.image is not None:
        return ()
    return ("python", "mpiexec") if launch.launcher == "mpiexec" else ("python",)


def _command(plan: Plan, run: Run) -> list[Words]:
    """The command that is the run, in lines of shell words."""
    launch = plan.launch
    start = _workers(launch)
    arguments = [[shlex.quote(each)] for each in _arguments(plan, run)]
    if launch.image is None:
        python = "python" if launch.conda_env else shlex.quote(str(launch.python))
        return [start, [python, shlex.quote(launch.program)], *arguments]
    inside = [["python", "main.py"], *arguments]
    if not is_apptainer(launch):
        return [*_docker(plan, run), start, *inside]
    container = _apptainer(plan, run)
    return (
        [start, *container, *inside] if launch.launcher == "srun" else [*container, start, *inside]
    )


def _launched_file(plan: Plan, run: Run) -> str:
    """Where main.py says that its workers are there, as a container sees it too."""
    path, here = run.folder / LAUNCHED_FILE, plan.launch.working_folder
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _workers(launch: Launch) -> Words:
    """What starts the workers of a run."""
    if launch.launcher == "srun":
        mpi = shlex.quote(f"--mpi={launch.mpi}")
        return [
            "srun",
            "--export=ALL",
            mpi,
            f"--ntasks={launch.num_workers}",
            "--kill-on-bad-exit=1",
        ]
    is_own = launch.image is not None or launch.conda_env is not None
    mpiexec = "mpiexec" if is_own else shlex.quote(launch.mpiexec)
    return [mpiexec, "-n", str(launch.num_workers)]


def _arguments(plan: Plan, run: Run) -> list[str]:
    """What main.py gets; whichever way, it makes the same configuration of it."""
    method = plan.launch.args_method
    if method == "yaml":
        path = plan.config_file(run)
        inside = path.is_relative_to(plan.launch.working_folder)
        return [f"--config={path.relative_to(plan.launch.working_folder) if inside else path}"]
    return to_flags(run.config, method)


def _docker(plan: Plan, run: Run) -> list[Words]:
    launch = plan.launch
    volume = shlex.quote(f"{launch.working_folder}:{CONTAINER_FOLDER}")
    lines: list[Words] = [
        ["docker", "run", "--rm", "--init", "--shm-size=1g", '--user="$(id -u):$(id -g)"'],
        ["-v", volume, "-w", CONTAINER_FOLDER],
        *(["-v", shlex.quote(f"{path}:{path}")] for path in bound_folders(plan, run)),
        *(["-e", name] for name in PASSED_ON),
        *(["-e", pair] for pair in _OPEN_MPI),
    ]
    if launch.gpu:
        lines.append(["--gpus", "all"])
    if launch.pin:
        lines.append(['--cpuset-cpus="$cores"'])
    return [*lines, [shlex.quote(str(launch.image))]]


def _apptainer(plan: Plan, run: Run) -> list[Words]:
    launch = plan.launch
    image = str(launch.image) if image_source(launch) is None else str(plan.image_file)
    folder = shlex.quote(str(launch.working_folder))
    lines: list[Words] = [
        ['"$engine"', "exec", *(["--nv"] if launch.gpu else [])],
        ["--bind", folder, "--pwd", folder],
        *(["--bind", shlex.quote(path)] for path in bound_folders(plan, run)),
        [shlex.quote(image)],
    ]
    return lines


def bound_folders(plan: Plan, run: Run) -> list[str]:
    """Folders outside the repository that a container of this run has to see: as named, and where links lead."""
    repository = plan.launch.working_folder
    named = [str(run.folder.parent), *(getattr(run.config, key, None) for key in _BOUND_SETTINGS)]
    if plan.launch.args_method == "yaml":
        named.append(str(plan.config_file(run).parent))
    folders = [repository / Path(each).expanduser() for each in named if each]
    folders += [each.resolve() for each in [repository / "data", *folders]]
    inside = (repository, repository.resolve())
    outside = (each for each in folders if not any(map(each.is_relative_to, inside)))
    return list(dict.fromkeys(map(str, outside)))


def is_apptainer(launch: Launch) -> bool:
    """Clusters have Apptainer or Singularity in the place of docker; and a .sif is theirs."""
    if launch.image is None:
        return False
    return launch.deployment == "slurm" or launch.image.endswith(".sif")


def image_source(launch: Launch) -> str | None:
    """What Apptainer has to convert before the runs start; None where the image is a file, or docker's."""
    image = launch.image
    if image is None or not is_apptainer(launch) or _is_path(image):
        return None
    return image if "://" in image else f"docker://{image}"


def _is_path(image: str) -> bool:
    return image.endswith(".sif") or image.startswith(("/", "./", "../", "~"))


@cache
def _template(name: str) -> Template:
    return _environment().get_template(name)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        undefined=StrictUndefined,
        comment_start_string="<#",  # {# is bash's, as in ${#array[@]}
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # shell scripts: the filter q quotes
    )
    environment.filters["q"] = shlex.quote
    return environment
