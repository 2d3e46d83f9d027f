"""The settings that every run has, whatever learns in it."""

from __future__ import annotations

from typing import Literal

from helpers.config.run_basics import RunBasics, seconds_of
from helpers.config.settings import setting


class RunConfig(RunBasics):
    """What every run has: itself, its environments, evaluation, checkpoints, trackers and model registry.

    A setting with `identity=False` may change when a run is resumed, and its name stays.
    """

    # checkpoints
    save_frequency: int = setting(
        50,
        "interval between checkpoints",
        group="checkpoints",
        unit="iterations",
        ge=1,
        identity=False,
    )
    keep_checkpoints: int = setting(
        3,
        "number of checkpoints kept besides the best one; 0 keeps all",
        group="checkpoints",
        ge=0,
        identity=False,
    )
    sync_frequency: int = setting(
        10,
        "interval between bitwise comparisons of the workers' parameters; 0 is never",
        group="checkpoints",
        unit="iterations",
        ge=0,
        identity=False,
    )

    checkpoint_interval: str | None = setting(
        None,
        "interval between <timestep>_policy.pt files for sharing; auto: 10 per run; 0 or less: never; "
        "unset: auto with --experiment_directory or --experiment_name, else never",
        group="checkpoints",
        unit="environment steps",
        identity=False,
        form="auto or a whole number",
        pattern=r"auto|[+-]?\d{1,18}",
        example="auto",
    )
    checkpoint_policy_only: bool = setting(
        True,
        "share only the policy; --no-checkpoint_policy_only: also critics and target networks",
        group="checkpoints",
        identity=False,
    )

    # migration
    migrate_from: str | None = setting(
        None,
        "--task=migrate: weights of Stable-Baselines3 (.zip), CleanRL (.cleanrl_model) or rl_games (.pth)",
        group="migration",
        identity=False,
        example="model.zip",
    )
    migrate_activation: Literal["tanh", "relu", "elu", "selu", "gelu", "silu", "other"] | None = (
        setting(
            None,
            "activation function, if the file does not contain it",
            group="migration",
            identity=False,
            example="tanh",
        )
    )
    migrate_moments: str | None = setting(
        None,
        "statistics of its observation normalizer: vecnormalize.pkl, an .npz file with mean, var and count, or none",
        group="migration",
        identity=False,
        example="vecnormalize.pkl",
    )
    migrate_names: str | None = setting(
        None,
        "names of our weights and of the file's, for weights that are not matched automatically",
        group="migration",
        identity=False,
        form="OURS=THEIRS,OURS=THEIRS",
        pattern=r"[^=,\s]+=[^=,\s]+(,[^=,\s]+=[^=,\s]+)*",
        example="policy.0.weight=net.0.weight,policy.0.bias=net.0.bias",
    )
    migrate_auto: bool = setting(
        True,
        "match weights that --migrate_names omits by known names, else by equal shapes",
        group="migration",
        identity=False,
    )

    # tracking
    wandb_project: str | None = setting(
        None,
        "wandb project; setting it turns wandb on",
        group="tracking",
        identity=False,
        form="a name of at most 128 characters without / \\ # ? % :",
        pattern=r"[^/\\#?%:]{1,128}",
        example="milozero",
    )
    wandb_entity: str | None = setting(
        None,
        "wandb user or team; setting it turns wandb on",
        group="tracking",
        identity=False,
        form="a name without / \\ # ? % :",
        pattern=r"[^/\\#?%:]+",
        example="my_team",
    )
    wandb_mode: Literal["online", "offline", "disabled"] | None = setting(
        None,
        "unset: online if a project or an entity is set, else disabled",
        group="tracking",
        identity=False,
        example="offline",
    )
    tensorboard: bool = setting(
        False,
        "write TensorBoard event files into the run folder",
        group="tracking",
        identity=False,
    )
    mlflow: bool = setting(
        False,
        "log to the MLflow server that MLFLOW_TRACKING_URI names",
        group="tracking",
        identity=False,
    )
    mlflow_experiment: str | None = setting(
        None,
        "experiment in MLflow, and exp_name in --model_manager; unset: algorithm and environment",
        group="tracking",
        identity=False,
        form="1 to 200 characters, none of them a control character",
        pattern=r"[^\x00-\x1f\x7f]{1,200}",
        example="hopper_runs",
    )
    write_interval: str = setting(
        "250",
        "interval of skrl's metrics in TensorBoard; auto: 100 points per run; 0 or less: never",
        group="tracking",
        unit="environment steps",
        identity=False,
        form="auto or a whole number",
        pattern=r"auto|[+-]?\d{1,18}",
    )
    experiment_directory: str | None = setting(
        None,
        "folder of skrl's metrics (if only the name is given: runs); unset: the run folder",
        group="tracking",
        identity=False,
        example="runs",
    )
    experiment_name: str | None = setting(
        None,
        "its subfolder; if only the directory is given: date, time and algorithm",
        group="tracking",
        identity=False,
        form="a file name: letters, digits and _ = + @ . -, not first . or -",
        pattern=r"(?![.-])[\w=+@.-]{1,200}",
        example="some_name",
    )

    # model registry
    model_manager: str | None = setting(
        None,
        "YAML file with the models that a finished run registers in MLflow (MLFLOW_TRACKING_URI)",
        group="model registry",
        identity=False,
        example="tasks/models/ppo.yaml",
    )
    register_models: bool | None = setting(
        None,
        "register them; unset: unless the file has disabled: True",
        group="model registry",
        identity=False,
    )

    registry_endpoint: str | None = setting(
        None,
        "address of a model registry service that the policy is published to while it learns",
        group="model registry",
        identity=False,
        example="grpc://localhost:9002",
    )
    registry_model: str | None = setting(
        None,
        "name of its model there; unset: the run's name",
        group="model registry",
        identity=False,
        form="a letter, then up to 199 letters, digits, _ or -",
        pattern=r"[a-zA-Z][a-zA-Z0-9_-]{0,199}",
        example="hopper",
    )
    publish_frequency: int = setting(
        10,
        "interval between published policies; 0: only the best and the last, at the end",
        group="model registry",
        unit="iterations",
        ge=0,
        identity=False,
    )

    @property
    def execution_seconds(self) -> float | None:
        """`execution_time` in seconds; None where there is no limit."""
        return None if self.execution_time is None else float(seconds_of(self.execution_time))

    @property
    def tracking_interval(self) -> int:
        """Global environment steps between two writes of skrl's metrics; 0 where none are written."""
        is_wanted = self.tensorboard or self.experiment_directory or self.experiment_name
        if self.task != "train" or not is_wanted:
            return 0
        if self.write_interval == "auto":
            return max(1, self.num_timesteps // 100)
        return max(0, int(self.write_interval))
