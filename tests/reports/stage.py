"""Run folders as a training leaves them, made without training."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.algorithms import SCHEMA
from helpers.config.schema import dump_config

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def returns_of(level: float, seed: int, points: int) -> list[float]:
    """A curve that rises to about a level, of its own for each seed."""
    noise = np.random.default_rng([seed, int(abs(level))]).normal(size=points + 1)
    final = level * (1 + 0.1 * noise[-1])
    return [float(final * (1 - math.exp(-5 * (i + 1) / points)) + noise[i]) for i in range(points)]


def make_run(
    runs: Path,
    name: str,
    returns: Sequence[float | None],
    *,
    key: str = "eval/return_mean",
    settings: Mapping[str, Any] | None = None,
    ends: bool = True,
    versions: Mapping[str, str] | None = None,
    rows: int | None = None,
) -> Path:
    """A run folder.

    Args:
        runs: where.
        name: of the run, ending in .seed03.
        returns: one each so many rows; None: none.
        key: of the returns.
        settings: beside the defaults of PPO on CartPole-v1.
        ends: whether the last row is of the end and has its checkpoint.
        versions: of packages, beside those that all have.
        rows: of metrics; as many as returns if None.
    """
    folder = runs / name
    folder.mkdir(parents=True)
    rows = rows or len(returns)
    steps = 1024
    given = {
        "algo": "ppo",
        "env_id": "CartPole-v1",
        "num_timesteps": steps * rows,
        **(settings or {}),
    }
    given |= {"seed": int(name[-2:]), "uuid": name, "runs_dir": str(runs)}
    dump_config(SCHEMA.resolve(SCHEMA.layer_of(given)).config, folder / "config.yaml")
    every = max(1, rows // max(len(returns), 1))
    lines = []
    for i in range(1, rows + 1):
        row: dict[str, Any] = {
            "iteration": i,
            "step": i * steps,
            "policy/loss": 0.1,
            "time/elapsed": 0.5 * i,
        }
        if i % every == 0 and i // every <= len(returns):
            row[key] = returns[i // every - 1]
        lines.append(json.dumps(row) + "\n")
    (folder / "metrics.jsonl").write_text("".join(lines))
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir()
    (checkpoints / "latest").symlink_to(f"iter_{rows if ends else 0:06d}")
    capsule = {
        "code": {"commit": COMMIT, "dirty": False, "diff": ""},
        "versions": {
            "python": "3.11.7",
            "gymnasium": "1.4.0",
            "torch": "2.13.0",
            **(versions or {}),
        },
        "hardware": {"cpu": "a processor", "instruction_set": "AVX-512"},
        "world_size": 1,
        "starts": [],
    }
    (folder / "capsule.json").write_text(json.dumps(capsule))
    return folder


def make_group(
    runs: Path,
    label: str,
    level: float,
    *,
    seeds: int = 5,
    points: int = 10,
    **settings: Any,
) -> list[Path]:
    """So many seeds whose last returns are about a level."""
    return [
        make_run(
            runs,
            f"{label}.seed{seed:02d}",
            returns_of(level, seed, points),
            settings=settings,
        )
        for seed in range(seeds)
    ]
