"""Notes on imported weights for the user: what is not equal, what was assumed, what comes next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.weights.migration.check import Rebuilt, deviations_apart
from agents.weights.migration.moments import CLIP
from agents.weights.migration.names import Mapped
from helpers.config.run import RunConfig
from helpers.config.schema import to_flags
from helpers.parallel.workers import Workers


def notes(rebuilt: Rebuilt, agent: Any, found: Mapped, observation_dim: int) -> Iterator[str]:
    """What is not equal, and what had to be taken for granted."""
    foreign = rebuilt.foreign
    if rebuilt.algo == "sac" and foreign.program == "Stable-Baselines3":
        low, high = deviations_apart(rebuilt, agent, observation_dim)
        bounds = agent.models()["policy"].net.log_std_range
        yield (
            "sampled actions are not equal: log-deviations are cut to [-20, 2] there and squashed into "
            f"[{bounds[0]:g}, {bounds[1]:g}] here; our deviations are {low:.3g} to {high:.3g} times theirs"
        )
        if foreign.temperature is not None:
            yield f"the temperature is its own, {foreign.temperature:.3g}; it is learned from here on"
    if foreign.activation_is_said:
        yield "the activation is the one that you gave; the file does not record it"
    if foreign.program == "rl_games":
        yield from _rl_games_notes(rebuilt)
    if foreign.observations is None:
        yield "observations are not standardised here, since no moments were given"
        if foreign.program == "CleanRL" and "actor_logstd" in foreign.weights:
            yield (
                "CleanRL's ppo_continuous_action standardises observations in a wrapper, whose moments the file does "
                "not hold: without --migrate_moments it acts as it did there only on standardised observations"
            )
        if foreign.program == "Stable-Baselines3":
            yield (
                "if it was trained under VecNormalize, it needs its moments, which the .zip does not hold: "
                "--migrate_moments"
            )
    if found.copied:
        copies = dict.fromkeys(name.partition(".")[0] for name in found.copied)
        yield f"target networks begin as copies: {', '.join(copies)}"
    if found.left:
        yield f"not brought in: {', '.join(found.left)}"
    yield "optimisers, counters and memories begin afresh"


def _rl_games_notes(rebuilt: Rebuilt) -> Iterator[str]:
    foreign = rebuilt.foreign
    yield "its means are taken to be linear (mu_activation: None); the file does not record it"
    if any(name.endswith("sigma") for name in foreign.weights):
        yield "its sigma is taken as a logarithm (continuous_a2c_logstd); the file does not record it"
    if rebuilt.scale is not None and not np.all(rebuilt.scale[1] == 1.0):
        yield "its actions are stretched to the bounds (clip_actions: True), ours come stretched"
    if foreign.observations is not None:
        yield (
            f"observations beyond {foreign.observations.clip:g} deviations are cut there, "
            f"ours beyond {CLIP:g}"
        )


def closing_lines(
    config: RunConfig,
    folder: Path,
    files: Sequence[Path],
    workers: Workers,
) -> list[str]:
    """Where it lies, and what may be done next."""
    launcher = f"mpiexec -n {workers.size} " if workers.size > 1 else ""
    flags = [flag for flag in to_flags(config, "minimal") if not flag.startswith("--algo=")]
    return [
        f"run folder: {folder}",
        *(f"policy file: {path}" for path in files),
        f"next: python main.py --task=eval --model_path={shlex.quote(str(folder))}",
        f"      {launcher}python main.py --algo={config.algo} {shlex.join(flags)}",
    ]
