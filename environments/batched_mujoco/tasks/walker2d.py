"""Walker2d-v5: walk forward on two legs without falling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from environments.batched_mujoco import task
from environments.batched_mujoco.task import Arrays, Outcome, Range, World


@dataclass(frozen=True, kw_only=True)
class Walker2d:
    """Gymnasium's options, by their names there."""

    xml_file: str = "walker2d_v5.xml"
    frame_skip: int = 4
    default_camera_config: Mapping[str, Any] = field(
        default_factory=lambda: {
            "trackbodyid": 2,
            "distance": 4.0,
            "lookat": np.array((0.0, 0.0, 1.15)),
            "elevation": -20.0,
        },
    )
    forward_reward_weight: float = 1.0
    ctrl_cost_weight: float = 1e-3
    healthy_reward: float = 1.0
    terminate_when_unhealthy: bool = True
    healthy_z_range: Range = (0.8, 2.0)
    healthy_angle_range: Range = (-1.0, 1.0)
    reset_noise_scale: float = 5e-3
    exclude_current_positions_from_observation: bool = True

    max_episode_steps: ClassVar[int] = 1000
    reads: ClassVar[tuple[str, ...]] = ("qpos", "qvel")

    def start(self, world: World, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Near upright."""
        return task.uniform_start(world, generator, self.reset_noise_scale)

    def observe(self, world: World, now: Arrays) -> np.ndarray:
        """Positions (without x) and clipped velocities."""
        qpos = now.qpos[:, 1:] if self.exclude_current_positions_from_observation else now.qpos
        return np.concatenate((qpos, now.qvel.clip(-10, 10)), axis=1)

    def evaluate(self, world: World, before: Arrays, now: Arrays, actions: np.ndarray) -> Outcome:
        """Speed forward, a bonus for standing, the cost of control."""
        x_velocity = (now.qpos[:, 0] - before.qpos[:, 0]) / world.dt
        healthy = task.inside(now.qpos[:, 1], self.healthy_z_range)
        healthy &= task.inside(now.qpos[:, 2], self.healthy_angle_range)
        forward_reward = self.forward_reward_weight * x_velocity
        healthy_reward = healthy * self.healthy_reward
        ctrl_cost = self.ctrl_cost_weight * task.square_sums(actions)
        rewards = forward_reward + healthy_reward - ctrl_cost
        terms = {
            "x_velocity": x_velocity,
            "reward_forward": forward_reward,
            "reward_ctrl": -ctrl_cost,
            "reward_survive": healthy_reward,
        }
        terminated = ~healthy if self.terminate_when_unhealthy else task.never(now)
        return Outcome(rewards, terminated, terms)

    def describe(self, world: World, now: Arrays) -> dict[str, np.ndarray]:
        """Where it is."""
        return {
            "x_position": now.qpos[:, 0],
            "z_distance_from_origin": now.qpos[:, 1] - world.init_qpos[1],
        }
