"""A task of one's own: bring a cart to rest in the middle of its rail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from environments.batched_mujoco.task import Arrays, Outcome, World


@dataclass(frozen=True, kw_only=True)
class Cart:
    """The options, each with its default."""

    xml_file: str = str(Path(__file__).with_name("cart.xml"))
    frame_skip: int = 2
    default_camera_config: Mapping[str, Any] = field(default_factory=lambda: {"distance": 3.0})
    ctrl_cost_weight: float = 0.01
    rail_length: float = 1.0

    max_episode_steps: ClassVar[int] = 200
    reads: ClassVar[tuple[str, ...]] = ("qpos", "qvel")  # of MjData, each (N, ...) below

    def start(self, world: World, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Anywhere in the middle half of the rail, at rest."""
        qpos = world.init_qpos + generator.uniform(-0.5, 0.5, world.model.nq) * self.rail_length
        return qpos, world.init_qvel

    def observe(self, world: World, now: Arrays) -> np.ndarray:
        """Position and velocity, (N, 2)."""
        return np.concatenate((now.qpos, now.qvel), axis=1)

    def evaluate(self, world: World, before: Arrays, now: Arrays, actions: np.ndarray) -> Outcome:
        """The costs of distance and control; the end of the rail ends the episode."""
        position = now.qpos[:, 0]
        ctrl_cost = self.ctrl_cost_weight * np.square(actions[:, 0])
        terms = {"reward_dist": -np.square(position), "reward_ctrl": -ctrl_cost}
        rewards = -np.square(position) - ctrl_cost
        return Outcome(rewards, np.abs(position) > self.rail_length, terms)

    def describe(self, world: World, now: Arrays) -> dict[str, np.ndarray]:
        """For `infos`, also at the beginning of an episode."""
        return {"position": now.qpos[:, 0]}
