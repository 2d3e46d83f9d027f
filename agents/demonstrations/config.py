"""The settings of demonstrations: where they lie, how many are used, and what --task=demos does with them."""

from __future__ import annotations

from typing import Literal

from helpers.config.run import RunConfig
from helpers.config.settings import Settings, setting


class DemonstrationSettings(Settings):
    """Where expert trajectories lie and what is used of them (docs/demos.md)."""

    expert_path: str | None = setting(
        None,
        "demonstrations: a folder of files, a file, a Minari dataset as minari:ID; formats: docs/demos.md",
        group="demonstrations",
        example="data/demos/Hopper-v5",
    )
    num_demos: int | None = setting(
        None,
        "number of demonstrations, in alphabetical order of their files; unset is all",
        group="demonstrations",
        unit="episodes",
        ge=0,
        example="16",
    )
    expert_demo_choice: Literal["first", "seed"] = setting(
        "first",
        "which num_demos are used: the first, or a random subset drawn by the seed",
        group="demonstrations",
    )
    expert_demo_subsample: bool = setting(
        True,
        "keep only some of each demonstration's transitions",
        group="demonstrations",
    )
    expert_demo_subsample_rate: int = setting(
        20,
        "keep one transition out of this many, starting at a random offset drawn by the seed",
        group="demonstrations",
        unit="transitions",
        ge=1,
    )
    expert_state_only: bool = setting(
        False,
        "use only the states of demonstrations, not their actions",
        group="demonstrations",
    )
    expert_mismatch: Literal["refuse", "warn"] = setting(
        "refuse",
        "demonstrations of another or an altered environment or MuJoCo version are an error, or used with a warning",
        group="demonstrations",
        identity=False,
    )
    expert_convert: bool = setting(
        False,
        "map actions that were recorded under RescaleAction or ClipAction to the environment's own",
        group="demonstrations",
    )
    expert_accept_wrappers: str | None = setting(
        None,
        "wrappers that demonstrations were recorded under and that change no numbers, as you know",
        group="demonstrations",
        identity=False,
        form="names of classes with commas between them",
        pattern=r"\w+(,\w+)*",
        example="MyMonitor,MyLogger",
    )
    expert_time_limit: int | None = setting(
        None,
        "time limit of demonstrations whose files do not say how they end; unset is the environment's",
        group="demonstrations",
        unit="steps",
        ge=1,
        example="1000",
    )
    beside_expert: bool = setting(
        False,
        "--task=eval --record: the first demonstration and the policy side by side, from the same initial state",
        group="demonstrations",
        identity=False,
    )
    wrap_absorb: bool = setting(
        False,
        "add absorbing states after terminated episodes",
        group="demonstrations",
    )


class DemosConfig(DemonstrationSettings, RunConfig):
    """--task=demos."""

    convert_to: str | None = setting(
        None,
        "--task=demos: write the demonstrations to a folder (HDF5), or as a Minari dataset minari:ID",
        group="demonstrations",
        identity=False,
        former=("demos_export",),
        example="data/demos/converted",
    )
