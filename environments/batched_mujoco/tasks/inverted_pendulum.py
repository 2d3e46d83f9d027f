"""InvertedPendulum-v5: keep a pole upright on a cart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from environments.batched_mujoco import task
from environments.batched_mujoco.task import Arrays, Outcome, World


@dataclass(frozen=True, kw_only=True)
class InvertedPendulum:
    """Gymnasium's options, by their names there."""

    xml_file: str = "inverted_pendulum.xml"
    frame_skip: int = 2
    default_camera_config: Mapping[str, Any] = field(
        default_factory=lambda: {"trackbodyid": 0, "distance": 2.04},
    )
    reset_noise_scale: float = 0.01

    max_episode_steps: ClassVar[int] = 1000
    reads: ClassVar[tuple[str, ...]] = ("qpos", "qvel")

    def start(self, world: World, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Near upright."""
        return task.uniform_start(world, generator, self.reset_noise_scale)

    def observe(self, world: World, now: Arrays) -> np.ndarray:
        """Positions and velocities."""
        return np.concatenate((now.qpos, now.qvel), axis=1)

    def evaluate(self, world: World, before: Arrays, now: Arrays, actions: np.ndarray) -> Outcome:
        """One for each step upright; nothing for the one that ends it."""
        terminated = ~task.are_finite(now) | (np.abs(now.qpos[:, 1]) > 0.2)
        upright = (~terminated).astype(np.int64)
        return Outcome(upright.astype(np.float64), terminated, {"reward_survive": upright})

    def describe(self, world: World, now: Arrays) -> dict[str, np.ndarray]:
        """Nothing more."""
        return {}
