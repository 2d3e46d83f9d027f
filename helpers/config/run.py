"""The settings that every run has, whatever learns in it."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from helpers.config.settings import Settings, setting

_NAME = r"[A-Za-z0-9_=+@-]"
UUID_PATTERN = rf"(?!-){_NAME}+(\.{_NAME}+)*\.seed{_NAME}*(\.{_NAME}+)*"
DURATION_PATTERN = r"(\d{1,5}-\d{1,2}:|\d{1,6}:)[0-5]?\d:[0-5]\d|\d{1,6}:[0-5]\d|\d{1,9}"
_LONGEST_NAME = 200  # bytes; file systems end at 255, temporary files add to it


def cross_field_error(problem: str, remedy: str) -> PydanticCustomError:
    """The error of a rule over several settings, which keeps problem and remedy apart."""
    parts = {"problem": problem, "remedy": remedy}
    return PydanticCustomError("cross_field", "{problem} {remedy}", parts)


def seconds_of(duration: str) -> int:
    """The seconds of "d-HH:MM:SS", "HH:MM:SS", "MM:SS" or plain seconds.

    Raises:
        ValueError: it is none of these.
    """
    if not re.fullmatch(DURATION_PATTERN, duration, re.ASCII):
        raise ValueError(f"{duration!r} is no duration")
    days, _, clock = duration.rpartition("-")
    seconds = 0
    for part in clock.split(":"):
        seconds = 60 * seconds + int(part)
    return 86_400 * int(days or 0) + seconds


class RunConfig(Settings):
    """What every run has: itself, its environments, evaluation, checkpoints and trackers.

    A setting with `identity=False` may change when a run is resumed, and its name stays.
    """

    # run
    task: Literal["train", "eval", "verify_resume", "migrate", "demos"] = setting(
        "train",
        "train (or resume), evaluate, verify that resuming is exact, import another program's weights, or "
        "inspect demonstrations",
        group="run",
        identity=False,
    )
    algo: str = setting("ppo", "algorithm", group="run")
    env_id: str = setting(
        "Hopper-v5",
        "environment; a bare name (Hopper) is its newest version",
        group="run",
        form="a name such as Hopper-v5 or Cheetah-Run-Feat-v0",
        pattern=r"[\w.:/-]+",
    )
    seed: int = setting(
        0,
        "seed of all random streams",
        group="run",
        ge=0,
        identity=False,
        example="2",
    )
    uuid: str | None = setting(
        None,
        "name of the run; default: derived from the settings, the commit and the seed",
        group="run",
        identity=False,
        form=f"name.seed02: letters, digits and _ = + @ - between dots, at most {_LONGEST_NAME}",
        pattern=rf"(?=.{{1,{_LONGEST_NAME}}}$){UUID_PATTERN}",
        example="some_name.seed02",
    )
    num_timesteps: int = setting(
        1_000_000,
        "length of the training, over all workers",
        group="run",
        unit="environment steps",
        ge=1,
    )
    execution_time: str | None = setting(
        None,
        "stop with a checkpoint before this much time has passed; the same command resumes",
        group="run",
        unit="wall-clock time",
        identity=False,
        form="d-HH:MM:SS, HH:MM:SS, MM:SS or seconds, more than 0",
        pattern=rf"(?=.*[1-9])({DURATION_PATTERN})",
        example="0-06:00:00",
    )
    runs_dir: str = setting("data/runs", "folder of the run folders", group="run", identity=False)
    precision: Literal["float32", "float64"] = setting(
        "float32",
        "floating-point precision of networks and updates",
        group="run",
    )
    progress: Literal["auto", "live", "plain", "none"] = setting(
        "auto",
        "a live line, plain lines, or nothing; auto: live on a terminal, else plain",
        group="run",
        identity=False,
    )

    profile: bool = setting(
        False,
        "print the time of each part of an iteration at the end",
        group="run",
        identity=False,
    )

    # environment
    num_envs: int = setting(
        16,
        "number of environments, over all workers",
        group="environment",
        ge=1,
    )

    # evaluation
    eval_frequency: int = setting(
        10,
        "interval between evaluations (which also select `best`); 0 is never",
        group="evaluation",
        unit="iterations",
        ge=0,
        identity=False,
    )
    eval_episodes: int = setting(
        10,
        "episodes per evaluation during training, over all workers",
        group="evaluation",
        unit="episodes",
        ge=1,
        identity=False,
    )
    model_path: str | None = setting(
        None,
        "--task=eval, verify_resume: a run folder, its checkpoints folder or one checkpoint",
        group="evaluation",
        identity=False,
        example="data/runs/some_name.seed02",
    )
    iter_num: str = setting(
        "best",
        "--task=eval: the checkpoint of this iteration, the best or the latest",
        group="evaluation",
        identity=False,
        form="best, latest or the number of an iteration",
        pattern=r"best|latest|\d+",
    )
    num_trajs: int = setting(
        10,
        "--task=eval: number of trajectories",
        group="evaluation",
        unit="episodes",
        ge=1,
        identity=False,
    )
    deterministic: bool = setting(
        True,
        "--task=eval: act by the policy's mean or mode instead of samples",
        group="evaluation",
        identity=False,
    )
    render: bool = setting(
        False,
        "--task=eval: show the trajectories in a window",
        group="evaluation",
        identity=False,
    )
    record: bool = setting(
        False,
        "--task=eval: write a video (MP4) of the first trajectory",
        group="evaluation",
        identity=False,
    )
    save_traj: bool = setting(
        False,
        "--task=eval: write each trajectory as a demonstration (HDF5)",
        group="evaluation",
        identity=False,
    )
    save_traj_dir: str = setting(
        "data/demos",
        "folder for --save_traj",
        group="evaluation",
        identity=False,
    )
    wandb_run_path: str | None = setting(
        None,
        "--task=eval: wandb run whose checkpoint is downloaded and evaluated",
        group="evaluation",
        identity=False,
        form="entity/project/run",
        pattern=r"[^/\s]+/[^/\s]+/[^/\s]+",
        example="entity/project/run",
    )
    wandb_download_replace: bool = setting(
        False,
        "download the checkpoint again if it is already here",
        group="evaluation",
        identity=False,
    )

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
        "--task=migrate: weights of Stable-Baselines3 (.zip) or rl_games (.pth)",
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
        "statistics of its observation normalizer: an .npz file with mean, var and count",
        group="migration",
        identity=False,
        example="moments.npz",
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
        example="milozero",
    )
    wandb_entity: str | None = setting(
        None,
        "wandb user or team; setting it turns wandb on",
        group="tracking",
        identity=False,
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

    @model_validator(mode="after")
    def _one_thing_to_evaluate(self) -> RunConfig:
        if self.task == "eval" and self.model_path and self.wandb_run_path:
            raise cross_field_error(
                "--model_path and --wandb_run_path both give a run to evaluate.",
                "Give one of them.",
            )
        return self

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
