"""The settings that every run has, whatever learns in it."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from helpers.settings import Settings, setting

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
    task: Literal["train", "eval", "verify_resume"] = setting(
        "train",
        "train a policy (or go on with it), evaluate one, or prove that resuming is exact",
        group="run",
        identity=False,
    )
    algo: str = setting("ppo", "what learns", group="run")
    env_id: str = setting(
        "Hopper-v5",
        "what is acted in; a bare name (Hopper) is its newest version",
        group="run",
        form="a name such as Hopper-v5 or Cheetah-Run-Feat-v0",
        pattern=r"[\w.:/-]+",
    )
    seed: int = setting(
        0,
        "root of every random stream",
        group="run",
        ge=0,
        identity=False,
        example="2",
    )
    uuid: str | None = setting(
        None,
        "name of the run; made from the settings, the commit and the seed where not given",
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
        "stop with a checkpoint before this much time has passed; the same command goes on",
        group="run",
        unit="wall-clock time",
        identity=False,
        form="d-HH:MM:SS, HH:MM:SS, MM:SS or seconds, more than 0",
        pattern=rf"(?=.*[1-9])({DURATION_PATTERN})",
        example="0-06:00:00",
    )
    runs_dir: str = setting("data/runs", "where run folders are kept", group="run", identity=False)
    precision: Literal["float32", "float64"] = setting(
        "float32",
        "numbers of networks and updates",
        group="run",
    )
    progress: Literal["auto", "live", "plain", "none"] = setting(
        "auto",
        "a live line, plain lines, or nothing; auto looks whether a terminal reads it",
        group="run",
        identity=False,
    )

    profile: bool = setting(
        False,
        "print at the end where the time of an iteration went",
        group="run",
        identity=False,
    )

    # environment
    num_envs: int = setting(
        16,
        "environments over all workers together",
        group="environment",
        ge=1,
    )

    # evaluation
    eval_frequency: int = setting(
        10,
        "how often training stops to evaluate (and to choose `best`); 0 is never",
        group="evaluation",
        unit="iterations",
        ge=0,
        identity=False,
    )
    eval_episodes: int = setting(
        10,
        "length of an evaluation during training, over all workers",
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
        "--task=eval: trajectories to run",
        group="evaluation",
        unit="episodes",
        ge=1,
        identity=False,
    )
    deterministic: bool = setting(
        True,
        "--task=eval: the policy's mean or mode in place of samples",
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
        "where --save_traj writes",
        group="evaluation",
        identity=False,
    )
    wandb_run_path: str | None = setting(
        None,
        "--task=eval: the run in wandb whose checkpoint is fetched and evaluated",
        group="evaluation",
        identity=False,
        form="entity/project/run",
        pattern=r"[^/\s]+/[^/\s]+/[^/\s]+",
        example="entity/project/run",
    )
    wandb_download_replace: bool = setting(
        False,
        "fetch the checkpoint again where it lies here already",
        group="evaluation",
        identity=False,
    )

    # checkpoints
    save_frequency: int = setting(
        50,
        "how often a checkpoint is saved",
        group="checkpoints",
        unit="iterations",
        ge=1,
        identity=False,
    )
    keep_checkpoints: int = setting(
        3,
        "checkpoints kept beside the best one; 0 keeps all",
        group="checkpoints",
        ge=0,
        identity=False,
    )
    sync_frequency: int = setting(
        10,
        "how often the workers' parameters are compared bit for bit; 0 is never",
        group="checkpoints",
        unit="iterations",
        ge=0,
        identity=False,
    )

    # tracking
    wandb_project: str | None = setting(
        None,
        "wandb project; naming one turns wandb on",
        group="tracking",
        identity=False,
        example="milozero",
    )
    wandb_entity: str | None = setting(
        None,
        "wandb user or team; naming one turns wandb on",
        group="tracking",
        identity=False,
        example="my_team",
    )
    wandb_mode: Literal["online", "offline", "disabled"] | None = setting(
        None,
        "unset: online where a project or an entity is named, else disabled",
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

    @model_validator(mode="after")
    def _one_thing_to_evaluate(self) -> RunConfig:
        if self.task == "eval" and self.model_path and self.wandb_run_path:
            raise cross_field_error(
                "--model_path and --wandb_run_path both name what to evaluate.",
                "Give one of them.",
            )
        return self

    @property
    def execution_seconds(self) -> float | None:
        """`execution_time` in seconds; None where there is no limit."""
        return None if self.execution_time is None else float(seconds_of(self.execution_time))

    @property
    def tracking_mode(self) -> Literal["online", "offline", "disabled"]:
        """`wandb_mode` with its unset value decided."""
        if self.wandb_mode is not None:
            return self.wandb_mode
        return "online" if self.wandb_project or self.wandb_entity else "disabled"
