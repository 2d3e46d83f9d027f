"""A plan -> the texts that start it: job scripts, one array, settings. Pure.

Whatever comes from a user is quoted for the shell that will read it, byte for byte, by `shlex.quote`; a backend
quotes the lines that its cluster reads. `templates/job.sh.j2` is the frame of every job script, and a backend's
template fills in its blocks.
"""

from __future__ import annotations

import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from helpers.config.schema import config_text, to_flags
from helpers.machine.processor import VARIABLE
from helpers.parallel.launch import LAUNCHED_FILE
from swarm.backends.base import PASSED_ON, Words
from swarm.backends.table import backend_of
from swarm.plan import Launch, Plan, Run

if TYPE_CHECKING:
    from jinja2 import Environment, Template

CONTAINER_FOLDER = "/workspace"
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
_LAUNCH_SECONDS = 600  # for the workers to find each other, which takes seconds


def render_job(plan: Plan, run: Run) -> str:
    """The job script of a run: for a cluster, for a window of tmux, or for bash alone."""
    launch = plan.launch
    backend = backend_of(launch.deployment)
    values = {
        "frame": "job.sh.j2",
        "title": backend.title,
        "name": run.name,
        "swarm": plan.name,
        "run_folder": str(run.folder),
        "ledger": str(plan.run_ledger(run)),
        "log": "",
        "log_file": str(plan.log_file(run)),
        "working_folder": str(launch.working_folder),
        "max_restarts": launch.max_restarts,
        "launch_seconds": _LAUNCH_SECONDS,
        "launched_file": _launched_file(plan, run),
        "launcher": launch.launcher,
        "in_container": launch.image is not None,
        "is_cluster": backend.is_cluster,
        "pinned": launch.num_workers if launch.pin else 0,
        "is_apptainer": is_apptainer(launch),
        "modules": launch.caliber.modules,
        "setup": launch.caliber.setup,
        "conda_env": launch.conda_env,
        "conda_programs": _conda_programs(launch),
        "secrets_file": None if launch.secrets_file is None else str(launch.secrets_file),
        "seconds": launch.caliber.seconds,
        "exports": _exports(launch),
        "command": _command(plan, run),
    }
    return _template(backend.template).render(values | dict(backend.job_values(plan, run)))


def render_array(plan: Plan) -> str:
    """The one script of `--array`; the index of a task is the place of its run in the plan."""
    backend = backend_of(plan.launch.deployment)
    values = {
        "frame": "array.sh.j2",
        "swarm": plan.name,
        "launch_folder": str(plan.launch_folder),
        "names": [run.name for run in plan.runs],
        "scripts": [str(run.job_script) for run in plan.runs],
        "logs": [str(plan.log_file(run)) for run in plan.runs],
    }
    return _template(backend.template).render(values | dict(backend.array_values(plan)))


def render_settings(run: Run) -> str:
    """The YAML file of `--args_method=yaml`."""
    return config_text(run.config)


def _exports(launch: Launch) -> list[tuple[str, str]]:
    """(name, shell word) of the environment of a run."""
    exports = [
        ("PYTHONUNBUFFERED", "1"),
        ("OMP_NUM_THREADS", '"${OMP_NUM_THREADS:-1}"'),
        ("MKL_NUM_THREADS", '"${MKL_NUM_THREADS:-1}"'),
        ("OPENBLAS_NUM_THREADS", '"${OPENBLAS_NUM_THREADS:-1}"'),
    ]
    if launch.launcher == "mpiexec":
        # Open MPI 4 and 5 bind worker 0 of each run to the first core: the cluster, or nobody, decides
        exports.append(("OMPI_MCA_hwloc_base_binding_policy", "none"))
        exports.append(("PRTE_MCA_hwloc_default_binding_policy", "none"))
    if launch.march is not None:
        exports.append((VARIABLE, shlex.quote(launch.march)))
    if launch.wandb_base_url is not None:
        exports.append(("WANDB_BASE_URL", shlex.quote(launch.wandb_base_url)))
    if launch.image is not None:
        # packages in the home folder are those of another Python
        exports.append(("PYTHONNOUSERSITE", "1"))
    return exports + backend_of(launch.deployment).exports(launch)


def _conda_programs(launch: Launch) -> tuple[str, ...]:
    """Programs that have to be the conda environment's own."""
    if launch.image is not None:
        return ()
    return ("python", "mpiexec") if launch.launcher == "mpiexec" else ("python",)


def _command(plan: Plan, run: Run) -> list[Words]:
    """The command that is the run, in lines of shell words."""
    launch = plan.launch
    start = backend_of(launch.deployment).workers(launch)
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
    return backend_of(launch.deployment).is_cluster or launch.image.endswith(".sif")


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
