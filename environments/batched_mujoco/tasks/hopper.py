"""Hopper-v5: hop forward on one leg without falling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from environments.batched_mujoco import task
from environments.batched_mujoco.task import Arrays, Outcome, Range, World


@dataclass(frozen=True, kw_only=True)
class Hopper:
    """Gymnasium's options, by their names there."""

    xml_file: str = "hopper.xml"
    frame_skip: int = 4
    default_camera_config: Mapping[str, Any] = field(
        default_factory=lambda: {
            "trackbodyid": 2,
            "distance": 3.0,
            "lookat": np.array((0.0, 0.0, 1.15)),
            "elevation": -20.0,
        },
    )
    forward_reward_weight: float = 1.0
    ctrl_cost_weight: float = 1e-3
    healthy_reward: float = 1.0
    terminate_when_unhealthy: bool = True
    healthy_state_range: Range = (-100.0, 100.0)
    healthy_z_range: Range = (0.7, math.inf)
    healthy_angle_range: Range = (-0.2, 0.2)
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
        healthy = self._healthy(now)
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

    def _healthy(self, now: Arrays) -> np.ndarray:
        """Upright, and nothing out of bounds but x."""
        state = np.concatenate((now.qpos[:, 1:], now.qvel), axis=1)
        low, high = _health_bounds(
            state.shape[1],
            *self.healthy_state_range,
            *self.healthy_z_range,
            *self.healthy_angle_range,
        )
        return np.logical_and.reduce((low < state) & (state < high), axis=1)

    def describe(self, world: World, now: Arrays) -> dict[str, np.ndarray]:
        """Where it is."""
        return {
            "x_position": now.qpos[:, 0],
            "z_distance_from_origin": now.qpos[:, 1] - world.init_qpos[1],
        }


@lru_cache
def _health_bounds(
    size: int,
    low_state: float,
    high_state: float,
    low_z: float,
    high_z: float,
    low_angle: float,
    high_angle: float,
) -> tuple[np.ndarray, np.ndarray]:
    """(low, high) of z, the angle, and what follows: three ranges as one comparison."""
    low, high = np.full(size, low_state), np.full(size, high_state)
    low[:2] = low_z, max(low_state, low_angle)
    high[:2] = high_z, min(high_state, high_angle)
    return low, high
