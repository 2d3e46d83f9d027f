"""The run that is trained again: the command that began it, and the changes on its way as stages of the replay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.algorithms import SCHEMA
from helpers.config.run import RunConfig
from helpers.config.schema import to_flags
from helpers.config.settings import Scalar, show
from helpers.data_root import data_root
from helpers.errors import ConfigurationError, StorageError
from helpers.run_folder.capsule import redact
from helpers.run_folder.changes import CHANGES, SETTING, read_capsule
from helpers.run_folder.experiment import CONFIG_FILE
from helpers.trackers.jsonl import read_metrics
from reports.series import METRICS

# What is no part of a run's identity, and yet of its numbers, of its checkpoints, or of what it needs to start.
# Trackers and registries are left out: a replay publishes nothing.
_KEPT = {
    "seed", "eval_frequency", "eval_episodes", "env_processes", "save_frequency", "keep_checkpoints", "sync_frequency",
    "memory_folder", "expert_mismatch", "expert_accept_wrappers", "progress",
}  # fmt: skip
_FEWEST_KEPT = 2  # checkpoints: one where the replay ends, one that the run has, too


@dataclass(frozen=True)
class Stage:
    """A stretch of a run between two changes of its settings.

    Attributes:
        overridden: what has changed by then, by key; nothing in the first one.
        until: the iteration after which the next one begins; None: the run's last.
    """

    overridden: dict[str, Scalar]
    until: int | None = None


@dataclass(frozen=True, eq=False)
class Origin:
    """The run that is trained again.

    Attributes:
        folder: of it.
        config: its settings as it began.
        capsule: of it.
        rows: of its metrics, by iteration.
        stages: of its settings, in their order; at least one.
    """

    folder: Path
    config: RunConfig
    capsule: dict[str, Any]
    rows: dict[int, dict[str, Any]]
    stages: tuple[Stage, ...]

    @property
    def workers(self) -> int:
        """How many trained it."""
        return int(self.capsule["world_size"])

    @property
    def last(self) -> int:
        """Its last iteration."""
        return max(self.rows)

    def flags(self, name: str, stage: Stage) -> list[str]:
        """The arguments of main.py that train a stage of the replay."""
        parent = self.folder.parent if data_root() is None else self.folder.parent.absolute()
        settings = self.config.settings
        left_out = {
            key: each.default
            for key, each in settings.items()
            if not each.identity and key not in _KEPT
        }
        kept = self.config.keep_checkpoints
        own = {
            "uuid": name,
            "runs_dir": str(parent),
            "keep_checkpoints": kept and max(kept, _FEWEST_KEPT),
        }
        flags = to_flags(self.config.model_copy(update=left_out | own), "minimal")
        if stage.overridden:
            values = (f"{key}={_word(value)}" for key, value in stage.overridden.items())
            flags.append(f"--override={','.join(values)}")
        return flags


def _word(value: Scalar) -> str:
    return "" if value is None else show(value)


def read_origin(folder: Path) -> Origin:
    """What a run was.

    Raises:
        ConfigurationError: its folder does not record how it was trained, or has nothing to compare with.
    """
    config = SCHEMA.load_config(folder / CONFIG_FILE)
    capsule = read_capsule(folder)
    workers = capsule.get("world_size")
    if not isinstance(workers, int) or workers < 1 or not _starts(capsule):
        raise ConfigurationError(
            f"{folder} has no capsule.json that can be read: code, versions and number of workers are not known.",
            f"Restore it, or train another run by hand: python main.py --config={folder / CONFIG_FILE} --uuid=NAME.",
        )
    try:
        rows = {int(row["iteration"]): row for row in read_metrics(folder / METRICS)}
    except StorageError:
        rows = {}
    if not rows:
        raise ConfigurationError(
            f"{folder} has no metrics: there is nothing to compare a replay with.",
            "Give a run that has trained.",
        )
    first, stages = _stages(config, capsule)
    return Origin(folder, first, capsule, rows, stages)


def _starts(capsule: dict[str, Any]) -> list[Any]:
    starts = capsule.get("starts")
    return starts if isinstance(starts, list) else []


def _stages(config: RunConfig, capsule: dict[str, Any]) -> tuple[RunConfig, tuple[Stage, ...]]:
    """(the settings that the run began with, its stages)."""
    changes = [each for each in capsule.get(CHANGES, []) if each["kind"] == SETTING]
    changes = [each for each in changes if each["name"] in config.settings]
    values = {key: getattr(config, key) for key in config.settings}
    for each in reversed(changes):
        if each["iteration"]:  # before the first checkpoint it began anew, with the new value
            values[each["name"]] = each["before"]
    first = SCHEMA.resolve(SCHEMA.layer_of(values)).config
    stages = [Stage({})]
    for each in changes:
        iteration = int(each["iteration"] or 0)
        if not iteration:
            continue
        overridden = stages[-1].overridden | {each["name"]: each["after"]}
        begins = stages[-2].until if len(stages) > 1 else None
        if begins == iteration:  # another setting that was changed at the same time
            stages[-1] = Stage(overridden)
        else:
            stages[-1] = Stage(stages[-1].overridden, iteration)
            stages.append(Stage(overridden))
    return first, tuple(stages)


def stages_left(origin: Origin, begun: int, until: int) -> list[Stage]:
    """The stages that a replay has before it.

    Args:
        origin: the run.
        begun: the iteration of the replay's newest checkpoint; 0 where there is none.
        until: the last iteration that is compared.
    """
    left = [stage for stage in origin.stages if stage.until is None or stage.until > begun]
    ends = [stage.until or until for stage in left]
    whole = [i for i, end in enumerate(ends) if end >= until]
    return [
        Stage(stage.overridden, min(end, until))
        for stage, end in list(zip(left, ends, strict=True))[: whole[0] + 1]
    ]


def is_replay_of(origin: Origin, name: str, flags: Sequence[str]) -> bool:
    """Whether the run of this name was begun by this command."""
    starts = _starts(read_capsule(origin.folder.parent / name))
    argv = starts[0].get("argv") if starts and isinstance(starts[0], dict) else None
    return argv == redact(flags)
