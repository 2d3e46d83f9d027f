"""Ant-v5: run forward on four legs without being thrown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from environments.batched_mujoco import task
from environments.batched_mujoco.task import Arrays, Outcome, Range, World


@dataclass(frozen=True, kw_only=True)
class Ant:
    """Gymnasium's options, by their names there."""

    xml_file: str = "ant.xml"
    frame_skip: int = 5
    default_camera_config: Mapping[str, Any] = field(default_factory=lambda: {"distance": 4.0})
    forward_reward_weight: float = 1
    ctrl_cost_weight: float = 0.5
    contact_cost_weight: float = 5e-4
    healthy_reward: float = 1.0
    main_body: int | str = 1
    terminate_when_unhealthy: bool = True
    healthy_z_range: Range = (0.2, 1.0)
    contact_force_range: Range = (-1.0, 1.0)
    reset_noise_scale: float = 0.1
    exclude_current_positions_from_observation: bool = True
    include_cfrc_ext_in_observation: bool = True

    max_episode_steps: ClassVar[int] = 1000
    reads: ClassVar[tuple[str, ...]] = ("qpos", "qvel", "xpos", "cfrc_ext")

    def start(self, world: World, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Near the model's own state."""
        return task.uniform_gaussian_start(world, generator, self.reset_noise_scale)

    def observe(self, world: World, now: Arrays) -> np.ndarray:
        """Positions (without x and y), velocities, clipped contact forces."""
        qpos = now.qpos[:, 2:] if self.exclude_current_positions_from_observation else now.qpos
        if not self.include_cfrc_ext_in_observation:
            return np.concatenate((qpos, now.qvel), axis=1)
        forces = now.cfrc_ext[:, 1:].clip(*self.contact_force_range)
        return np.concatenate((qpos, now.qvel, forces.reshape(len(qpos), -1)), axis=1)

    def evaluate(self, world: World, before: Arrays, now: Arrays, actions: np.ndarray) -> Outcome:
        """Speed forward, a bonus for health, the costs of control and of contacts."""
        body = self.main_body if isinstance(self.main_body, int) else world.bodies[self.main_body]
        velocity = (now.xpos[:, body, :2] - before.xpos[:, body, :2]) / world.dt
        healthy = self._healthy(now)
        forward_reward = velocity[:, 0] * self.forward_reward_weight
        healthy_reward = healthy * self.healthy_reward
        ctrl_cost = self.ctrl_cost_weight * task.square_sums(actions)
        forces = now.cfrc_ext.clip(*self.contact_force_range)
        contact_cost = self.contact_cost_weight * task.square_sums(forces)
        rewards = forward_reward + healthy_reward - (ctrl_cost + contact_cost)
        terms = {
            "x_velocity": velocity[:, 0],
            "y_velocity": velocity[:, 1],
            "reward_forward": forward_reward,
            "reward_ctrl": -ctrl_cost,
            "reward_contact": -contact_cost,
            "reward_survive": healthy_reward,
        }
        terminated = ~healthy if self.terminate_when_unhealthy else task.never(now)
        return Outcome(rewards, terminated, terms)

    def _healthy(self, now: Arrays) -> np.ndarray:
        """Finite, and neither fallen nor thrown into the air; the bounds themselves are healthy."""
        low, high = self.healthy_z_range
        z = now.qpos[:, 2]
        return task.are_finite(now) & (low <= z) & (z <= high)

    def describe(self, world: World, now: Arrays) -> dict[str, np.ndarray]:
        """Where it is."""
        return {
            "x_position": now.qpos[:, 0],
            "y_position": now.qpos[:, 1],
            "distance_from_origin": task.lengths(now.qpos[:, :2]),
        }
