"""The flags of tuner.py, which are the keys of `tune:` in a task file as well."""

from __future__ import annotations

from typing import Literal

from helpers.config.settings import Settings, setting

Scheduler = Literal["pbt", "asha", "median", "random", "grid", "tpe"]


class TuneSettings(Settings):
    """How settings are searched."""

    # what is searched
    config: str | None = setting(
        None,
        "YAML file with settings, `search`, `constraints` and `tune`",
        group="what is searched",
        example="tasks/tune_classic_ppo.yaml",
    )
    name: str | None = setting(
        None,
        "name of the search; default: that of the file and the scheduler",
        group="what is searched",
        form="letters, digits and _ = + @ -",
        pattern=r"(?!-)[A-Za-z0-9_=+@-]{1,60}",
        example="my_search",
    )
    num_samples: int = setting(
        10,
        "number of trials; a grid has its own",
        group="what is searched",
        ge=1,
        le=10_000,
    )
    metric: str = setting(
        "episode_reward_mean",
        "what is compared: a metric of Plato's list, or one of docs/metrics.md",
        group="what is searched",
        form="the name of a metric",
        pattern=r"[\w/. ()-]{1,200}",
    )
    mode: Literal["max", "min"] = setting(
        "max",
        "whether more of it is better",
        group="what is searched",
    )
    search_seed: int = setting(0, "of the draws", group="what is searched", ge=0)

    # scheduling
    scheduler: Scheduler = setting(
        "pbt",
        "population-based training, ASHA, median stopping, random or grid search, Optuna's TPE",
        group="scheduling",
    )
    max_concurrent: int = setting(2, "trials at a time", group="scheduling", ge=1)
    num_workers: int = setting(1, "MPI workers of a trial", group="scheduling", ge=1)
    iterations_per_report: int = setting(
        1,
        "iterations between two decisions about a trial (a `training_iteration` of Ray)",
        group="scheduling",
        unit="iterations",
        ge=1,
    )
    checkpoint_frequency: int = setting(
        10,
        "reports between two checkpoints, from which a trial that died resumes",
        group="scheduling",
        unit="reports",
        ge=1,
    )
    max_failures: int = setting(
        3,
        "how often a trial that dies is started again; -1 is always",
        group="scheduling",
        ge=-1,
    )
    time_attr: Literal["training_iteration", "timesteps_total", "time_total_s"] = setting(
        "training_iteration",
        "pbt, asha, median: what their intervals count",
        group="scheduling",
    )
    perturbation_interval: float = setting(
        5.0,
        "pbt: between two exploitations, in time_attr",
        group="scheduling",
        gt=0,
    )
    quantile_fraction: float = setting(
        0.25,
        "pbt: the share of the population that takes over, and that is taken from",
        group="scheduling",
        gt=0,
        le=0.5,
    )
    resample_probability: float = setting(
        0.25,
        "pbt: probability of drawing a setting anew instead of times 1.2 or 0.8",
        group="scheduling",
        ge=0,
        le=1,
    )
    grace_period: int = setting(
        10,
        "asha, median: no trial is stopped before this, in time_attr",
        group="scheduling",
        ge=1,
    )
    reduction_factor: float = setting(
        3.0,
        "asha: one trial in this number continues at each rung",
        group="scheduling",
        gt=1,
    )
    min_samples_required: int = setting(
        3,
        "median: trials that have come as far, at least",
        group="scheduling",
        ge=1,
    )
    smoke_test: bool = setting(
        False,
        "one trial of at most ten reports: does everything work?",
        group="scheduling",
    )

    # where
    data_root: str | None = setting(
        None,
        "folder that stands for data/ (searches, caches); default: $MILOZERO_DATA, else data/ here",
        group="where",
        example="/scratch/me/milozero",
    )
    tune_dir: str = setting("data/tune", "folder of the searches", group="where")
    ray_address: str | None = setting(
        None,
        "a Ray cluster that is there, as HOST:6379 or ray://HOST:10001; unset: one of its own on this machine",
        group="where",
        example="head:6379",
        pattern=r"(ray://)?[\w.-]+:\d{1,5}|auto",
        form="HOST:PORT, ray://HOST:PORT or auto",
    )
    deployment: Literal["local", "slurm"] = setting(
        "local",
        "here, or write the script of a Slurm job of several nodes",
        group="where",
    )
    num_nodes: int = setting(2, "slurm: nodes", group="where", ge=1)
    cpus_per_node: int = setting(8, "slurm: cores that Ray has on each node", group="where", ge=1)
    time: str = setting(
        "1-00:00:00",
        "slurm: time limit of the job",
        group="where",
        form="d-HH:MM:SS or HH:MM:SS",
        pattern=r"(\d{1,3}-)?\d{1,3}:\d\d:\d\d",
    )
    partition: str | None = setting(
        None,
        "slurm: partition",
        group="where",
        pattern=r"[\w.,-]+",
        form="names with commas between",
        example="cpu",
    )
    deploy_now: bool = setting(False, "slurm: submit the script", group="where")

    # MLflow
    mlflow: bool = setting(
        False,
        "track in MLflow, on the server of MLFLOW_TRACKING_URI; a run, and a child of it for each trial",
        group="MLflow",
    )
    test_local: bool = setting(
        False,
        "track in MLflow on this machine: mlflow.db in the folder of the search",
        group="MLflow",
    )
    file_store: bool = setting(
        False,
        "with --test_local: the folder mlruns in place of mlflow.db",
        group="MLflow",
    )
    experiment_name: str | None = setting(
        None,
        "experiment of MLflow; default: the name of the search",
        group="MLflow",
        pattern=r"[^\x00-\x1f/]{1,200}",
        form="a text without /",
        example="pbt_ppo",
    )
    progress: Literal["auto", "live", "plain", "none"] = setting(
        "auto",
        "a live table, plain lines, or nothing; auto: live on a terminal, else plain",
        group="where",
    )
