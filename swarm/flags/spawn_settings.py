"""The flags of spawner.py, declared once, like the settings of a run."""

from __future__ import annotations

from typing import Literal

from helpers.config.settings import Settings, setting
from swarm.backends.table import BACKENDS

CALIBERS = (
    "debug",
    "veryveryshort",
    "veryshort",
    "short",
    "long",
    "daylong",
    "verylong",
    "veryverylong",
    "veryveryverylong",
)
_NUMBERS = r"\d{1,9}([ ,]+\d{1,9})*"
_IMAGE = r"[!-,.-~][!-~]*"


class SpawnSettings(Settings):
    """Every flag of the spawner but `--wandb_api_key`."""

    # what is trained
    config: str | None = setting(
        None,
        "YAML file with the settings of the runs",
        group="what is trained",
        example="tasks/train_mujoco_ppo.yaml",
    )
    env_bundle: str | None = setting(
        None,
        "bundle of environments; unset is the file's env_id",
        group="what is trained",
        example="debug, dmc/quad",
    )
    num_seeds: int = setting(
        1,
        "number of seeds per experiment, counted up from the file's seed",
        group="what is trained",
        ge=1,
        example="3",
    )
    num_demos: str | None = setting(
        None,
        "numbers of demonstrations; each gives separate runs",
        group="what is trained",
        aliases=("list",),
        form="whole numbers with spaces between",
        pattern=_NUMBERS,
        example="1 4 16",
    )
    demo_dir: str | None = setting(
        None,
        "folder of demonstrations: DIR/Hopper-v5 becomes the expert_path of Hopper-v5",
        group="what is trained",
        example="data/demos",
    )
    prefix: str | None = setting(
        None,
        "prefix of the names of the swarm and of its runs",
        group="what is trained",
        form="letters, digits and _ = + @ -, at most 40, not a dash first",
        pattern=r"[A-Za-z0-9_=+@][A-Za-z0-9_=+@-]{0,39}",
        example="first_try",
    )

    # search
    sweep: bool = setting(
        False,
        "search: a list in the file is a set of values to try",
        group="search",
    )
    num_trials: int | None = setting(
        None,
        "number of combinations to try; default with grid and zip: all",
        group="search",
        ge=1,
        example="10",
    )
    sweep_mode: Literal["random", "grid", "zip"] = setting(
        "random",
        "random combinations; all combinations in order; or the first of all lists, then the second, ...",
        group="search",
    )
    sweep_seed: int = setting(0, "seed of the random combinations", group="search", ge=0)

    # where and how
    deployment: str = setting(
        "tmux",
        "one window per run on this machine, jobs of a cluster, or processes of this machine",
        group="where and how",
        choices=tuple(BACKENDS),
    )
    num_workers: int = setting(2, "MPI workers per run", group="where and how", ge=1)
    caliber: str | None = setting(
        None,
        "time limit of one start of a run; default: short on a cluster, else no limit",
        group="where and how",
        form=f"{', '.join(CALIBERS)}, or a name of your own file",
        pattern=r"[\w.+-]+",
        example="short",
    )
    cluster: str | None = setting(
        None,
        "cluster of the calibers; default: default_cluster of the calibers file",
        group="where and how",
        example="baobab",
    )
    gpu: bool = setting(
        False,
        "request a GPU: of a cluster and its partition, or of docker",
        group="where and how",
    )
    max_parallel: int | None = setting(
        None,
        "maximum number of runs at a time; default: all, with local as many as the CPU cores allow",
        group="where and how",
        ge=1,
        example="4",
    )
    pin: bool = setting(
        False,
        "tmux, local: each run on processors of its own, one per worker, and as many runs at a time as fit",
        group="where and how",
    )
    array: bool = setting(
        False,
        "clusters: one array instead of one job per run",
        group="where and how",
    )
    max_restarts: int = setting(
        50,
        "maximum number of restarts after preemption, kill or time limit",
        group="where and how",
        ge=0,
    )
    launcher: Literal["mpiexec", "srun"] | None = setting(
        None,
        "program that starts the workers; default: mpiexec, or the cluster's own for containers",
        group="where and how",
        example="srun",
    )
    mpi: str = setting(
        "pmi2",
        "srun --mpi=...: pmi2 for MPICH, pmix for Open MPI",
        group="where and how",
        form="a plugin of srun",
        pattern=r"\w+",
    )

    # software of the runs
    conda_env: str | None = setting(
        None,
        "conda environment of the runs; default: the current one",
        group="software of the runs",
        form="a name or a path",
        pattern=r"[^-\s].*",
        example="pytorch",
    )
    docker: bool = setting(
        False,
        "run in a container: docker here, Apptainer (Singularity) on clusters and for a .sif",
        group="software of the runs",
    )
    docker_image: str | None = setting(
        None,
        "name of the image, or path of a .sif",
        group="software of the runs",
        form="a name without spaces, or the path of a .sif",
        pattern=rf"{_IMAGE}|[^-].*\.sif",
        example="docker_user/milozero:mujoco",
    )
    args_method: Literal["full", "yaml", "minimal"] = setting(
        "full",
        "pass every setting as a flag, a YAML file per run, or only the settings that differ from their default",
        group="software of the runs",
    )

    # wandb
    wandb_project: str | None = setting(
        None,
        "wandb project; default: the file's, or milozero if another wandb flag is given",
        group="wandb",
        example="milozero",
    )
    wandb_entity: str | None = setting(None, "wandb user or team", group="wandb", example="my_team")
    wandb_base_url: str | None = setting(
        None,
        "address of a private wandb server",
        group="wandb",
        form="an address without spaces",
        pattern=r"[^\s-]\S*",
        example="https://api.wandb.ai",
    )
    wandb_upgrade: bool = setting(
        False,
        "run pip install --upgrade wandb once, now; this replaces the tested version",
        group="wandb",
    )

    # spawning
    deploy_now: bool = setting(
        False,
        "start the runs; otherwise write their files and print the command that starts them",
        group="spawning",
    )
    wait: bool = setting(
        False,
        "with --deploy_now: wait until no run waits or runs, print their states in one line; status 0 if all are done",
        group="spawning",
    )
    dry_run: bool = setting(
        False,
        "print the runs, their number and cost and one script; write and start nothing",
        group="spawning",
    )
    clear: bool = setting(
        False,
        "remove the launch files after deployment; scripts and ledger stay with the runs",
        group="spawning",
    )
    bundles_file: str | None = setting(
        None,
        "additional bundles, which override ~/.config/milozero/bundles.yaml and tasks/bundles.yaml",
        group="spawning",
        example="bundles.yaml",
    )
    calibers_file: str | None = setting(
        None,
        "additional calibers, which override ~/.config/milozero/calibers.yaml and tasks/calibers.yaml",
        group="spawning",
        example="calibers.yaml",
    )
    data_root: str | None = setting(
        None,
        "folder that stands for data/ (runs, swarms, caches); default: $MILOZERO_DATA, else data/ here",
        group="spawning",
        example="/scratch/me/milozero",
    )
    swarms_dir: str = setting("data/swarms", "folder of the swarm folders", group="spawning")
