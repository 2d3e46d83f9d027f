"""Runs that wrote TensorBoard's event files: Stable-Baselines3 and CleanRL, told apart by their tags."""

from __future__ import annotations

import re
from pathlib import Path

from helpers.errors import ConfigurationError
from reports.foreign.event_files import Events, event_files, read_events
from reports.foreign.runs import Found, words_of
from reports.series import Source

EVALUATION, TRAINING = "eval/mean_reward", "rollout/ep_rew_mean"  # Stable-Baselines3
EPISODES = "charts/episodic_return"  # CleanRL
_HYPERPARAMETERS = "hyperparameters/text_summary"
_ROW = re.compile(r"^\|([^|]+)\|(.*)\|$", re.MULTILINE)
# Rows of CleanRL's table that say which run it is, or how it is watched; the others are its settings.
_NO_SETTINGS = re.compile(
    r"exp_name|seed|env_id|total_timesteps|torch_deterministic|cuda|device|track|wandb_.*|capture_video|save_model"
    r"|upload_model|hf_entity|num_iterations|param|-",
)
_ENDED = "Whether a run ended is not recorded."


def read_run(folder: Path, source: Source | None) -> Found:
    """The run whose event files lie in a folder.

    Args:
        folder: of the files.
        source: which returns; None: of evaluations, or of training where there is no evaluation.

    Raises:
        ConfigurationError: the files cannot be read, or have none of the tags.
    """
    events = read_events(folder)
    if EPISODES in events.scalars:
        return _cleanrl(folder, events, source)
    if EVALUATION in events.scalars or TRAINING in events.scalars:
        return _stable_baselines(folder, events, source)
    tags = ", ".join(list(events.scalars)[:5]) or "no scalars"
    raise ConfigurationError(
        f"{event_files(folder)[0]} has no {TRAINING}, {EVALUATION} or {EPISODES}, but {tags}.",
        "Write these returns to a CSV file and give its columns: --csv_step COLUMN --csv_return COLUMN.",
    )


def _stable_baselines(folder: Path, events: Events, source: Source | None) -> Found:
    if source is None:
        source = "evaluation" if EVALUATION in events.scalars else "training"
    tag = EVALUATION if source == "evaluation" else TRAINING
    measured = (
        "evaluations of EvalCallback, which are deterministic unless that was changed; the last one need not be of "
        "the final policy."
        if source == "evaluation"
        else "of training, with exploration, each a mean of the last episodes (100); no evaluation of the final policy."
    )
    steps, returns, seconds = events.curve(tag, mean=False)
    words = words_of(folder)
    return Found(
        place=folder,
        library="Stable-Baselines3",
        group=f"SB3: {words.name or 'runs'}",
        task=words.task,
        seed=words.seed,
        source=source,
        steps=steps,
        returns=returns,
        seconds=seconds,
        last_step=events.last_step,
        torn=events.torn,
        notes=(
            f"Stable-Baselines3, {tag}: {measured}",
            f"Settings and versions are not recorded. {_ENDED}",
        ),
    )


def _cleanrl(folder: Path, events: Events, source: Source | None) -> Found:
    """CleanRL never evaluates while it trains: asked for evaluations, the run has no return."""
    table = dict(_ROW.findall(events.texts.get(_HYPERPARAMETERS, "")))
    words = words_of(folder)
    steps, returns, seconds = events.curve(EPISODES, mean=True)
    if source == "evaluation":
        steps, returns, seconds = steps[:0], returns[:0], seconds[:0]
    return Found(
        place=folder,
        library="CleanRL",
        group=f"CleanRL: {table.get('exp_name') or words.name or 'runs'}",
        task=table.get("env_id") or words.task,
        seed=int(table["seed"]) if "seed" in table else words.seed,
        source=source or "training",
        steps=steps,
        returns=returns,
        seconds=seconds,
        last_step=events.last_step,
        num_timesteps=int(table.get("total_timesteps") or 0),
        settings={
            key: None if value == "None" else value
            for key, value in table.items()
            if not _NO_SETTINGS.fullmatch(key)
        },
        torn=events.torn,
        notes=(
            f"CleanRL, {EPISODES}: single episodes of training, with exploration; no evaluation of the final policy.",
            "Versions are not recorded." + ("" if table else f" Nor are settings. {_ENDED}"),
        ),
    )
