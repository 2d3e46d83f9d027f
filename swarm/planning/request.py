"""A command line -> a plan: which files are read, what goes over and under the YAML file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from helpers.config.command_line import Layer
from helpers.config.schema import Schema
from helpers.config.settings import Scalar
from helpers.data_root import data_root, place
from helpers.machine.processor import NATIVE, march
from helpers.parallel.launch import mpiexec
from swarm.backends.table import backend_of, clusters, titles
from swarm.flags.parser import Command
from swarm.flags.spawn_settings import SpawnSettings
from swarm.plan import Caliber, Launch, Plan
from swarm.planning.catalogue import find_bundle, find_caliber, read_bundles, sources
from swarm.planning.expand import Request, expand, plan_of

DEFAULT_PROJECT = "milozero"
DEFAULT_CALIBER = "short"  # on a cluster, where a job has to say how long it is
SECRETS_FILE = "secrets.env"


@dataclass(frozen=True)
class Planned:
    """A plan and what to say of it.

    Attributes:
        plan: what the command means.
        total_line: how many runs there are, and why.
        warnings: one line each.
    """

    plan: Plan
    total_line: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """What the swarm takes from the rest of the program.

    Attributes:
        root: where main.py and `tasks/` lie.
        schema: of the settings of main.py.
        resolve_env_id: the canonical id of an environment.
        benchmark_of: the benchmark in tasks/bundles.yaml of a canonical id.
    """

    root: Path
    schema: Schema
    resolve_env_id: Callable[[str], str]
    benchmark_of: Callable[[str], str]


def make_plan(command: Command, program: Program, *, here: Path) -> Planned:
    """What a command means, validated to the last run; nothing is written.

    Args:
        command: of the spawner.
        program: what the swarm takes from it.
        here: the folder that relative paths mean, absolute.

    Raises:
        ConfigurationError: a file, bundle, caliber or setting that cannot be used.
    """
    settings = command.settings
    config = Path(str(settings.config)).expanduser()
    layer = program.schema.read_file(config)
    caliber = _caliber(command, program.root)
    label = settings.prefix or config.stem
    env_ids: tuple[str, ...] = ()
    if settings.env_bundle is not None:
        name, env_ids = _bundle(settings.env_bundle, settings, layer, program)
        label = f"{label}-{name.rpartition('/')[2]}"
    root = _data_root(settings, layer, here)
    expansion = expand(
        Request(
            layer,
            env_ids=env_ids,
            num_demos=command.num_demos,
            num_seeds=settings.num_seeds,
            sweep=settings.sweep,
            sweep_mode=settings.sweep_mode,
            sweep_seed=settings.sweep_seed,
            num_trials=settings.num_trials,
            prefix=settings.prefix,
            demo_dir=settings.demo_dir,
            over=_over(command, layer) | ({} if root is None else {"data_root": root}),
            under=_under(command, caliber),
        ),
        schema=program.schema,
        working_folder=here,
        resolve_env_id=program.resolve_env_id,
    )
    swarms = here / place(settings.swarms_dir, root)
    plan = plan_of(expansion, _launch(settings, caliber, program, here), label=label, swarms=swarms)
    secrets = plan.folder / SECRETS_FILE
    if command.wandb_api_key is not None or secrets.exists():
        plan = replace(plan, launch=replace(plan.launch, secrets_file=secrets))
    return Planned(plan, expansion.total_line, (*expansion.warnings, *_warnings(command)))


def _bundle(
    name: str,
    settings: SpawnSettings,
    layer: Layer,
    program: Program,
) -> tuple[str, tuple[str, ...]]:
    paths = sources("bundles.yaml", settings.bundles_file, shipped=program.root / "tasks")
    named = layer.values.get("env_id") or program.schema.vocabulary.settings["env_id"].default
    first = named[0] if isinstance(named, list) else named
    benchmark = program.benchmark_of(program.resolve_env_id(str(first)))
    return find_bundle(name, read_bundles(paths), benchmark=benchmark)


def _caliber(command: Command, root: Path) -> Caliber:
    """On a cluster the whole of it; elsewhere only the time, and only where it was asked for."""
    settings = command.settings
    backend = backend_of(settings.deployment)
    name = settings.caliber or (DEFAULT_CALIBER if backend.is_cluster else None)
    if name is None:
        return Caliber("none")
    paths = sources("calibers.yaml", settings.calibers_file, shipped=root / "tasks")
    found = find_caliber(name, paths, backend, cluster=settings.cluster, gpu=settings.gpu)
    return found if backend.is_cluster else Caliber(name, seconds=found.seconds)


def _data_root(settings: SpawnSettings, layer: Layer, here: Path) -> str | None:
    """Absolute, for every program that the runs are started by: of the flag, the file, the environment."""
    in_file = layer.values.get("data_root")
    found = data_root(settings.data_root or (None if in_file is None else str(in_file)))
    return None if found is None else str(here / found)


def _over(command: Command, layer: Layer) -> dict[str, Scalar]:
    """Settings of the runs that have flags of the spawner; naming any turns wandb on."""
    settings = command.settings
    over: dict[str, Scalar] = {}
    if settings.wandb_project is not None:
        over["wandb_project"] = settings.wandb_project
    if settings.wandb_entity is not None:
        over["wandb_entity"] = settings.wandb_entity
    is_wanted = bool(over or settings.wandb_base_url or command.wandb_api_key)
    if is_wanted and "wandb_project" not in over and layer.values.get("wandb_project") is None:
        over["wandb_project"] = DEFAULT_PROJECT
    return over


def _under(command: Command, caliber: Caliber) -> dict[str, Scalar]:
    """A workstation has no clock of its own for a run; a cluster's is the script's business."""
    if backend_of(command.settings.deployment).is_cluster or caliber.seconds is None:
        return {}
    return {"execution_time": str(caliber.seconds)}


def _launch(settings: SpawnSettings, caliber: Caliber, program: Program, here: Path) -> Launch:
    backend = backend_of(settings.deployment)
    image = settings.docker_image
    asked = march(
        elsewhere=backend.is_cluster,
    )  # of the nodes, which may be others than this machine
    if image is not None and image.endswith(".sif"):
        image = str(here / Path(image).expanduser())
    return Launch(
        deployment=settings.deployment,
        working_folder=here,
        python=Path(sys.executable),
        program="main.py" if here == program.root else str(program.root / "main.py"),
        num_workers=settings.num_workers,
        caliber=caliber,
        args_method=settings.args_method,
        launcher=settings.launcher or backend.usual_launcher(in_container=image is not None),
        mpiexec=mpiexec(),
        mpi=settings.mpi,
        conda_env=settings.conda_env,
        image=image,
        gpu=settings.gpu,
        max_parallel=settings.max_parallel,
        pin=settings.pin,
        array=settings.array,
        max_restarts=settings.max_restarts,
        march=None if asked == NATIVE else asked,
        wandb_base_url=settings.wandb_base_url,
    )


def _warnings(command: Command) -> list[str]:
    """What is done as asked, but should be known."""
    settings = command.settings
    warnings = []
    if command.wandb_api_key is not None:
        warnings.append(
            "--wandb_api_key: your shell's history and, for a moment, the process list show the key. "
            "It goes into a file that only you can read; better set WANDB_API_KEY.",
        )
    url = settings.wandb_base_url
    if url is not None and not url.startswith(("http://", "https://")):
        warnings.append(f"--wandb_base_url={url} does not start with https://.")
    if settings.wandb_upgrade and settings.docker:
        warnings.append("--wandb_upgrade changes this environment; the runs use the image's wandb.")
    if "cluster" in command.given and not backend_of(settings.deployment).is_cluster:
        warnings.append(
            f"--cluster is for {titles(clusters())}; only the time of the caliber is used here.",
        )
    return warnings
