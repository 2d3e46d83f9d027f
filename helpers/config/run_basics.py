"""What every run has: itself, its environments, its evaluation and its export."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import model_validator

from helpers.config.settings import Settings, cross_field_error, setting

_NAME = r"[A-Za-z0-9_=+@-]"
UUID_PATTERN = rf"(?!-){_NAME}+(\.{_NAME}+)*\.seed{_NAME}*(\.{_NAME}+)*"
DURATION_PATTERN = r"(\d{1,5}-\d{1,2}:|\d{1,6}:)[0-5]?\d:[0-5]\d|\d{1,6}:[0-5]\d|\d{1,9}"
PICTURES = "pictures."  # begins what is made of pictures, among options; no constructor can have such a name
_PICTURE_SETTINGS: Mapping[str, Any] = {  # and where each asks for nothing
    "frame_stack": 1,
    "greyscale": False,
    "resize": None,
    "picture_layout": "auto",
}
_LONGEST_NAME = 200  # bytes; file systems end at 255, temporary files add to it


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


class RunBasics(Settings):
    """The run itself, its environments, and what is done with it afterwards."""

    # run
    task: Literal["train", "eval", "export", "verify_resume", "migrate", "demos", "check_env"] = (
        setting(
            "train",
            "train (or resume), evaluate, export the policy, verify that resuming is exact, import another program's "
            "weights, inspect demonstrations, or check an environment",
            group="run",
            identity=False,
        )
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
    init_from: str | None = setting(
        None,
        "begin with the weights of a run, a checkpoint, a policy file (.pt) or a policy package",
        group="run",
        example="data/runs/some_name.seed02",
    )
    init_iter_num: str = setting(
        "best",
        "--init_from: the checkpoint of this iteration, the best or the latest",
        group="run",
        form="best, latest or the number of an iteration",
        pattern=r"best|latest|\d+",
    )
    override: str | None = setting(
        None,
        "other values for the rest of a resumed run; they are recorded",
        group="run",
        identity=False,
        form="KEY=VALUE,KEY=VALUE",
        pattern=r"\w+=[^=,\s]+(,\w+=[^=,\s]+)*",
        example="p_lr=1e-4",
    )
    accept_changes: bool = setting(
        False,
        "resume although the run's files (task, model, demonstrations) have changed; the change is recorded",
        group="run",
        identity=False,
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
    data_root: str | None = setting(
        None,
        "folder that stands for data/, caches included; default: $MILOZERO_DATA, else data/ here",
        group="run",
        identity=False,
        example="/scratch/me/milozero",
    )
    precision: Literal["float32", "float64"] = setting(
        "float32",
        "floating-point precision of networks and updates",
        group="run",
    )
    progress: Literal["auto", "live", "plain", "none"] = setting(
        "auto",
        "a live panel, plain lines, or nothing; auto: live on a terminal, else plain",
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
    env_options: str | None = setting(
        None,
        "options of the environment, by name, as a mapping",
        group="environment",
        form='a mapping: {"frame_skip": 4}',
        example='{"frame_skip": 4}',
        mapping=True,
    )
    max_episode_steps: int | None = setting(
        None,
        "truncate episodes after this number of steps; default: the environment's own limit, or 1,000",
        group="environment",
        unit="environment steps",
        ge=1,
        example="200",
    )
    frame_stack: int = setting(
        1,
        "pictures: frames that an observation shows, the newest and those before it",
        group="environment",
        unit="steps",
        ge=1,
        le=64,
    )
    greyscale: bool = setting(
        False,
        "pictures: one channel of grey in the place of colours",
        group="environment",
        aliases=("grayscale",),
    )
    resize: int | None = setting(
        None,
        "pictures: their height and width, by averaging over areas; unset leaves them",
        group="environment",
        unit="pixels",
        ge=8,
        le=1024,
        example="84",
    )
    picture_layout: Literal["auto", "hwc", "chw"] = setting(
        "auto",
        "pictures: channels last (hwc) or first (chw), if the shape is ambiguous",
        group="environment",
    )
    env_processes: int = setting(
        0,
        "processes in which each worker steps its environments; 0: in its own; for slow simulators",
        group="environment",
        ge=0,
        le=1024,
        identity=False,
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
        "--task=eval, export, verify_resume: a run folder, its checkpoints folder or one checkpoint",
        group="evaluation",
        identity=False,
        example="data/runs/some_name.seed02",
    )
    follow: str | None = setting(
        None,
        "--task=eval: a model of a registry service; each new version of it is evaluated when it comes",
        group="evaluation",
        identity=False,
        example="grpc://localhost:9002/hopper",
    )
    iter_num: str = setting(
        "best",
        "--task=eval, export: the checkpoint of this iteration, the best or the latest",
        group="evaluation",
        identity=False,
        form="best, latest or the number of an iteration",
        pattern=r"best|latest|\d+",
    )
    num_trajs: int = setting(
        10,
        "--task=eval, export: number of trajectories",
        group="evaluation",
        unit="episodes",
        ge=1,
        identity=False,
    )
    deterministic: bool = setting(
        True,
        "--task=eval, export: act by the policy's mean or mode instead of samples",
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
        "--task=eval, export: wandb run whose checkpoint is downloaded",
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
    export_dir: str | None = setting(
        None,
        "--task=export: the folder to write; unset: packages/ in the run folder",
        group="evaluation",
        identity=False,
        example="hopper_policy",
    )

    @model_validator(mode="after")
    def _one_thing_to_evaluate(self) -> RunBasics:
        if self.task in ("eval", "export") and self.model_path and self.wandb_run_path:
            raise cross_field_error(
                "--model_path and --wandb_run_path both give a run to evaluate.",
                "Give one of them.",
            )
        return self

    @property
    def schedules(self) -> tuple[str, ...]:
        """Settings, with their values, of schedules that end with num_timesteps; an imitation's are its learner's."""
        learner = getattr(self, "learner_config", None)
        return learner.schedules if learner else ()

    @property
    def environment(self) -> dict[str, Any]:
        """What makes its environments besides id and seeds: options by name, time limit, and processes."""
        return {
            "options": self.environment_options,
            "max_episode_steps": self.max_episode_steps,
            "processes": self.env_processes,
        }

    @property
    def environment_options(self) -> dict[str, Any]:
        """`env_options` by name, and what is made of pictures, by names that begin with `PICTURES`."""
        given: dict[str, Any] = json.loads(self.env_options) if self.env_options else {}
        made = {name: getattr(self, name) for name in _PICTURE_SETTINGS}
        made = {name: each for name, each in made.items() if each != _PICTURE_SETTINGS[name]}
        if self.sees_pictures:
            made["kept"] = True
        return given | {f"{PICTURES}{name}": each for name, each in made.items()}

    @property
    def sees_pictures(self) -> bool:
        """Whether a network takes pictures as they are, rather than as vectors."""
        return False
