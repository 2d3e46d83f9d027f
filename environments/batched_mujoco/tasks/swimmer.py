"""Swimmer-v5: swim forward; nothing but time ends an episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from environments.batched_mujoco import task
from environments.batched_mujoco.task import Arrays, CameraConfig, Outcome, World


@dataclass(frozen=True, kw_only=True)
class Swimmer:
    """Gymnasium's options, by their names there."""

    xml_file: str = "swimmer.xml"
    frame_skip: int = 4
    default_camera_config: CameraConfig = None
    forward_reward_weight: float = 1.0
    ctrl_cost_weight: float = 1e-4
    reset_noise_scale: float = 0.1
    exclude_current_positions_from_observation: bool = True

    max_episode_steps: ClassVar[int] = 1000
    reads: ClassVar[tuple[str, ...]] = ("qpos", "qvel")

    def start(self, world: World, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Near the model's own state."""
        return task.uniform_start(world, generator, self.reset_noise_scale)

    def observe(self, world: World, now: Arrays) -> np.ndarray:
        """Positions (without x and y) and velocities."""
        qpos = now.qpos[:, 2:] if self.exclude_current_positions_from_observation else now.qpos
        return np.concatenate((qpos, now.qvel), axis=1)

    def evaluate(self, world: World, before: Arrays, now: Arrays, actions: np.ndarray) -> Outcome:
        """Speed forward, less the cost of control."""
        velocity = (now.qpos[:, :2] - before.qpos[:, :2]) / world.dt
        forward_reward = self.forward_reward_weight * velocity[:, 0]
        ctrl_cost = self.ctrl_cost_weight * task.square_sums(actions)
        terms = {
            "x_velocity": velocity[:, 0],
            "y_velocity": velocity[:, 1],
            "reward_forward": forward_reward,
            "reward_ctrl": -ctrl_cost,
        }
        return Outcome(forward_reward - ctrl_cost, task.never(now), terms)

    def describe(self, world: World, now: Arrays) -> dict[str, np.ndarray]:
        """Where it is."""
        return {
            "x_position": now.qpos[:, 0],
            "y_position": now.qpos[:, 1],
            "distance_from_origin": task.lengths(now.qpos[:, :2]),
        }
