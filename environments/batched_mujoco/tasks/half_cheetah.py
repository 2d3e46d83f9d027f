"""HalfCheetah-v5: run forward; nothing but time ends an episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from environments.batched_mujoco import task
from environments.batched_mujoco.task import Arrays, Outcome, World


@dataclass(frozen=True, kw_only=True)
class HalfCheetah:
    """Gymnasium's options, by their names there."""

    xml_file: str = "half_cheetah.xml"
    frame_skip: int = 5
    default_camera_config: Mapping[str, Any] = field(default_factory=lambda: {"distance": 4.0})
    forward_reward_weight: float = 1.0
    ctrl_cost_weight: float = 0.1
    reset_noise_scale: float = 0.1
    exclude_current_positions_from_observation: bool = True

    max_episode_steps: ClassVar[int] = 1000
    reads: ClassVar[tuple[str, ...]] = ("qpos", "qvel")

    def start(self, world: World, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Near the model's own state."""
        return task.uniform_gaussian_start(world, generator, self.reset_noise_scale)

    def observe(self, world: World, now: Arrays) -> np.ndarray:
        """Positions (without x) and velocities."""
        qpos = now.qpos[:, 1:] if self.exclude_current_positions_from_observation else now.qpos
        return np.concatenate((qpos, now.qvel), axis=1)

    def evaluate(self, world: World, before: Arrays, now: Arrays, actions: np.ndarray) -> Outcome:
        """Speed forward, less the cost of control."""
        x_velocity = (now.qpos[:, 0] - before.qpos[:, 0]) / world.dt
        forward_reward = self.forward_reward_weight * x_velocity
        ctrl_cost = self.ctrl_cost_weight * task.square_sums(actions)
        terms = {
            "x_velocity": x_velocity,
            "reward_forward": forward_reward,
            "reward_ctrl": -ctrl_cost,
        }
        return Outcome(forward_reward - ctrl_cost, task.never(now), terms)

    def describe(self, world: World, now: Arrays) -> dict[str, np.ndarray]:
        """Where it is."""
        return {"x_position": now.qpos[:, 0]}
